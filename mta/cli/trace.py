"""`mta trace`: the story of a message for a person who must understand it at three in the morning."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from mta.app.in_force import Need
from mta.cli.ask import ask, look, since
from mta.cli.paint import STATES, Paint, clock, duration, moment, octets, paint_for
from mta.cli.screen import known_state
from mta.cli.trace_items import add_items, item_story
from mta.config.problems import one_line
from mta.errors import ConfigurationError
from mta.model.auth import AuthenticationFacts, AuthResult
from mta.model.evidence.attempt import Attempt
from mta.model.evidence.authentication import Authentication
from mta.model.evidence.delivery import Delivery
from mta.model.evidence.message import Accepted, Written
from mta.model.evidence.smime import Protection
from mta.model.published import Published
from mta.model.tls import TlsFacts
from mta.model.word import Word
from mta.observe import events

_IN = "    "
_TITLES = {
    events.DELIVERED: ("good", "delivered"),
    events.DELIVERY_DEFERRED: ("warn", "not delivered yet"),
    events.DELIVERY_FAILED: ("bad", "failed for good"),
    events.MESSAGE_EXPIRED: ("bad", "given up"),
    events.MESSAGE_HELD: ("warn", "held"),
    events.SIGNATURE_BROKEN: ("warn", "a signature it came with was broken by us"),
    events.MESSAGE_RELEASED: ("good", "released"),
    events.MESSAGE_RETRIED: ("warn", "to be tried at once"),
    events.MESSAGE_DELETED: ("bad", "deleted"),
    events.NOTICE_SENT: ("warn", "the sender was told"),
    events.NOTICE_SUPPRESSED: ("warn", "the sender was not told"),
}
_SHOWN = frozenset(
    {"time", "event", "recipients", "reason", "attempts", "next", "connector", "destination", "protection", "word"}
)


def trace(config: str, request: dict[str, Any], json_output: bool) -> int:
    """Print every message that fits, newest first; 1 if there is none. Raises UsageError."""
    known_state(str(request.get("state") or ""), waiting=False)
    limit = int(request.get("limit") or 1000)
    documents = find(config, {**request, "limit": limit + 1})  # one more tells whether there is more
    messages, more = documents[:limit], len(documents) > limit
    add_items(config, messages)
    if json_output:
        print(json.dumps({"messages": messages, "more": more}, indent=2))
    elif messages:
        print("\n\n".join(story(message, time.time(), paint_for(sys.stdout)) for message in messages))
        print("".join(f"\n{line}" for line in _people(config, messages)), end="")
    if not messages:
        print("mta: no message matches", file=sys.stderr)
    if more:
        print(f"mta: these are the newest {limit}, and there are more: --limit N shows more of them", file=sys.stderr)
    return 0 if messages else 1


def _people(config: str, messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What was written down of the partners of these messages."""
    names = {str(message["inbound"]) for message in messages}
    names |= {str(told["connector"]) for message in messages for told in message["recipients"]}
    try:
        connectors = look(config, Need.QUEUE).connectors
    except ConfigurationError:
        return
    for name in sorted(names & connectors.keys()):
        if connectors[name].about:
            yield f"{name}: {one_line(connectors[name].about)}\n"


def find(config: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of all messages that fit, newest first."""
    asked = {"command": "trace", **request, "since": since(str(request.get("since") or ""), time.time())}
    documents = ask(config, asked).get("messages", [])
    newest_first: list[dict[str, Any]] = sorted(documents, key=lambda message: (-message["received"], message["id"]))
    return newest_first[: int(request.get("limit") or 1000)]


def story(message: dict[str, Any], now: float, paint: Paint) -> str:
    """One message from its acceptance to what happens next."""
    sender = message["sender"] or "<> (a report: bounces of it go to nobody)"
    head = f"{paint('head', message['id'])}  from {paint('name', sender)}, {octets(message['size'])}"
    return "\n".join(
        (
            head,
            *_accepted(message, now, paint),
            *_history(message, now, paint),
            *item_story(message, paint),
            *_outlook(message, now, paint),
        )
    )


# --- in ----------------------------------------------------------------------------------------------------------


def _accepted(message: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    accepted, written = Accepted.from_json(message["accepted"]), Written.from_json(message["accepted"])
    yield f"  {moment(message['received'])}  {paint('good', 'accepted')}"
    if written.notice:
        kind, about = paint("name", written.notice), paint("name", written.about)
        yield f"{_IN}written by this relay: {kind} about {about}"
        return
    helo = paint("name", accepted.helo or "nothing")
    yield f"{_IN}from {paint('name', accepted.client or '?')}, which called itself {helo}"
    yield f"{_IN}under connector {paint('name', message['inbound'])}{_audit(accepted)}"
    if accepted.demanded not in ("", "nothing"):
        yield f"{_IN}  which demands {accepted.demanded}"
    for reason in accepted.reasons:
        yield f"{_IN}  because {paint('dim', reason)}"
    if would := accepted.would:
        decision = paint("warn", f"enforced, it would have been: {would.decision}")
        yield f"{_IN}{decision} {paint('dim', would.reply)}"
        yield from (f"{_IN}  because {paint('dim', reason)}" for reason in would.reasons)
    for part in accepted.foreign:
        yield f"{_IN}holds {paint('warn', 'what others protect')}: {part}"
    yield from _tls(accepted.tls, "the client showed", now, paint)
    if accepted.authentication is not None:
        yield from _authentication(accepted.authentication, accepted.reasons, paint)


def _authentication(authentication: Authentication, printed: Sequence[str], paint: Paint) -> Iterator[str]:
    for method, result, whose in _results(authentication.facts):
        kind = {AuthResult.PASS: "good", AuthResult.NONE: "dim"}.get(result, "warn")
        yield f"{_IN}{paint(kind, f'{method}={result.value}')} {paint('name', whose)}".rstrip()
    yield from (f"{_IN}  because {paint('dim', each)}" for each in authentication.reasons if each not in printed)
    for broken in authentication.broken_signatures:
        yield f"{_IN}{paint('warn', f'taking it in broke the signature {broken}')}"


def _results(facts: AuthenticationFacts) -> Iterator[tuple[str, AuthResult, str]]:
    yield "spf", facts.spf_mail_from.result, facts.spf_mail_from.domain
    for outcome in facts.dkim:
        yield "dkim", outcome.result, f"{outcome.selector}._domainkey.{outcome.domain}"
    if not facts.dkim:
        yield "dkim", AuthResult.NONE, ""
    if facts.dmarc is not None:
        yield "dmarc", facts.dmarc.result, facts.dmarc.domain
    if facts.arc is not None:
        yield "arc", facts.arc.result, ", ".join(facts.arc.sealers)


def _audit(accepted: Accepted) -> str:
    return " (audit: nothing is enforced)" if accepted.mode == "audit" else ""


def _tls(tls: TlsFacts | None, whose: str, now: float, paint: Paint) -> Iterator[str]:
    if tls is None:
        yield f"{_IN}{paint('warn', 'in clear, without TLS')}"
        return
    facts = " ".join(filter(None, (tls.cipher, tls.group)))
    asked = f", asked for {paint('name', tls.sni)}" if tls.sni else ""
    yield f"{_IN}TLS {paint('good', tls.version)} {paint('dim', facts)}{asked}"
    leaf = tls.leaf
    if leaf is None:
        yield f"{_IN}{whose} no certificate"
        return
    names = ", ".join((*leaf.dns_names, *leaf.ip_addresses)) or "no names"
    yield f"{_IN}{whose} {paint('name', leaf.subject)} for {paint('name', names)}"
    yield f"{_IN}  issued by {paint('dim', leaf.issuer)}, {_days(leaf.not_after, now, paint)}"
    yield f"{_IN}  {paint('dim', leaf.key)}, sha256 {paint('dim', leaf.sha256)}"


def _days(not_after: float, now: float, paint: Paint) -> str:
    days = (not_after - now) / 86_400
    if days < 0:
        return paint("bad", f"expired {duration(now - not_after)} ago")
    return paint("good" if days > 14 else "warn", f"{days // 1:.0f} days left")


# --- out ---------------------------------------------------------------------------------------------------------


def _history(message: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    for event in message["events"]:
        yield from _event(event, now, paint)


def _event(event: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    kind, title = _TITLES.get(event["event"], ("dim", event["event"]))
    recipients = ", ".join(event["recipients"])
    yield f"  {moment(event['time'])}  {paint(kind, title)}: {paint('name', recipients)}"
    delivery = Delivery.from_json(event)
    if delivery.connector:
        yield f"{_IN}under connector {paint('name', delivery.connector)} to {paint('name', delivery.destination)}"
    for copy in delivery.protection:
        yield from _protection(Protection.from_json(copy), paint)
    for attempt in delivery.attempts:
        yield from attempt_lines(attempt, now, paint)
    if delivery.reason and not _told(delivery):
        yield f"{_IN}{paint(kind, delivery.reason)}"
    if delivery.next is not None:
        yield f"{_IN}next attempt at {clock(delivery.next)}"
    yield from (f"{_IN}{paint('dim', key)}: {paint('dim', event[key])}" for key in _others(event))


def _protection(copy: Protection, paint: Paint) -> Iterator[str]:
    """What S/MIME or the vault did with the copy of some recipients."""
    if copy.item:
        yield f"{_IN}{paint('good', 'sealed')} as item {paint('name', copy.item)}, label {copy.label}: {copy.why}"
    if copy.signed:
        scheme, digest = copy.signed
        yield f"{_IN}{paint('good', 'signed')} with {scheme}, certificate sha256 {paint('dim', digest)}"
    for reader in copy.encrypted:
        where = f"{reader.source}, {reader.rung}"
        yield f"{_IN}{paint('good', 'encrypted')} ({copy.cipher}) to {paint('name', reader.address)} by {where}"
        yield f"{_IN}  certificate sha256 {paint('dim', reader.sha256)}"
    if opened := copy.opened:
        done = "decrypted, " if copy.decrypted else ""
        because = f": {opened.reason}" if opened.reason else ""
        yield f"{_IN}{done}signature {paint('good' if opened.good else 'warn', opened.result.value)}{because}"
    if copy.note:
        yield f"{_IN}{paint('warn', copy.note)}"


def _told(delivery: Delivery) -> bool:
    """Whether the reason is the failure that was just shown."""
    failures = (attempt.failure for attempt in delivery.attempts if attempt.failure)
    return any(failure.reason in delivery.reason for failure in failures)


def _others(event: dict[str, Any]) -> list[str]:
    return [key for key, value in event.items() if key not in _SHOWN and value not in ("", None)]


def attempt_lines(attempt: Attempt, now: float, paint: Paint) -> Iterator[str]:
    """One host that was asked: what was required, what it showed, why not."""
    host, address, failure = attempt.host, attempt.address, attempt.failure
    where = f"{host}:{attempt.port}" if address in ("", host) else f"{host}[{address}]:{attempt.port}"
    how = "over an open connection" if attempt.reused else f"in {attempt.seconds:.2f} s"
    yield f"{_IN}asked {paint('name', where)} {how}"
    verdict = paint("good" if attempt.satisfied and failure is None else "bad", attempt.verdict)
    yield f"{_IN}required {paint('name', attempt.requirement)}: {verdict or paint('bad', _unjudged(attempt))}"
    yield from (f"{_IN}  {paint('dim', line)}" for line in published_lines(attempt.published))
    if attempt.tls is not None or failure is None:
        yield from _tls(attempt.tls, "the host showed", now, paint)
    if attempt.revocation:
        yield f"{_IN}  revocation {paint('dim', attempt.revocation)}"
    if attempt.would:
        yield f"{_IN}  {paint('warn', 'audit: enforced, it would have waited: ' + attempt.would)}"
    if failure is not None:
        lasting = "for good" if failure.permanent else "for now"
        yield f"{_IN}{paint('bad', failure.reason)} ({lasting}, concerns the {failure.scope})"


def _unjudged(attempt: Attempt) -> str:
    """How far it came, where there was nothing to judge, or no more time for it."""
    if attempt.tls is not None:
        return "TLS came about, the conversation ended before it was judged"
    reached = attempt.failure is not None and attempt.failure.word != Word.CONNECT
    return "reached, no TLS came about" if reached else "not reached"


def published_lines(published: Published | None) -> Iterator[str]:
    """What DANE and MTA-STS said of a host."""
    if published is None:
        return
    if dane := published.dane:
        records = ", ".join((*dane.records, *dane.unusable, *([dane.detail] if dane.detail else ())))
        about = f" at {dane.base}" if dane.base else ""
        mx = "secure" if dane.mx_secure else "insecure"
        yield f"DANE {dane.state}{about} (MX {mx}){': ' if records else ''}{records}"
    if sts := published.sts:
        hosts = f" for {', '.join(sts.mx)}" if sts.mx else ""
        problem = f"; {sts.problem}" if sts.problem else ""
        yield f"MTA-STS {sts.state}{hosts}{problem}"


# --- next --------------------------------------------------------------------------------------------------------


def _outlook(message: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    for recipient in message["recipients"]:
        state = paint(STATES.get(recipient["state"], "dim"), recipient["state"])
        attempts = recipient["attempts"]
        tried = f"{attempts} attempt{'s' if attempts != 1 else ''}"
        ahead = _ahead(message["id"], recipient, now)
        yield f"  {paint('name', recipient['address'])} is {state} after {tried}; {ahead}"


def _ahead(id_: str, recipient: dict[str, Any], now: float) -> str:
    match recipient["state"]:
        case "queued" if recipient["due"] <= now + 1:
            return "next: an attempt is due now"
        case "queued":
            return f"next: an attempt in {duration(recipient['due'] - now)}, at {clock(recipient['due'])}"
        case "held":
            return f"next: nothing until a person says `mta queue release {id_}`"
        case "delivered" | "relayed":
            return "the next hop has it: its log tells more"
        case _:
            return "nothing more will happen"
