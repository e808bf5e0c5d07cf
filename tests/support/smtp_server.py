"""The SMTP server alone: its protocol on a loopback port, with a fake that decides and writes down what it was asked.

async with serving(hard_errors=3) as server:
    client = await server.connect()
    assert await client.say("EHLO client.example") == 250
    assert await client.send_message(b"Subject: x\r\n\r\nbody\r\n") == 250
    assert server.receiver.contents == [b"Subject: x\r\n\r\nbody\r\n"]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from OpenSSL import SSL

from mta.adapters.smtp_server.protocol import SmtpServerProtocol
from mta.adapters.smtp_server.settings import ServerSettings
from mta.adapters.tls.handshake import start_client_tls
from mta.errors import StorageError
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.observe.log import EventLog
from tests.support.patience import PATIENCE

HOSTNAME = "mx.contoso.example"
OK = Reply(250, "2.0.0", ("Ok",))


class FakeSpool:
    """Keeps what was written in memory. `full_after`: octets after which the disk is full; -1: never."""

    def __init__(self, full_after: int = -1) -> None:
        self.size = 0
        self.data = bytearray()
        self.discarded = 0
        self._full_after = full_after

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if 0 <= self._full_after < self.size + len(data):
            raise StorageError("no space left on device")
        self.data += data
        self.size += len(data)

    def content(self, head: bytes) -> Content:
        return Content(self.size, path="spooled", head=head)

    async def discard(self) -> None:
        self.discarded += 1


@dataclass
class FakeReceiver:
    """Answers every question with `answers[verb]` (a Reply, or a function of what was asked), else with 250."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    facts: list[SessionFacts] = field(default_factory=list)
    errors: list[Reply] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    recipients: list[Recipient] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    spools: list[FakeSpool] = field(default_factory=list)
    resets: int = 0
    sessions: int = 0
    full_after: int = -1
    commit: Callable[[], Any] | None = None  # awaited before a message counts as stored

    def session(self) -> FakeSession:
        self.sessions += 1
        return FakeSession(self)

    def answer(self, verb: str, what: Any = None) -> Reply:
        self.asked.append((verb, what))
        known = self.answers.get(verb, OK)
        return known(what) if callable(known) else known


class FakeSession:
    """ports.InboundSession, remembering."""

    def __init__(self, receiver: FakeReceiver) -> None:
        self._to = receiver

    def opened(self, facts: SessionFacts) -> Reply | None:
        self._to.facts.append(facts)
        self._to.asked.append(("OPEN", facts))
        return self._to.answers.get("OPEN")

    def mail(self, facts: SessionFacts, envelope: Envelope) -> Reply:
        self._to.facts.append(facts)
        self._to.envelopes.append(envelope)
        return self._to.answer("MAIL", envelope)

    async def recipient(self, facts: SessionFacts, recipient: Recipient) -> Reply:
        answer = self._to.answer("RCPT", recipient)
        if answer.positive:
            self._to.recipients.append(recipient)
        return answer

    def data_begins(self) -> None:
        self._to.asked.append(("DATA", None))

    def spool(self) -> FakeSpool:
        self._to.spools.append(FakeSpool(self._to.full_after))
        return self._to.spools[-1]

    async def message(self, facts: SessionFacts, content: Content) -> Reply:
        answer = self._to.answer("DOT", content)
        if self._to.commit:
            await self._to.commit()
        if answer.positive:
            data = content.data if content.data is not None else bytes(self._to.spools[-1].data)
            assert content.size == len(data)
            self._to.contents.append(data)
        return answer

    def reset(self) -> None:
        self._to.resets += 1

    def error(self, facts: SessionFacts, reply: Reply, line: str) -> None:
        self._to.errors.append(reply)

    def closed(self, facts: SessionFacts, reason: str) -> None:
        self._to.facts.append(facts)
        self._to.closed.append(reason)


class Ended(Exception):
    """The server has closed the connection."""


class Client(asyncio.Protocol):
    """A client that says exactly what it is told to, octet by octet if so."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ended = False
        self.writes = 0
        self.transport: Any = None
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.writes += 1
        self.heard += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._changed.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                if self.ended:
                    raise Ended(bytes(self.heard))
                self._changed.clear()
                await self._changed.wait()

    def write(self, data: bytes) -> None:
        """Send, unless the server has closed."""
        if not self.ended:
            self.transport.write(data)

    async def write_slowly(self, data: bytes) -> None:
        """Each octet a packet of its own, as far as this side can make it so."""
        for octet in data:
            self.write(bytes((octet,)))
            await asyncio.sleep(0)

    async def lines(self) -> list[str]:
        """The lines of the next reply. Raises Ended."""
        found: list[str] = []
        while not found or found[-1][3:4] == "-":
            await self._until(lambda: b"\r\n" in self.heard)
            line, _, rest = bytes(self.heard).partition(b"\r\n")
            self.heard[:] = rest
            found.append(line.decode())
        return found

    async def reply(self) -> int:
        """The code of the next reply. Raises Ended."""
        return int((await self.lines())[-1][:3])

    async def say(self, line: str | bytes) -> int:
        """One command, and the code of its reply. Raises Ended."""
        self.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def codes(self) -> list[int]:
        """Every reply until the server closes."""
        found = []
        with contextlib.suppress(Ended):
            while True:
                found.append(await self.reply())
        return found

    async def end(self) -> bytes:
        """Wait for the server to close; what was heard and not read yet."""
        with contextlib.suppress(Ended):
            await self._until(lambda: False)
        return bytes(self.heard)

    async def begin(self, *recipients: str, helo: str = "EHLO client.example") -> None:
        """EHLO, MAIL, RCPT, DATA, each accepted."""
        if helo:
            assert await self.say(helo) == 250
        assert await self.say("MAIL FROM:<a@fabrikam.example>") == 250
        for recipient in recipients or ("b@contoso.example",):
            assert await self.say(f"RCPT TO:<{recipient}>") == 250
        assert await self.say("DATA") == 354

    async def send_message(self, data: bytes, helo: str = "EHLO client.example") -> int:
        """A whole message (dots are stuffed already); the final reply."""
        await self.begin(helo=helo)
        self.write(data + b".\r\n")
        return await self.reply()

    async def start_tls(self, context: SSL.Context) -> None:
        """The client's side of a handshake."""
        self.transport = await start_client_tls(self.transport, self, context, sni="", timeout=PATIENCE)


@dataclass
class Server:
    """The listener under test. `open` are its connections."""

    settings: ServerSettings
    receiver: FakeReceiver
    port: int = 0
    open: set[Any] = field(default_factory=set)
    read_end: int = -1
    clients: list[Client] = field(default_factory=list)
    unhandled: list[dict[str, Any]] = field(default_factory=list)

    async def connect(self, *, greeted: bool = True, **options: Any) -> Client:
        """A client; it has heard the greeting unless told otherwise."""
        _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", self.port, **options)
        self.clients.append(client)
        if greeted:
            assert await client.reply() == 220
        return client

    async def idle(self) -> None:
        """Until no connection is left."""
        async with asyncio.timeout(PATIENCE):
            while self.open:
                await asyncio.sleep(0.002)

    def events(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.read_end, 65_536):
                self._raw += piece
        return [json.loads(line) for line in self._raw.splitlines()]

    def take_defects(self) -> list[dict[str, Any]]:
        """The defects that a story provoked; the end of the test does not see them."""
        found = [event for event in self.events() if event["event"] == "defect"]
        self._raw = b""
        return found

    _raw: bytes = b""


@contextlib.asynccontextmanager
async def serving(receiver: FakeReceiver | None = None, **limits: Any) -> AsyncIterator[Server]:
    """A server with these settings. At the end nothing may be left: no connection, no task, no defect in the log."""
    loop = asyncio.get_running_loop()
    server = Server(ServerSettings(HOSTNAME, **limits), receiver or FakeReceiver())
    loop.set_exception_handler(lambda _, context: server.unhandled.append(context))
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    server.read_end, log = read_end, EventLog(write_end, "json")
    made: list[SmtpServerProtocol] = []

    def make() -> SmtpServerProtocol:
        made.append(SmtpServerProtocol(server.receiver, server.settings, log, server.open))
        return made[-1]

    listener = await loop.create_server(make, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
        for client in server.clients:
            client.transport.abort()
        await server.idle()
        assert not server.unhandled, server.unhandled
        defects = server.take_defects()
        assert not defects, defects
        await asyncio.sleep(0)
        assert all(one._task is None or one._task.done() for one in made), "a task was left"
        assert all(one._deadline._timer is None for one in made if one.transport.is_closing()), "a timer was left"
    finally:
        listener.close()
        os.close(read_end)
        os.close(write_end)
