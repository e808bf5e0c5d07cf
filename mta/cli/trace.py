"""`mta trace`: the story of a message for a person who must understand it at three in the morning."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from mta.cli.ask import ask, since
from mta.cli.paint import STATES, Paint, clock, duration, moment, octets, paint_for
from mta.cli.screen import known_state
from mta.model.foreign import Foreign
from mta.model.word import Word, first_word
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
    found = find(config, {**request, "limit": limit + 1})  # one more tells whether there is more
    messages, more = found[:limit], len(found) > limit
    if json_output:
        print(json.dumps({"messages": messages, "more": more}, indent=2))
    elif messages:
        print("\n\n".join(story(message, time.time(), paint_for(sys.stdout)) for message in messages))
    if not messages:
        print("mta: no message matches", file=sys.stderr)
    if more:
        print(f"mta: these are the newest {limit}, and there are more: --limit N shows more of them", file=sys.stderr)
    return 0 if messages else 1


def find(config: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of all messages that fit, newest first."""
    asked = {"command": "trace", **request, "since": since(str(request.get("since") or ""), time.time())}
    found = ask(config, asked).get("messages", [])
    newest_first: list[dict[str, Any]] = sorted(found, key=lambda message: (-message["received"], message["id"]))
    return newest_first[: int(request.get("limit") or 1000)]


def story(message: dict[str, Any], now: float, paint: Paint) -> str:
    """One message from its acceptance to what happens next."""
    sender = message["sender"] or "<> (a report: bounces of it go to nobody)"
    head = f"{paint('head', message['id'])}  from {paint('name', sender)}, {octets(message['size'])}"
    return "\n".join(
        (head, *_accepted(message, now, paint), *_history(message, now, paint), *_outlook(message, now, paint))
    )


# --- in ----------------------------------------------------------------------------------------------------------


def _accepted(message: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    accepted = message["accepted"]
    yield f"  {moment(message['received'])}  {paint('good', 'accepted')}"
    if accepted.get("notice"):
        kind, about = paint("name", accepted["notice"]), paint("name", accepted["about"])
        yield f"{_IN}written by this relay: {kind} about {about}"
        return
    helo = paint("name", accepted.get("helo") or "nothing")
    yield f"{_IN}from {paint('name', accepted.get('client', '?'))}, which called itself {helo}"
    yield f"{_IN}under connector {paint('name', message['inbound'])}{_audit(accepted)}"
    if accepted.get("demanded", "nothing") != "nothing":
        yield f"{_IN}  which demands {accepted['demanded']}"
    for reason in accepted.get("reasons", ()):
        yield f"{_IN}  because {paint('dim', reason)}"
    if would := accepted.get("would"):
        decision = paint("warn", f"enforced, it would have been: {would['decision']}")
        yield f"{_IN}{decision} {paint('dim', would['reply'])}"
        yield from (f"{_IN}  because {paint('dim', reason)}" for reason in would["reasons"])
    for part in accepted.get("foreign", ()):
        yield f"{_IN}holds {paint('warn', 'what others protect')}: {Foreign(**part)}"
    yield from _tls(accepted.get("tls", {}), "the client showed", now, paint)
    yield from _authentication(accepted.get("authentication", {}), accepted.get("reasons", ()), paint)


def _authentication(found: dict[str, Any], told: Sequence[str], paint: Paint) -> Iterator[str]:
    if not found:
        return
    spf, dmarc, arc = found["spf"]["mail_from"], found["dmarc"], found["arc"]
    dkim = [(entry["result"], f"{entry['selector']}._domainkey.{entry['domain']}") for entry in found["dkim"]]
    results = [("spf", spf["result"], spf["domain"]), *(("dkim", *one) for one in dkim or [("none", "")])]
    results += [("dmarc", dmarc["result"], dmarc["domain"]), ("arc", arc["result"], ", ".join(arc["sealers"]))]
    for method, result, whose in results:
        word = paint("good" if result == "pass" else "dim" if result == "none" else "warn", f"{method}={result}")
        yield f"{_IN}{word} {paint('name', whose)}".rstrip()
    yield from (f"{_IN}  because {paint('dim', reason)}" for reason in found.get("reasons", ()) if reason not in told)
    for broken in found.get("broken_signatures", ()):
        yield f"{_IN}{paint('warn', f'taking it in broke the signature {broken}')}"


def _audit(accepted: dict[str, Any]) -> str:
    return " (audit: nothing is enforced)" if accepted.get("mode") == "audit" else ""


def _tls(tls: dict[str, Any], whose: str, now: float, paint: Paint) -> Iterator[str]:
    if not tls.get("used"):
        yield f"{_IN}{paint('warn', 'in clear, without TLS')}"
        return
    facts = " ".join(str(tls[key]) for key in ("cipher", "group") if tls.get(key))
    asked = f", asked for {paint('name', tls['sni'])}" if tls.get("sni") else ""
    yield f"{_IN}TLS {paint('good', tls['version'])} {paint('dim', facts)}{asked}"
    if not tls["chain"]:
        yield f"{_IN}{whose} no certificate"
        return
    leaf = tls["chain"][0]
    names = ", ".join(leaf["names"]) or "no names"
    yield f"{_IN}{whose} {paint('name', leaf['subject'])} for {paint('name', names)}"
    yield f"{_IN}  issued by {paint('dim', leaf['issuer'])}, {_days(leaf['not_after'], now, paint)}"
    yield f"{_IN}  {paint('dim', leaf['key'])}, sha256 {paint('dim', leaf['sha256'])}"


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
    if "connector" in event:
        yield f"{_IN}under connector {paint('name', event['connector'])} to {paint('name', event['destination'])}"
    for copy in event.get("protection", ()):
        yield from _protection(copy, paint)
    for attempt in event.get("attempts", ()):
        yield from attempt_lines(attempt, now, paint)
    if event.get("reason") and not _told(event):
        yield f"{_IN}{paint(kind, event['reason'])}"
    if "next" in event:
        yield f"{_IN}next attempt at {clock(event['next'])}"
    yield from (f"{_IN}{paint('dim', key)}: {paint('dim', event[key])}" for key in _others(event))


def _protection(copy: dict[str, Any], paint: Paint) -> Iterator[str]:
    """What S/MIME or the vault did with the copy of some recipients."""
    if item := copy.get("item"):
        yield f"{_IN}{paint('good', 'sealed')} as item {paint('name', item)}, label {copy['label']}: {copy['why']}"
    signed, readers = copy.get("signed"), copy.get("encrypted", ())
    if signed:
        digest = paint("dim", signed["sha256"])
        yield f"{_IN}{paint('good', 'signed')} with {signed['scheme']}, certificate sha256 {digest}"
    for reader in readers:
        found = f"{reader['source']}, {reader['rung']}"
        yield f"{_IN}{paint('good', 'encrypted')} ({copy['cipher']}) to {paint('name', reader['for'])} by {found}"
        yield f"{_IN}  certificate sha256 {paint('dim', reader['sha256'])}"
    if opened := copy.get("opened"):
        kind = "good" if opened["result"] == "good" else "warn"
        done = "decrypted, " if opened["decrypted"] else ""
        because = f": {opened['reason']}" if opened["reason"] else ""
        yield f"{_IN}{done}signature {paint(kind, opened['result'])}{because}"
    if copy.get("note"):
        yield f"{_IN}{paint('warn', copy['note'])}"


def _told(event: dict[str, Any]) -> bool:
    """Whether the reason is the failure that was just shown."""
    failures = (attempt.get("failure") for attempt in event.get("attempts", ()))
    return any(failure and failure["reason"] in event["reason"] for failure in failures)


def _others(event: dict[str, Any]) -> list[str]:
    return [key for key, value in event.items() if key not in _SHOWN and value not in ("", None)]


def attempt_lines(attempt: dict[str, Any], now: float, paint: Paint) -> Iterator[str]:
    """One host that was asked: what was required, what it showed, why not."""
    host, address = attempt["host"], attempt["address"]
    where = f"{host}:{attempt['port']}" if address in ("", host) else f"{host}[{address}]:{attempt['port']}"
    how = "over an open connection" if attempt.get("reused") else f"in {attempt['seconds']:.2f} s"
    yield f"{_IN}asked {paint('name', where)} {how}"
    verdict = paint("bad" if "!" in attempt["verdict"] or attempt.get("failure") else "good", attempt["verdict"])
    yield f"{_IN}required {paint('name', attempt['requirement'])}: {verdict or paint('bad', _unjudged(attempt))}"
    yield from (f"{_IN}  {paint('dim', line)}" for line in published_lines(attempt.get("published", {})))
    if attempt["tls"].get("used") or not attempt.get("failure"):
        yield from _tls(attempt["tls"], "the host showed", now, paint)
    if attempt.get("revocation"):
        yield f"{_IN}  revocation {paint('dim', attempt['revocation'])}"
    if attempt.get("would"):
        yield f"{_IN}  {paint('warn', 'audit: enforced, it would have waited: ' + attempt['would'])}"
    if failure := attempt.get("failure"):
        lasting = "for good" if failure["permanent"] else "for now"
        yield f"{_IN}{paint('bad', failure['reason'])} ({lasting}, concerns the {failure['scope']})"


def _unjudged(attempt: dict[str, Any]) -> str:
    """How far it came, where there was nothing to judge, or no more time for it."""
    if attempt["tls"].get("used"):
        return "TLS came about, the conversation ended before it was judged"
    return "not reached" if failure_word(attempt) in ("", Word.CONNECT) else "reached, no TLS came about"


def failure_word(attempt: dict[str, Any]) -> str:
    """The word of why a host did not serve; empty if it did. Traces of earlier versions have it in the reason alone."""
    failure = attempt.get("failure")
    if not failure:
        return ""
    return str(failure.get("word") or first_word(failure["reason"]))


def published_lines(published: dict[str, Any]) -> Iterator[str]:
    """What DANE and MTA-STS said of a host."""
    if dane := published.get("dane"):
        told = ", ".join((*dane["records"], *dane.get("unusable", ()), *([dane["detail"]] if "detail" in dane else ())))
        about = f" at {dane['base']}" if dane["base"] else ""
        yield f"DANE {dane['state']}{about} (MX {dane['mx']}){': ' if told else ''}{told}"
    if sts := published.get("mta_sts"):
        hosts = f" for {', '.join(sts['mx'])}" if sts.get("mx") else ""
        problem = f"; {sts['problem']}" if sts.get("problem") else ""
        yield f"MTA-STS {sts['state']}{hosts}{problem}"


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
