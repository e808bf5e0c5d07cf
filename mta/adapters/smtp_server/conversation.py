"""What each event of rfc/smtp/server.py has us do: ask whoever decides, keep what arrives, say what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from mta.adapters.smtp_server.content import Arrived
from mta.adapters.smtp_server.settings import ServerSettings
from mta.adapters.smtp_server.stream import ClientStream
from mta.adapters.sockets import plain_ip
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.observe import events as names
from mta.observe.log import EventLog
from mta.ports import InboundSession, Receiver
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp.server import SmtpServer
from mta.rfc.smtp.server_replies import NO_STORAGE
from mta.rfc.smtp.server_state import State

_PROXY, _ASKED_MESSAGE = State.PROXY, State.ASKED_MESSAGE  # an Enum looks each member up by a call


class Hangup(Exception):
    """End the connection; what is to be said has been queued."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Conversation:
    """The decisions and the content. The other half, the connection's life, is in protocol.py."""

    # what protocol.py provides
    receiver: Receiver
    settings: ServerSettings
    server: SmtpServer
    stream: ClientStream
    facts: SessionFacts
    log: EventLog
    mail_session: InboundSession | None
    write: Callable[[], bool]
    flush: Callable[[], Awaitable[None]]
    blocked: asyncio.Future[None] | None
    switch_to_tls: Callable[[], Awaitable[None]]
    begin_with_tls: Callable[[], Awaitable[None]]
    set_deadline: Callable[[float], None]
    clear_deadline: Callable[[], None]

    def __init__(self) -> None:
        self.committing = False  # a message is being judged and made durable
        self.arrived: Arrived | None = None  # content, while it comes
        self._said_goodbye = False

    @property
    def decider(self) -> InboundSession:
        """The deciding side."""
        assert self.mail_session is not None
        return self.mail_session

    def act(self, event: events.ServerEvent) -> Awaitable[None] | None:
        """Do what an event wants, or what is to be awaited for it. Raises Hangup at the end."""
        return _ACTS[type(event)](self, event)

    async def more(self) -> events.ServerEvent:
        """Say what is to be said, and wait for what happens next. Raises StreamEnded."""
        event = None
        self.write()
        if self.blocked is not None:
            await self.flush()
            event = self.server.next_event()  # of what has arrived meanwhile
        self.set_deadline(self._patience())
        while event is None:
            await self.stream.more()
            event = self.server.next_event()
        self.clear_deadline()
        return event

    def _patience(self) -> float:
        """Seconds until what is waited for must be here, however it trickles in."""
        if self.arrived is not None:
            return self.arrived.patience(self.server.received)
        return self.settings.proxy_timeout if self.server.state is _PROXY else self.settings.command_timeout

    # --- the opening ----------------------------------------------------------------------------------------------

    def _on_proxied(self, event: events.Proxied) -> None:
        if event.source is not None:
            self.facts = replace(self.facts, client_ip=plain_ip(event.source), client_port=event.port)

    async def _on_tls_wanted(self, _: events.TlsWanted) -> None:
        if self.mail_session is None:
            await self.begin_with_tls()
        else:
            if (forgotten := self._forget()) is not None:
                await forgotten
            await self.flush()
            await self.switch_to_tls()
            # RFC 3207 §4.2: the client says EHLO again; what it said in clear does not count
            self.facts = replace(self.facts, helo="", esmtp=False)
        self.server.tls_established()

    def _on_opened(self, _: events.Opened) -> None:
        session = self.receiver.session()
        refusal = session.opened(self.facts)
        if refusal:
            self.server.close(refusal)
            raise Hangup("refused")
        self.mail_session = session
        self.server.greet()

    # --- commands -------------------------------------------------------------------------------------------------

    def _on_hello(self, event: events.Hello) -> Awaitable[None] | None:
        self.facts = replace(self.facts, helo=event.name, esmtp=event.esmtp)
        return self._forget()

    def _on_mail(self, event: events.Mail) -> None:
        self.server.answer(self.decider.mail(self.facts, event.envelope))

    async def _on_rcpt(self, event: events.Rcpt) -> None:
        self.server.answer(await self.decider.recipient(self.facts, event.recipient))

    def _on_reset(self, _: events.TransactionReset) -> Awaitable[None] | None:
        return self._forget()

    def _on_answered(self, _: events.Answered) -> None:
        """The client has heard all there is to say."""

    def _on_mistake(self, event: events.Mistake) -> None:
        self.decider.error(self.facts, event.reply, event.line)

    async def _on_delay(self, event: events.Delay) -> None:
        await asyncio.sleep(event.seconds)

    def _on_ended(self, event: events.Ended) -> None:
        self._said_goodbye = not event.reason
        if self.mail_session is None:  # only a balancer can go wrong before anybody was asked
            self.log.warning(names.SESSION_REFUSED, session=self.facts.session_id, reason=event.reason)
        raise Hangup(event.reason)

    # --- the message ----------------------------------------------------------------------------------------------

    def _on_content(self, _: events.ContentBegins) -> None:
        self.decider.data_begins()
        self.arrived = Arrived(self.settings, self.decider.spool)

    async def _on_piece(self, event: events.Piece) -> None:
        assert self.arrived is not None
        await self.arrived.take(event.data)

    async def _on_complete(self, event: events.MessageComplete) -> None:
        arrived = self.arrived
        assert arrived is not None
        await arrived.take(event.data)
        if self.server.state is not _ASKED_MESSAGE:  # 421 was said meanwhile
            return
        if arrived.full:
            self.server.refuse_content(NO_STORAGE, arrived.full)
        else:
            self.server.answer(await self._hand_over(arrived, verbatim=event.verbatim))

    async def _hand_over(self, arrived: Arrived, *, verbatim: bool) -> Reply:
        self.committing = True
        try:
            return await self.decider.message(self.facts, arrived.content(verbatim=verbatim))
        finally:
            self.committing = False
            self.decider.reset()
            await self.discard_content()  # unless the queue has it now: it may have taken another writing of it

    def _forget(self) -> Awaitable[None] | None:
        """The transaction is over, and what has arrived of its content goes."""
        self.decider.reset()
        return self.discard_content() if self.arrived is not None else None

    async def discard_content(self) -> None:
        """What has arrived is not wanted, or stored by now."""
        arrived, self.arrived = self.arrived, None
        if arrived is not None:
            await arrived.discard()


_ACTS: dict[type[events.ServerEvent], Callable[[Conversation, Any], Awaitable[None] | None]] = {
    events.Proxied: Conversation._on_proxied,
    events.TlsWanted: Conversation._on_tls_wanted,
    events.Opened: Conversation._on_opened,
    events.Hello: Conversation._on_hello,
    events.Mail: Conversation._on_mail,
    events.Rcpt: Conversation._on_rcpt,
    events.ContentBegins: Conversation._on_content,
    events.Piece: Conversation._on_piece,
    events.MessageComplete: Conversation._on_complete,
    events.TransactionReset: Conversation._on_reset,
    events.Answered: Conversation._on_answered,
    events.Mistake: Conversation._on_mistake,
    events.Delay: Conversation._on_delay,
    events.Ended: Conversation._on_ended,
}
