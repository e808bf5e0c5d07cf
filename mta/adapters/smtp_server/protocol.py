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

from mta.adapters.smtp_server.commands import Commands
from mta.adapters.smtp_server.deadline import Deadline
from mta.adapters.smtp_server.settings import ServerSettings
from mta.adapters.smtp_server.stream import ClientStream, Hangup, LineTooLong, StreamEnded
from mta.adapters.sockets import plain_ip
from mta.adapters.tls.handshake import start_server_tls
from mta.errors import TlsFailed
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.model.tls import TlsFacts
from mta.observe import events
from mta.observe.log import EventLog
from mta.ports import InboundSession, Receiver
from mta.rfc.smtp.command import CommandError, parse_command
from mta.rfc.smtp.proxy import MAX_HEADER, ProxyError, parse_proxy

_TIMEOUT = Reply(421, "4.4.2", ("Timeout, closing connection",))
_LOCAL_ERROR = Reply(421, "4.3.0", ("Local error, closing connection, try again later",))
_LINE_TOO_LONG = Reply(500, "5.5.2", ("Line too long",))
_SHUTTING_DOWN = Reply(421, "4.3.2", ("Service shutting down, try again later",))
_TALKED_EARLY = Reply(554, "5.5.0", ("Commands sent before the reply that permits them",))
_CROWDED = Reply(421, "4.7.0", ("Too many connections, try again later",))
_LINGER = 5.0  # seconds that a client has to read our last words
_TURN = 50  # pipelined commands performed in a row before other sessions have theirs

_handshakes: Counter[object] = Counter()  # of implicit TLS, under way in this process


class SmtpServerProtocol(Commands, SMTP):
    """One inbound connection."""

    def __init__(self, receiver: Receiver, settings: ServerSettings, log: EventLog, open_connections: set[Any]) -> None:
        # aiosmtpd's own __init__ reflects over its handler three times a connection and prepares what is replaced
        # here, as is the stream reader of its base class.
        self.loop = asyncio.get_running_loop()
        self.receiver = receiver
        self.settings = settings
        self.log = log
        self._open_connections = open_connections
        self.stream = ClientStream(self.loop)
        self.facts = SessionFacts(IPv4Address(0), session_id=secrets.token_hex(6))
        self.mail_session: InboundSession | None = None
        self.transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._blocked: asyncio.Future[None] | None = None  # until the client has read some of our replies
        self._deadline = Deadline(self.loop, self._timed_out)
        self._task: asyncio.Task[None] | None = None
        self._reason = ""
        self._closing = False
        self._handshaking = False
        self._finished = False
        self._performed = 0  # commands
        self.in_command = False
        self.committing = False
        self._reset_counts()

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
        if not self.settings.implicit_tls:
            self.reply(_CROWDED)
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
        if self._blocked is None:
            self._blocked = self.loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        blocked, self._blocked = self._blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    # --- the conversation -----------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except StreamEnded:
            self._reason = self._reason or "" if self._said_goodbye else self._reason or "closed by the client"
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
            self.reply(_LOCAL_ERROR)
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
        if self._behind_balancer():
            await self._read_proxy()
        if self.settings.implicit_tls:
            await self._begin_with_tls()
        session = self.receiver.session()
        refusal = session.opened(self.facts)
        if refusal:
            self.reply(refusal)
            raise Hangup("refused")
        self.mail_session = session
        if self.stream.buffered and self.settings.forbid_early_talkers:
            self.reply(_TALKED_EARLY)
            raise Hangup("talked before the greeting")
        self.reply(Reply(220, "", (f"{self.settings.hostname} ESMTP",)))
        while not self._closing:
            await self._next_command()

    async def _next_command(self) -> None:
        self._performed += 1
        if not self.stream.has_line:
            self._write()
            if self._blocked is not None:
                await self.flush()
        elif self._performed % _TURN == 0:
            await self.flush()
            await asyncio.sleep(0)
        self.set_deadline(self.settings.command_timeout)
        try:
            line = await self.stream.line(self.settings.command_length)
        except LineTooLong as error:
            self.clear_deadline()
            await self.mistake(_LINE_TOO_LONG, "")
            if error.bare:
                raise Hangup("bare LF in a command") from None
            return
        self.clear_deadline()
        try:
            command = parse_command(line, self.settings.command_length)
        except CommandError as error:
            await self.mistake(error.reply, repr(line[:100]))
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                raise Hangup("bare CR or LF in a command") from None  # two readers might see two commands
            return
        self.in_command = True
        try:
            await self.perform(command)
        finally:
            self.in_command = False

    async def _begin_with_tls(self) -> None:
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
        early = self.stream.take_all()  # of an implicit TLS client, that does not wait for us; empty at STARTTLS
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

    # --- PROXY v2 -------------------------------------------------------------------------------------------------

    def _behind_balancer(self) -> bool:
        return any(self.facts.client_ip in network for network in self.settings.proxy)

    async def _read_proxy(self) -> None:
        """The balancer's header comes first, before TLS and before the greeting; nobody else's is believed."""
        self.set_deadline(self.settings.proxy_timeout)
        try:
            while (parsed := parse_proxy(self.stream.peek(MAX_HEADER))) is None:
                await self.stream.more()
        except ProxyError as error:
            self.log.warning(events.SESSION_REFUSED, session=self.facts.session_id, reason=f"PROXY: {error}")
            raise Hangup(f"PROXY: {error}") from None
        self.clear_deadline()
        await self.stream.exactly(parsed.length)
        if parsed.source is not None:
            self.facts = replace(self.facts, client_ip=plain_ip(parsed.source), client_port=parsed.source_port)

    # --- output ---------------------------------------------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        """Queue a reply; replies to pipelined commands leave in one write (RFC 2920 §3.2)."""
        self._outgoing.append(reply.render())

    async def flush(self) -> None:
        """Write what is queued; wait while the client does not read."""
        self._write()
        if self._blocked is not None:
            self.set_deadline(self.settings.command_timeout)
            await self._blocked
            self.clear_deadline()

    def _write(self) -> None:
        if self._outgoing and self.transport is not None:
            if not self.transport.is_closing():  # uvloop's transports raise once they are closed
                self.transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def set_deadline(self, seconds: float) -> None:
        """The client has this long."""
        self._deadline.set(seconds)

    def clear_deadline(self) -> None:
        """It is our turn."""
        self._deadline.clear()

    def _timed_out(self) -> None:
        if not self._closing:
            self._reason = "timeout"
            self._hang_up(_TIMEOUT)

    # --- the end --------------------------------------------------------------------------------------------------

    def shut_down(self) -> None:
        """The server drains: between commands the client is told at once, otherwise after the command."""
        self._reason = "shutdown"
        self._closing = True
        if not self.in_command:
            self._hang_up(_SHUTTING_DOWN)

    def cut(self) -> None:
        """The time to end is over: 421 even in the middle of a command, and the connection closes."""
        self._reason = "shutdown"
        self._closing = True
        if not self.committing:  # else the client shall hear what became of its message, if we live to tell
            self._hang_up(_SHUTTING_DOWN)

    def _hang_up(self, reply: Reply) -> None:
        self._closing = True
        self.stream.end()
        if self.transport is None:
            return
        if self._finished or self._handshaking or self._blocked is not None:  # all is said, or nobody could read it
            self.transport.abort()
        elif not self.transport.is_closing():
            self.reply(reply)
            self._write()
            self.transport.close()

    def _finish(self) -> None:
        self._deadline.stop()
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
        if self._reason == "shutdown":
            self.reply(_SHUTTING_DOWN)
        last_words = bool(self._outgoing) and not self._said_goodbye
        self._write()
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
