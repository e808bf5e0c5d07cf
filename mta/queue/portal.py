"""Mail of the portal's pages, as a worker takes it over its control socket: codes, and answers of readers.

A code is ours, so it goes into the queue as notices do. An answer is a stranger's words: it goes through everything
that mail coming in goes through, as if the portal were a system of our own that may send.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from mta.contract.connectors import Connector
from mta.errors import StorageError, UsageError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.evidence.message import Written
from mta.model.message import NOTICE, PORTAL, Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.model.word import Word
from mta.pipeline.inbound import InboundRelay, RelaySession
from mta.policy.decision import Reason
from mta.policy.identify import Identity
from mta.policy.route import choose
from mta.rfc.mime.header import HeaderError, scan_header
from mta.rfc.smtp.address import AddressError, parse_mailbox

_LARGEST_CODE = 32_768
_HEADER = 65_536
_LOOPBACK = "127.0.0.1"


async def queue_code(relay: InboundRelay, request: dict[str, object]) -> dict[str, object]:
    """A code for one address: null sender, and nobody is told of its failure. Raises UsageError, StorageError."""
    to = _mailbox(request.get("to"))
    try:
        raw = base64.b64decode(str(request.get("message", "")), validate=True)
    except binascii.Error:
        raise UsageError("the code's message is no base64") from None
    if not 0 < len(raw) <= _LARGEST_CODE:
        raise UsageError(f"a code has at most {_LARGEST_CODE} octets, this one {len(raw)}")
    site, now = relay.site, relay.site.clock.now()
    message = QueuedMessage(
        id=site.ids.next(),
        envelope=Envelope(None, (Recipient(to, ("NEVER",)),), size=len(raw), smtputf8=not to.is_ascii),
        content=Content(len(raw), raw),
        prefix=b"",
        received=now,
        inbound=NOTICE,
        states=(RecipientState(0, choose(site.contract.index, to).connector.name, due=now),),
        evidence=Written(portal="code").to_json(),
    )
    await relay.shard.store.enqueue(message)
    relay.wake()
    return {"queued": message.id}


async def take_answer(relay: InboundRelay, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An answer that lies in `folder`; `refused` says why it was not taken. Raises UsageError."""
    name = str(request.get("file", ""))
    if not name or "/" in name or name.startswith("."):
        raise UsageError(f"{name!r} is no file of the portal's")
    try:
        data = await asyncio.to_thread((folder / name).read_bytes)
    except OSError as error:
        raise UsageError(f"the answer cannot be read: {error.strerror}") from error
    recipients = tuple(Recipient(_mailbox(address)) for address in request.get("to", ()))
    session = PortalSession(relay)
    reply = await session.take(_facts(relay, str(request.get("ip", ""))), recipients, data)
    return {"queued": str(reply)} if reply.positive else {"refused": str(reply)}


class PortalSession(RelaySession):
    """A conversation that is none: the portal has proved who the reader is, and is a system of our own."""

    async def take(self, facts: SessionFacts, recipients: tuple[Recipient, ...], data: bytes) -> Reply:
        """MAIL, RCPT and the content, in their order; the first reply that is not positive ends it."""
        try:
            return await self._take(facts, recipients, data)
        finally:
            self.reset()

    async def _take(self, facts: SessionFacts, recipients: tuple[Recipient, ...], data: bytes) -> Reply:
        limit = self._site.contract.configuration.server.limits.message_size
        if len(data) > limit:
            return Reply(552, "5.3.4", ("Message too large",))
        eight_bit, utf8 = not data.isascii(), not _header_is_ascii(data)
        sender = _sender(data)
        envelope = Envelope(sender, body="8BITMIME" if eight_bit else "7BIT", smtputf8=utf8, size=len(data))
        reply = self.mail(facts, envelope)
        for recipient in recipients:
            if not reply.positive:
                return reply
            reply = await self.recipient(facts, recipient)
        if not reply.positive or not recipients:
            return reply
        return await self.message(facts, await self._content(data))

    async def _content(self, data: bytes) -> Content:
        """In memory, or in a file of the queue where it is large."""
        if len(data) <= _IN_MEMORY:
            return Content(len(data), data)
        spool = self.spool()
        try:
            await spool.write(data)
        except StorageError:
            await spool.discard()
            raise
        return spool.content(data[:_HEADER])

    def _identify(self, facts: SessionFacts) -> Identity:
        reason = Reason(Word.FROM_PORTAL, "a reader of protected mail answers; the portal has proved who it is")
        return Identity(Connector(PORTAL, relay=True), True, (reason,))


_IN_MEMORY = 1_048_576


def _facts(relay: InboundRelay, ip: str) -> SessionFacts:
    try:
        address = ip_address(ip)
    except ValueError:
        address = ip_address(_LOOPBACK)
    hostname = relay.site.contract.configuration.server.hostname
    return SessionFacts(address, helo=hostname, esmtp=True, session_id=f"portal-{relay.site.ids.next()}")


def _sender(data: bytes) -> Mailbox | None:
    """The portal's own address, as it stands in the From that the portal wrote."""
    for value in scan_header(data[:_HEADER], _HEADER).values(b"from"):
        start, end = value.rfind(b"<"), value.rfind(b">")
        return _mailbox(value[start + 1 : end].decode("utf-8", "replace"))
    raise UsageError("the answer has no From")


def _header_is_ascii(data: bytes) -> bool:
    return data.partition(b"\r\n\r\n")[0].isascii()


def _mailbox(text: object) -> Mailbox:
    try:
        return parse_mailbox(str(text))
    except (AddressError, HeaderError) as error:
        raise UsageError(str(error)) from error
