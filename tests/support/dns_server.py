"""A fake DNS server on 127.0.0.1, UDP and TCP on one port, in a thread of its own.

    zone = {("b.example", "MX"): ["10 mx.b.example."], ("mx.b.example", "A"): ["127.0.0.1"]}
    with dns_server(zone) as (host, port):
        ...

    with dns_server(zone, secure=True) as server:      # every answer carries AD
        server.queries[("b.example", "MX")]            # how often it was asked

A value may also be SERVFAIL, REFUSED, NXDOMAIN, SILENT, or an Answer with more to say. Names without an entry do not
exist; names with entries of another type (or below them) have no data.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Answer:
    """What is said of one name and type. `truncated`: over UDP only a TC bit comes; `secure` None: as the server."""

    records: tuple[str, ...] = ()
    ttl: int = 300
    secure: bool | None = None
    truncated: bool = False
    delay: float = 0.0
    rcode: str = "NOERROR"
    silent: bool = False


SERVFAIL = Answer(rcode="SERVFAIL")
REFUSED = Answer(rcode="REFUSED")
NXDOMAIN = Answer(rcode="NXDOMAIN")
SILENT = Answer(silent=True)
Zone = Mapping[tuple[str, str], Any]  # list[str] or Answer

SOA = "ns.invalid. hostmaster.invalid. 1 3600 600 86400 60"


class DnsServer:
    """The running server. `zone` may be changed between two queries; `queries` counts them by (name, type)."""

    def __init__(self, zone: Zone, secure: bool = False) -> None:
        self.zone = {(_plain(name), rdtype.upper()): value for (name, rdtype), value in zone.items()}
        self.secure = secure
        self.queries: Counter[tuple[str, str]] = Counter()
        self.over_tcp: Counter[tuple[str, str]] = Counter()
        self.seen_flags: list[tuple[int, int, int]] = []  # flags, EDNS flags, payload
        self.host = "127.0.0.1"
        self.port = 0
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE)
        if self._failure:
            raise self._failure

    def __iter__(self) -> Iterator[Any]:
        return iter((self.host, self.port))

    def set(self, name: str, rdtype: str, value: Any) -> None:
        self.zone[_plain(name), rdtype.upper()] = value

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._open())
        except BaseException as failure:
            self._failure = failure
        self._ready.set()
        if not self._failure:
            self._loop.run_forever()
        self._server.close()
        self._udp.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _open(self) -> None:
        for attempt in range(10):  # the port must be free for both
            self._server = await asyncio.start_server(self._on_tcp, self.host, 0)
            self.port = self._server.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await self._loop.create_datagram_endpoint(
                    lambda: _Udp(self), local_addr=(self.host, self.port)
                )
                return
            except OSError:
                self._server.close()
                if attempt == 9:
                    raise

    async def _on_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                wire = await self.reply(await reader.readexactly(length), tcp=True)
                if wire is None:
                    break
                writer.write(struct.pack("!H", len(wire)) + wire)
                await writer.drain()
        writer.close()

    async def reply(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The reply to one query, or None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        key = (_plain(question.name.to_text()), dns.rdatatype.to_text(question.rdtype))
        self.queries[key] += 1
        self.over_tcp[key] += tcp
        self.seen_flags.append((int(query.flags), int(query.ednsflags), query.payload))
        response = dns.message.make_response(query, recursion_available=True)
        answer = self._fill(response, *key)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.silent:
            return None
        if tcp:
            return response.to_wire(max_size=65_535)
        if not answer.truncated:
            with contextlib.suppress(dns.exception.TooBig):
                return response.to_wire()
        response.answer.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, rdtype: str) -> Answer:
        """Write the records of a name and type, CNAMEs followed (the loops too); what decided the reply."""
        secure, start = True, name
        for _ in range(20):
            answer = self._find(name, rdtype)
            alias = self.zone.get((name, "CNAME")) if answer is None and rdtype != "CNAME" else None
            if alias is None:
                break
            found = _answer(alias)
            secure = secure and self._is_secure(found)
            response.answer.append(_rrset(name, "CNAME", found))
            name = _plain(found.records[0])
            if name == start:
                break
        answer = self._find(name, rdtype) or self._nothing(name)
        if self._is_secure(answer) and secure:
            response.flags |= dns.flags.AD
        response.set_rcode(dns.rcode.from_text(answer.rcode))
        if answer.records:
            response.answer.append(_rrset(name, rdtype, answer))
        elif answer.rcode in ("NOERROR", "NXDOMAIN"):
            response.authority.append(_rrset(_parent(name), "SOA", Answer((SOA,), ttl=60)))
        return answer

    def _is_secure(self, answer: Answer) -> bool:
        return self.secure if answer.secure is None else answer.secure

    def _find(self, name: str, rdtype: str) -> Answer | None:
        value = self.zone.get((name, rdtype))
        return None if value is None else _answer(value)

    def _nothing(self, name: str) -> Answer:
        exists = any(known == name or known.endswith("." + name) for known, _ in self.zone)
        return Answer() if exists else NXDOMAIN


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        task = asyncio.ensure_future(self._serve(data, address))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, data: bytes, address: Any) -> None:
        wire = await self.server.reply(data, tcp=False)
        if wire is not None:
            self.transport.sendto(wire, address)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _parent(name: str) -> str:
    return name.partition(".")[2] or name


def _answer(value: Any) -> Answer:
    return value if isinstance(value, Answer) else Answer(tuple(value))


def _rrset(name: str, rdtype: str, answer: Answer) -> dns.rrset.RRset:
    return dns.rrset.from_text(name + ".", answer.ttl, dns.rdataclass.IN, rdtype, *answer.records)


@contextlib.contextmanager
def dns_server(zone: Zone, *, secure: bool = False) -> Iterator[DnsServer]:
    """A server for this zone, for as long as the block lasts; unpacks to (host, port)."""
    server = DnsServer(zone, secure)
    try:
        yield server
    finally:
        server.close()
