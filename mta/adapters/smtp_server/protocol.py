"""The life of one client's connection: greeting, command loop, timers, TLS, errors, goodbye.

It is aiosmtpd's protocol class with the parts replaced that a relay must own (docs/libraries.md says why, one by
one). A connection that ends never cancels the command in progress: a commit that has begun is finished.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any, cast

from aiosmtpd.smtp import SMTP

from mta.adapters.smtp_server.conversation import Conversation, Hangup
from mta.adapters.smtp_server.deadline import Deadline
from mta.adapters.smtp_server.settings import ServerSettings
from mta.adapters.smtp_server.stream import ClientStream, StreamEnded
from mta.adapters.sockets import plain_ip
from mta.adapters.tls.handshake import start_server_tls
from mta.errors import TlsFailed
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.model.tls import TlsFacts
from mta.observe import events
from mta.observe.log import EventLog
from mta.ports import InboundSession, Receiver
from mta.rfc.smtp.server import SmtpServer
from mta.rfc.smtp.server_replies import CROWDED, LOCAL_ERROR, SHUTTING_DOWN, TIMEOUT

_LINGER = 5.0  # seconds that a client has to read our last words
_TURN = 50  # events of one session in a row before others have theirs

_handshakes: Counter[object] = Counter()  # of implicit TLS, under way in this process


class SmtpServerProtocol(Conversation, SMTP):
    """One inbound connection."""

    def __init__(self, receiver: Receiver, settings: ServerSettings, log: EventLog, open_connections: set[Any]) -> None:
        # aiosmtpd's own __init__ reflects over its handler three times a connection and prepares what is replaced
        # here, as is the stream reader of its base class.
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.receiver = receiver
        self.settings = settings
        self.log = log
        self._open_connections = open_connections
        self.server = SmtpServer(settings, starttls=settings.tls is not None, implicit_tls=settings.implicit_tls)
        self.stream = ClientStream(self.loop, self.server)
        self.facts = SessionFacts(IPv4Address(0), session_id=secrets.token_hex(6))
        self.mail_session: InboundSession | None = None
        self.transport: asyncio.Transport | None = None
        self.blocked: asyncio.Future[None] | None = None  # until the client has read some of our replies
        self._deadline = Deadline(self.loop, self._timed_out)
        self._task: asyncio.Task[None] | None = None
        self._reason = ""
        self._closing = False
        self._handshaking = False
        self._finished = False
        self.in_command = False

    # --- asyncio's side -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        # uvloop's transports are asyncio.Transport in all but their base class
        self.transport = self.stream.transport = cast(asyncio.Transport, transport)
        self._open_connections.add(self)
        if len(self._open_connections) <= self.settings.connections:
            self._task = self.loop.create_task(self._handle_client())
            return
        self.log.warning(events.SESSION_REFUSED, session=self.facts.session_id, open=len(self._open_connections) - 1)
        self.server.close(None if self.settings.implicit_tls else CROWDED)
        self._said_goodbye = True  # it must not stay
        self._finish()

    def data_received(self, data: bytes) -> None:
        """Bytes, in clear or decrypted."""
        self.stream.feed(data)

    def eof_received(self) -> bool:
        """The client has nothing more to say, but may still listen: a reply that is due is sent."""
        self.stream.end()
        if self._finished and self.transport is not None:
            self.transport.close()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. A commit in progress goes on: nobody is cancelled here."""
        if error is not None and not self._reason:
            self._reason = f"connection lost: {error}"
        self._closing = True
        self.stream.end()
        self.resume_writing()
        self._deadline.stop()
        if self._finished:
            self._open_connections.discard(self)

    def pause_writing(self) -> None:
        """The client does not read our replies."""
        if self.blocked is None:
            self.blocked = self.loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        blocked, self.blocked = self.blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    # --- the conversation -----------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except StreamEnded:
            self._reason = self._reason or "closed by the client"
        except Hangup as hangup:
            self._reason = self._reason or hangup.reason
        except TlsFailed as error:
            self._reason = self._reason or f"TLS: {error}"
            self.log.warning(
                events.TLS_FAILED,
                session=self.facts.session_id,
                client=str(self.facts.client_ip),
                error=str(error),
            )
        except Exception as error:  # a defect of ours: the client hears that it is temporary, we hear everything
            self._reason = "defect"
            self.log.defect(f"session {self.facts.session_id}", error)
            self.server.close(LOCAL_ERROR)
        finally:
            try:
                await self.discard_content()
            finally:
                self._finish()

    async def _converse(self) -> None:
        assert self.transport is not None
        peer, local = self.transport.get_extra_info("peername"), self.transport.get_extra_info("sockname")
        if not peer or not local:
            raise Hangup("gone before it could be asked who it was")
        self.facts = replace(
            self.facts, client_ip=plain_ip(peer[0]), client_port=int(peer[1]), local_port=int(local[1])
        )
        self.server.begin(proxied=any(self.facts.client_ip in network for network in self.settings.proxy))
        await self._perform_all()

    async def _perform_all(self) -> None:
        server, performed = self.server, 0
        # what a command has led to is told in any case, and a message that has begun may end
        while not self._closing or server.has_event or self.arrived is not None:
            event = server.next_event() or await self.more()
            if self.stream.paused:
                self.stream.relax()
            self.in_command = self.mail_session is not None
            try:
                waiting = self.act(event)
                if waiting is not None:
                    await waiting
            finally:
                self.in_command = self.arrived is not None
            performed += 1
            if performed >= _TURN and server.buffered and not server.has_event:
                performed = 0
                await self.flush()
                await asyncio.sleep(0)

    async def begin_with_tls(self) -> None:
        """Implicit TLS. Handshakes cost much and come before the session is counted: each client has a few at most."""
        client = self.facts.client
        if _handshakes[client] >= self.settings.connections_per_client:
            self.log.warning(events.SESSION_REFUSED, session=self.facts.session_id, client=str(self.facts.client_ip))
            raise Hangup("too many handshakes")
        _handshakes[client] += 1
        try:
            await self.switch_to_tls()
        finally:
            _handshakes[client] -= 1
            if not _handshakes[client]:
                del _handshakes[client]

    async def switch_to_tls(self) -> None:
        """Run the handshake and speak TLS from now on. Raises TlsFailed."""
        assert self.transport is not None
        assert self.settings.tls is not None
        early = self.server.take_all()  # of an implicit TLS client, that does not wait for us; empty at STARTTLS
        handshake = start_server_tls(self.transport, self, self.settings.tls, timeout=self.settings.tls_timeout)
        if early:
            cast(asyncio.Protocol, self.transport.get_protocol()).data_received(early)
        self._handshaking = True
        try:
            transport = await handshake
        finally:
            self._handshaking = False
        self.transport = self.stream.transport = transport
        tls: TlsFacts = transport.get_extra_info("tls_facts")
        self.facts = replace(self.facts, tls=tls)
        self.log.info(
            events.TLS_ESTABLISHED,
            session=self.facts.session_id,
            client=str(self.facts.client_ip),
            version=tls.version,
            group=tls.group,
            certificate=tls.leaf.subject if tls.leaf else "",
        )

    # --- output ---------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write what is to be said, and wait while the client does not read."""
        self.write()
        if self.blocked is not None:
            self.set_deadline(self.settings.command_timeout)
            await self.blocked
            self.clear_deadline()

    def write(self) -> bool:
        """Write what is to be said; whether there was anything."""
        data = self.server.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)  # uvloop's transports raise once they are closed
        return bool(data)

    def set_deadline(self, seconds: float) -> None:
        """The client has this long."""
        self._deadline.set(seconds)

    def clear_deadline(self) -> None:
        """It is our turn."""
        self._deadline.clear()

    def _timed_out(self) -> None:
        if not self._closing:
            self._reason = "timeout"
            self._hang_up(TIMEOUT)

    # --- the end --------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """The server drains: between commands the client is told at once, otherwise after the command."""
        self._reason = "shutdown"
        self._closing = True
        if not self.in_command:
            self._hang_up(SHUTTING_DOWN)

    def cut(self) -> None:
        """The time to end is over: 421 even in the middle of a command, and the connection closes."""
        self._reason = "shutdown"
        self._closing = True
        if not self.committing:  # else the client shall hear what became of its message, if we live to tell
            self._hang_up(SHUTTING_DOWN)

    def _hang_up(self, reply: Reply) -> None:
        self._closing = True
        self.stream.end()
        self.server.close(reply)
        if self.transport is None:
            return
        if self._finished or self._handshaking or self.blocked is not None:  # all is said, or nobody could read it
            self.transport.abort()
        elif not self.transport.is_closing():
            self.write()
            self.transport.close()

    def _finish(self) -> None:
        self._deadline.end()
        self.in_command = False
        self._task = None  # no circle may be left: it would wait for the garbage collector
        try:
            if self.mail_session is not None:
                self.mail_session.closed(self.facts, self._reason)
        finally:
            self.mail_session = None
            self._finished = True
            self._close()

    def _close(self) -> None:
        transport = self.transport
        assert transport is not None
        self.server.close(SHUTTING_DOWN if self._reason == "shutdown" else None)
        last_words = self.write() and not self._said_goodbye
        if last_words and not transport.is_closing() and transport.can_write_eof():
            # What a client sends to a closed socket is answered by a reset, and that takes our last words away.
            self.stream.end()
            transport.write_eof()
            transport.resume_reading()
            self._deadline.then(_LINGER, transport.abort)
            return
        self._open_connections.discard(self)
        transport.close()
        if transport.get_write_buffer_size():  # whoever does not read must not keep a descriptor for ever
            self._deadline.then(_LINGER, transport.abort)


for _verb in [name for name in dir(SMTP) if name.startswith("smtp_")]:
    setattr(SmtpServerProtocol, _verb, None)  # rfc/smtp/server.py knows the verbs: aiosmtpd is never asked
