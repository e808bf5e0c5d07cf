"""`mta verify < message`: what SPF, DKIM, DMARC and ARC say of a message, and why."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mta.app import load, look_ups
from mta.config.contract import Server
from mta.errors import ConfigurationError, UsageError
from mta.model.address import Mailbox
from mta.model.auth import AuthenticationFacts
from mta.model.message import Content
from mta.observe.trace import authentication_evidence
from mta.pipeline.authenticate import Incoming, LookUps, authenticate_message
from mta.ports import Clock
from mta.rfc.authres.write import authentication_results
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from mta.rfc.smtp.address import AddressError, parse_mailbox


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
    raw = _lines_in_crlf(sys.stdin.buffer.read())
    server = _server(options)
    block = scan_header(raw, len(raw))
    author = parse_from(block, server.limits.header_addresses)
    client = _address(options.ip) if options.ip else None
    incoming = Incoming(client, options.helo, _sender(options.mail_from), Content(len(raw), raw), block, author)
    clock: Clock = FixedClock(time.time() if options.now is None else options.now)
    facts = asyncio.run(_judge(incoming, options, server, clock))
    field = authentication_results(server.authserv_id, facts, mail_from=str(incoming.sender or ""), client=options.ip)
    document = {**authentication_evidence(facts), "authentication_results": field.decode("utf-8", "replace").strip()}
    print(json.dumps(document, indent=2) if options.json_output else _in_words(document))
    return 0


async def _judge(incoming: Incoming, options: VerifyOptions, server: Server, clock: Clock) -> AuthenticationFacts:
    resolver = look_ups(server, options.nameserver)
    return await authenticate_message(incoming, LookUps(resolver, clock, server.hostname))


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
    try:
        return parse_mailbox(text.removeprefix("<").removesuffix(">"))
    except AddressError as error:
        raise UsageError(f"--mail-from: {error}") from None


def _lines_in_crlf(raw: bytes) -> bytes:
    """Files on a disk often end their lines in LF alone; on the wire they were CRLF."""
    return raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")


def _in_words(document: dict[str, Any]) -> str:
    spf, dmarc, arc = document["spf"], document["dmarc"], document["arc"]
    lines = [f"spf   {name:9} {spf[name]['result']:9} {spf[name]['domain']}  {spf[name]['reason']}" for name in spf]
    lines += [
        f"dkim  {entry['selector'] or '-':9} {entry['result']:9} {entry['domain']}  {entry['reason']}"
        for entry in document["dkim"]
    ] or ["dkim  -         none      the message is not signed"]
    lines.append(f"dmarc {dmarc['policy'] or '-':9} {dmarc['result']:9} {dmarc['domain']}  {dmarc['reason']}")
    lines.append(f"arc   {'-':9} {arc['result']:9} {', '.join(arc['sealers'])}  {arc['reason']}")
    story = "\n".join(line.rstrip() for line in lines)
    results: str = document["authentication_results"]
    return f"{story}\n\n{results}"
