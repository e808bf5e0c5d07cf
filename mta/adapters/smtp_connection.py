"""Connections to next hops: `rfc/smtp/client.py` over asyncio, with the timeouts of RFC 5321 §4.5.3.2 and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from OpenSSL import SSL

from mta.adapters.smtp_content import cargo_of, pieces_of
from mta.adapters.smtp_timeouts import Timeouts
from mta.adapters.smtp_wire import Wire
from mta.adapters.tls.context import client_context
from mta.adapters.tls.handshake import start_client_tls
from mta.errors import ConfigurationError, ConnectFailed, ContractChanged, RemoteProtocolError, TlsFailed
from mta.model.envelope import Envelope
from mta.model.reply import Reply
from mta.model.tls import TlsFacts
from mta.ports import Capabilities, DialTarget, Transaction, TransactionReplies
from mta.rfc.smtp import sasl
from mta.rfc.smtp.client import SmtpClient
from mta.rfc.smtp.client_events import Answered, ClientEvent, ContentWanted, Finished
from mta.rfc.smtp.client_state import MAY_SAY, State
from mta.rfc.smtp.next_hop import Cargo, can_carry

ContextMaker = Callable[[str, tuple[Path, Path] | None, tuple[bytes, bytes] | None], SSL.Context]
Connector = Callable[[Callable[[], asyncio.Protocol], DialTarget], Awaitable[object]]

_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})  # what this machine lacks


class SmtpDialer:
    """Opens connections (ports.Dialer). `sources`: addresses of ours to connect from, the first of a fitting family.

    TLS contexts are kept by least version and certificate; `reload()` forgets them, for renewed certificates.
    """

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        *,
        contexts: ContextMaker = client_context,
        connector: Connector | None = None,
        sources: tuple[str, ...] = (),
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._make_context = contexts
        self._connector = connector or self._open
        self._sources = sources
        self._contexts: dict[tuple[object, ...], SSL.Context] = {}

    def reload(self) -> None:
        """Read client certificates anew for the next connections."""
        self._contexts.clear()

    async def connect(self, target: DialTarget) -> OutboundConnection:
        """A TCP connection (and TLS at once where implicit). Raises ConnectFailed or TlsFailed."""
        connection = OutboundConnection(target, self._timeouts, self._context)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._connector(lambda: connection.wire, target)
        except TimeoutError as error:
            text = f"{connection.where}: no connection within {self._timeouts.connect:g} s"
            raise ConnectFailed(text, phase="connect") from error
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise ConnectFailed(f"{connection.where}: {why}", phase="connect", ours=error.errno in _OURS) from error
        own = connection.wire.transport.get_extra_info("sockname") if connection.wire.transport else None
        connection.local_address = str(own[0]) if own else ""
        if target.implicit_tls:
            await connection.handshake()
        return connection

    async def _open(self, protocol: Callable[[], asyncio.Protocol], target: DialTarget) -> None:
        is_ipv6 = ":" in target.address
        source = next(((address, 0) for address in self._sources if (":" in address) == is_ipv6), None)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(protocol, target.address, target.port, local_addr=source)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _context(self, target: DialTarget) -> SSL.Context:
        key = (target.min_version, target.certificate_chain, target.certificate_key, target.certificate_pem)
        if key not in self._contexts:
            pair = (Path(target.certificate_chain), Path(target.certificate_key)) if target.certificate_chain else None
            self._contexts[key] = self._make_context(target.min_version, pair, target.certificate_pem)
        return self._contexts[key]


class OutboundConnection:
    """An open connection to a next hop (ports.SmtpConnection).

    Whatever breaks it closes it. ConnectFailed and RemoteProtocolError carry the `phase`; in `data_final` it is
    unknown whether the message was taken, which makes it temporary like the rest.
    """

    def __init__(self, target: DialTarget, timeouts: Timeouts, contexts: Callable[[DialTarget], SSL.Context]) -> None:
        self.host, self.port, self.address = target.host, target.port, target.address
        self.local_address = ""
        self.where = f"{target.host} [{target.address}] port {target.port}"
        self.wire = Wire(self._receive)
        self._target = target
        self._timeouts = timeouts
        self._contexts = contexts
        self._client = SmtpClient(implicit_tls=target.implicit_tls)
        self._facts: TlsFacts | None = None
        self._greeted = False

    # --- what is known

    @property
    def capabilities(self) -> Capabilities:
        """Of the last EHLO."""
        return self._client.capabilities

    @property
    def tls(self) -> TlsFacts | None:
        """Facts of the handshake, once there was one."""
        return self._facts

    @property
    def usable(self) -> bool:
        """Whether it is still open and nothing unexpected has arrived."""
        return self._client.usable and not self.wire.ended

    # --- commands

    async def greet(self, helo: str) -> Reply:
        """Read the greeting (the first time), say EHLO, HELO if that is refused; the decisive reply."""
        if not self._greeted:  # it may have arrived before we were asked
            self._greeted = True
            greeting = await self._answer()
            if not greeting.positive:
                return greeting
        self._client.ehlo(helo)
        return await self._answer()

    async def start_tls(self) -> Reply:
        """STARTTLS; after a 220 the handshake. Any other reply is returned and the connection stays clear."""
        self._client.starttls()
        reply = await self._answer()
        if reply.positive:
            await self.handshake()
            self._client.tls_established()
        return reply

    async def handshake(self) -> None:
        """TLS on the connection as it stands. Raises TlsFailed, or RemoteProtocolError if clear text was in the way."""
        transport = self.wire.transport
        if self._client.has_event:
            await self._event()  # raises: octets in clear after the 220 to STARTTLS
        if transport is None or self.wire.ended:
            raise TlsFailed(f"{self.where}: the connection was closed before the handshake")
        try:
            context = self._contexts(self._target)
            secure = await start_client_tls(
                transport, self.wire, context, sni=self._target.sni, timeout=self._timeouts.tls
            )
        except TlsFailed as error:
            self.abort()
            raise TlsFailed(f"{self.where}: {error}") from error
        except ConfigurationError as error:
            self.abort()
            raise TlsFailed(f"{self.where}: our own certificate cannot be used: {error}") from error
        self.wire.transport = secure
        self._facts = secure.get_extra_info("tls_facts")

    async def authenticate(self, user: str, password: str) -> Reply:
        """AUTH PLAIN (RFC 4954), or LOGIN where only that is offered."""
        mechanism = sasl.choose(self.capabilities.extensions.get("AUTH", ""), (sasl.PLAIN, sasl.LOGIN))
        if not mechanism:
            return Reply(454, "4.7.0", ("neither AUTH PLAIN nor AUTH LOGIN is offered by the next hop",))
        self._client.authenticate((sasl.plain if mechanism == sasl.PLAIN else sasl.login)(user, password))
        return await self._answer()

    async def authenticate_bearer(self, user: str, token: str, mechanism: str) -> Reply:
        """AUTH XOAUTH2 or OAUTHBEARER; what the host says of a token it does not take stands in the reply."""
        self._client.authenticate(sasl.bearer(mechanism, user, token, self.host, self.port))
        reply = await self._answer()
        why = "" if reply.positive else sasl.refusal(self._client.challenge)
        return replace(reply, text=(*reply.text, f"({why})")) if why else reply

    async def transact(self, transaction: Transaction) -> TransactionReplies:
        """MAIL, RCPT…, DATA and the content; pipelined where offered. The connection may be used again after.

        What the hop cannot carry by its own EHLO is answered in its place (`next_hop.can_carry`). Raises StorageError
        if the spooled content cannot be read; what was sent of it is then left without an end.
        """
        cargo = await cargo_of(transaction, "8BITMIME" in self.capabilities)
        refusal = can_carry(transaction.envelope, cargo, self.capabilities)
        if refusal is not None:
            return TransactionReplies(refusal, unsaid=True)
        self._check_open()
        self._check_stands(transaction)
        self._client.begin(transaction.envelope, cargo)
        event = await self._event()
        if isinstance(event, ContentWanted):
            self._check_stands(transaction)
            await self._send(transaction)
            event = await self._event()
        return self._finished(event)

    async def probe_recipient(self, envelope: Envelope) -> tuple[Reply, Reply | None]:
        """MAIL and one RCPT, then RSET: what a call-out asks. The reply to MAIL, and to RCPT if it was sent."""
        refusal = can_carry(envelope, Cargo(0), self.capabilities)
        if refusal is not None:
            return refusal, None
        self._check_open()
        self._client.probe(envelope)
        replies = self._finished(await self._event())
        return replies.mail, replies.recipients[0] if replies.recipients else None

    async def quit(self) -> None:
        """QUIT and close; never raises."""
        if self._client.state in MAY_SAY["QUIT"] and not self.wire.ended:
            with contextlib.suppress(ConnectFailed, RemoteProtocolError):  # nothing is lost with a QUIT
                self._client.quit()
                await self._answer()
        self.wire.close()

    def abort(self) -> None:
        """Close at once."""
        self.wire.abort()

    # --- the loop of the client

    def _receive(self, data: bytes) -> bool:
        """Octets from the peer: whether there is something to tell."""
        client = self._client
        heard = client.heard
        client.receive_data(data)
        self.wire.write(client.data_to_send())
        if client.has_event:
            return True
        if client.heard != heard:  # a reply in between, not a mere piece of one: the next one has its own time
            self._arm()
        return False

    def _arm(self) -> None:
        phase = self._client.phase
        if phase:
            self.wire.arm(getattr(self._timeouts, phase))
        else:
            self.wire.disarm()

    async def _event(self) -> ClientEvent:
        """Send what is to be said and wait for what comes of it."""
        client, wire = self._client, self.wire
        wire.write(client.data_to_send())
        self._arm()
        try:
            while (event := client.next_event()) is None:
                if wire.ended:
                    self._lost()
                await wire.changed()
        except TimeoutError as error:
            self._timed_out(error)
        except BaseException:  # a cancelled wait leaves a reply outstanding: nobody may use this connection again
            wire.abort()
            raise
        wire.disarm()
        return event

    async def _answer(self) -> Reply:
        event = await self._event()
        if not isinstance(event, Answered):
            self.abort()
            raise RemoteProtocolError(f"{self.where}: expected a reply, came to {event}")
        return event.reply

    def _finished(self, event: ClientEvent) -> TransactionReplies:
        if not isinstance(event, Finished):
            self.abort()
            raise RemoteProtocolError(f"{self.where}: expected the end of a transaction, came to {event}")
        if not self._client.usable:
            self.abort()
        return event.replies

    def _check_open(self) -> None:
        """A kept connection that died while idle: nothing was said yet, hence phase `mail`."""
        if self.wire.ended or self._client.state is State.CLOSED:
            raise ConnectFailed(f"{self.where}: the connection was closed while it was idle", phase="mail")

    def _check_stands(self, transaction: Transaction) -> None:
        """What was allowed when the transaction was made may be so no more. Without its final dot nothing is taken."""
        if not transaction.stands():
            self.abort()
            raise ContractChanged(f"{self.where}: the configuration has changed")

    def _lost(self) -> NoReturn:
        phase = self._client.phase
        text = f"{self.where}: the connection was closed while we waited ({phase})"
        raise ConnectFailed(f"{text}: {self.wire.reason}" if self.wire.reason else text, phase=phase)

    def _timed_out(self, error: TimeoutError) -> NoReturn:
        phase = self._client.phase
        self.abort()
        seconds = getattr(self._timeouts, phase, 0.0)
        raise ConnectFailed(f"{self.where}: no answer within {seconds:g} s ({phase})", phase=phase) from error

    # --- content

    async def _send(self, transaction: Transaction) -> None:
        """The content: in one write where it is in memory, else piece by piece at the peer's pace."""
        content, client = transaction.content, self._client
        try:
            if content.data is not None:
                self.wire.write(client.whole_content(transaction.prefix, content.data, verbatim=content.verbatim))
                await self._drain()
                return
            self.wire.write(client.content(transaction.prefix))
            async with contextlib.aclosing(pieces_of(content)) as pieces:
                async for piece in pieces:
                    if client.has_event or self.wire.ended:
                        return  # an early reply or the end: the waiting that follows finds out which
                    self.wire.write(client.content(piece))
                    await self._drain()
            if not client.has_event:
                self._check_stands(transaction)
                self.wire.write(client.content(last=True))
        except BaseException:  # no final dot was sent: the connection must go, or the next command were content
            self.abort()
            raise

    async def _drain(self) -> None:
        """Wait while the transport is full; each wait has the time of a data block (RFC 5321 §4.5.3.2.5)."""
        if not self.wire.paused:
            return
        self.wire.arm(self._timeouts.data_block)
        try:
            while self.wire.paused and not self.wire.ended and not self._client.has_event:
                await self.wire.changed()
        except TimeoutError as error:
            text = f"{self.where}: no content was taken for {self._timeouts.data_block:g} s (data_block)"
            raise ConnectFailed(text, phase="data_block") from error
