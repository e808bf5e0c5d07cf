"""What the server asks about one client."""

from __future__ import annotations

from typing import Protocol

from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.ports.queue import Spool


class InboundSession(Protocol):
    """What the server adapter asks about one client's conversation; every answer is the reply the client hears.

    The adapter keeps the grammar and the order of commands; this side decides. `facts` is the session as it is now.
    """

    def opened(self, facts: SessionFacts) -> Reply | None:
        """A client has connected (its true address is known). A reply here refuses it before the greeting."""
        ...

    def mail(self, facts: SessionFacts, envelope: Envelope) -> Reply:
        """MAIL FROM, parsed."""
        ...

    async def recipient(self, facts: SessionFacts, recipient: Recipient) -> Reply:
        """RCPT TO, parsed."""
        ...

    def data_begins(self) -> None:
        """The client is sending a message from now on."""
        ...

    def spool(self) -> Spool:
        """Where a message larger than the threshold goes."""
        ...

    async def message(self, facts: SessionFacts, content: Content) -> Reply:
        """The whole message. A 250 means that it is durable."""
        ...

    def reset(self) -> None:
        """The transaction, if any, is over: RSET, EHLO, or it went wrong on the wire."""
        ...

    def error(self, facts: SessionFacts, reply: Reply, line: str) -> None:
        """The client was told an error that this side did not decide (grammar, order, limits)."""
        ...

    def closed(self, facts: SessionFacts, reason: str) -> None:
        """The conversation is over."""
        ...


class Receiver(Protocol):
    """Opens sessions; one a worker."""

    def session(self) -> InboundSession:
        """For a client that has just connected."""
        ...
