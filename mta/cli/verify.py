"""`mta verify < message`: what SPF, DKIM, DMARC and ARC say of a message, and why."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mta.app.load import load
from mta.app.outside import look_ups
from mta.cli.message import incoming
from mta.contract.server import Server
from mta.errors import ConfigurationError, UsageError
from mta.model.address import Mailbox, ascii_lower
from mta.model.auth import AuthenticationFacts
from mta.model.evidence.authentication import facts_to_json
from mta.pipeline.authenticate import Incoming, LookUps, authenticate_message
from mta.policy.second_opinion import Comparison, differences
from mta.ports import Clock
from mta.rfc.authres.write import authentication_results
from mta.rfc.smtp.address import AddressError, parse_mailbox

Judged = tuple[AuthenticationFacts, tuple[Comparison, ...]]


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """The words of the command."""

    ip: str
    helo: str
    mail_from: str
    nameserver: str
    now: float | None
    config: str
    json_output: bool
    second_opinion: bool = False


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that can be told the time; look-ups still end by the real one."""

    at: float

    def now(self) -> float:
        """Epoch seconds."""
        return self.at

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


def verify(options: VerifyOptions) -> int:
    """Judge the message on standard input; 0 once judged. Raises UsageError."""
    raw, server = sys.stdin.buffer.read(), _server(options)
    limits = replace(server.limits, header_size=2 * len(raw))  # whatever it is, it is judged
    client = _address(options.ip) if options.ip else None
    message = incoming(raw, client, options.helo, _sender(options.mail_from), limits)
    clock: Clock = FixedClock(time.time() if options.now is None else options.now)
    facts, compared = asyncio.run(_judge(message, options, server, clock))
    field = authentication_results(server.authserv_id, facts, mail_from=str(message.sender or ""), client=options.ip)
    document = {**facts_to_json(facts), "authentication_results": field.decode("utf-8", "replace").strip()}
    if options.second_opinion:
        document["second_opinion"] = opinion_evidence(compared)
    print(json.dumps(document, indent=2) if options.json_output else _in_words(document))
    return 0


async def _judge(message: Incoming, options: VerifyOptions, server: Server, clock: Clock) -> Judged:
    resolver = look_ups(server, options.nameserver)
    facts = await authenticate_message(message, LookUps(resolver, clock, server.hostname))
    if not options.second_opinion:
        return facts, ()
    from mta.app.second_opinion import Asked, ask  # with dkimpy and authres, which nothing else here needs

    return facts, await ask(resolver, Asked(message.block.raw, facts, server.authserv_id, clock.now()))


def _server(options: VerifyOptions) -> Server:
    """The server of the configuration. Its names and name servers are all that matters here: without them we go on."""
    unnamed = Server("localhost", "postmaster@localhost", "localhost", ())
    if not Path(options.config).exists():
        return unnamed
    try:
        return load(options.config).server
    except ConfigurationError:
        print(f"{options.config} has problems (see mta check); judged without it", file=sys.stderr)
        return unnamed


def _address(text: str) -> Any:
    try:
        return ip_address(text)
    except ValueError:
        raise UsageError(f"--ip: expected an IP address, saw {text!r}") from None


def _sender(text: str) -> Mailbox | None:
    if text in ("", "<>"):
        return None
    bare = text.removeprefix("<").removesuffix(">")
    try:
        return parse_mailbox(bare)
    except AddressError as error:
        local, at, domain = bare.rpartition("@")
        if not at or not bare.isprintable():
            raise UsageError(f"--mail-from: {error}") from None
        # No server takes it, but SPF has something to say (RFC 7208 §4.3)
        return Mailbox(local, domain, ascii_lower(domain))


def opinion_evidence(compared: tuple[Comparison, ...]) -> dict[str, Any]:
    """Ours beside theirs, as JSON."""
    verdicts = [{**asdict(one), "story": one.story} for one in compared]
    return {"differences": len(differences(compared)), "verdicts": verdicts}


def _in_words(document: dict[str, Any]) -> str:
    results: str = document["authentication_results"]
    opinion = opinion_in_words(document["second_opinion"]) if "second_opinion" in document else []
    return "\n".join((*facts_in_words(document), *opinion, "", results))


def opinion_in_words(opinion: dict[str, Any]) -> list[str]:
    """Both verdicts a line, under each difference where it comes from."""
    lines = ["", "second opinion (dkimpy, authres)"]
    for one in opinion["verdicts"]:
        sign = "differs" if one["cause"] else "agrees"
        lines.append(f"{one['subject']:5} {sign:9} {one['ours'] or '-'} / {one['theirs'] or '-'}  {one['name']}")
        lines += [f"      {one['cause']}: {one['story']}"] if one["cause"] else []
        lines += [f"      in its words: {one['reason']}"] if one["cause"] and one["reason"] else []
    return [line.rstrip() for line in lines]


def facts_in_words(document: dict[str, Any]) -> list[str]:
    """SPF, DKIM, DMARC, ARC and the sender's null MX, one a line, each with its reason."""
    spf, dmarc, arc, sender = (document[method] for method in ("spf", "dmarc", "arc", "sender"))
    lines = [f"spf   {name:9} {spf[name]['result']:9} {spf[name]['domain']}  {spf[name]['reason']}" for name in spf]
    lines += [
        f"dkim  {entry['selector'] or '-':9} {entry['result']:9} {entry['domain']}  {entry['reason']}"
        for entry in document["dkim"]
    ] or ["dkim  -         none      the message is not signed"]
    lines.append(f"dmarc {dmarc['policy'] or '-':9} {dmarc['result']:9} {dmarc['domain']}  {dmarc['reason']}")
    lines.append(f"arc   {'-':9} {arc['result']:9} {', '.join(arc['sealers'])}  {arc['reason']}")
    if sender["result"] not in ("none", "pass"):
        lines.append(f"mx    {'-':9} {sender['result']:9} {sender['domain']}  {sender['reason']}")
    return [line.rstrip() for line in lines]
