"""A message as rows and back: compact JSON, search keys, checksums."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from pydantic_core import to_json as fast_json

from mta.adapters.sqlite.spool import FileSpool
from mta.errors import LocalProtocolError, StorageError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.frozen import frozen
from mta.model.lifecycle import OPEN, QUEUED
from mta.model.message import Content, NewForm, QueuedMessage, RecipientState
from mta.ports import Event

MESSAGE_COLUMNS = (
    "id, received, sender, inbound, hops, size, file, head_size, crc, check_crc, envelope, evidence, prefix"
)
RECIPIENT_COLUMNS = "idx, connector, state, due, attempts, reason, warned, word"  # of a new recipient
STATE_COLUMNS = f"{RECIPIENT_COLUMNS}, form"

_encode = json.JSONEncoder(separators=(",", ":")).encode


def to_json(value: object) -> str:
    """Compact JSON. Raises LocalProtocolError for anything but JSON types."""
    try:
        return fast_json(value).decode()
    except ValueError:  # a lone surrogate (an undecodable byte of a peer): as an escape; or no JSON type
        pass
    try:
        return _encode(value)
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"only JSON types can be stored with a message: {error}") from error


def plain(text: str) -> str:
    """`text` as the database can hold it: a lone surrogate (an undecodable byte of a peer) becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def address_key(mailbox: Mailbox | None) -> str:
    """`domain@local`: one index then serves whole addresses (equal) and domains (a range)."""
    if mailbox is None:
        return ""
    local, _, domain = mailbox.key.rpartition("@")
    return plain(f"{domain}@{local}")


def _mailbox_out(mailbox: Mailbox) -> list[str]:
    return [mailbox.local, mailbox.domain, mailbox.ascii_domain]


def envelope_out(envelope: Envelope) -> str:
    """The envelope as JSON: sender or null, recipients, then the parameters."""
    sender = envelope.sender
    return to_json(
        {
            "sender": sender and _mailbox_out(sender),
            "recipients": [[*_mailbox_out(r.mailbox), r.notify, r.orcpt] for r in envelope.recipients],
            "body": envelope.body,
            "smtputf8": envelope.smtputf8,
            "ret": envelope.ret,
            "envid": envelope.envid,
            "size": envelope.size,
            **({"tls": envelope.tls} if envelope.tls else {}),
        }
    )


def envelope_in(text: str) -> Envelope:
    """The envelope that `envelope_out` wrote."""
    raw: dict[str, Any] = json.loads(text)
    return Envelope(
        sender=Mailbox(*raw["sender"]) if raw["sender"] else None,
        recipients=tuple(
            Recipient(Mailbox(local, domain, ascii_domain), tuple(notify), orcpt)
            for local, domain, ascii_domain, notify, orcpt in raw["recipients"]
        ),
        body=raw["body"],
        smtputf8=raw["smtputf8"],
        ret=raw["ret"],
        envid=raw["envid"],
        size=raw["size"],
        tls=raw.get("tls", ""),
    )


def row_checksum(fixed: tuple[object, ...], texts: tuple[str, str], prefix: bytes) -> int:
    """CRC-32 over all of a message row that never changes."""
    crc = crc32(repr(fixed).encode("utf-8", "backslashreplace"))
    for text in texts:
        crc = crc32(text.encode(), crc)
    return crc32(prefix, crc)


@frozen
class Incoming:
    """A message made ready for its INSERTs; `spool` is set where the content is a file."""

    id: str
    row: tuple[object, ...]  # in the order of MESSAGE_COLUMNS
    recipients: tuple[tuple[object, ...], ...]  # in the order of RECIPIENT_COLUMNS, then address
    data: bytes | None
    spool: FileSpool | None
    size: int
    ended: bool
    queued: frozenset[int]  # places of recipients in state queued


def prepare(message: QueuedMessage, spool: FileSpool | None) -> Incoming:
    """Turn a message into rows. Pure CPU work, done before the writer's turn."""
    content, envelope = message.content, message.envelope
    crc = spool.checksum if spool else crc32(content.data or b"")
    received, inbound = float(message.received), plain(message.inbound)  # as they will be read back
    where = (message.hops, content.size, spool.name if spool else None, len(content.head) if spool else 0, crc)
    texts = (envelope_out(envelope), to_json(message.evidence))
    check = row_checksum((message.id, received, inbound, *where), texts, message.prefix)
    row = (message.id, received, address_key(envelope.sender), inbound, *where, check, *texts)
    return Incoming(
        message.id,
        (*row, message.prefix),
        tuple(_recipient_out(state, envelope) for state in message.states),
        content.data,
        spool,
        content.size,
        all(state.state not in OPEN for state in message.states),
        frozenset(state.index for state in message.states if state.state == QUEUED),
    )


def _recipient_out(state: RecipientState, envelope: Envelope) -> tuple[object, ...]:
    if not 0 <= state.index < len(envelope.recipients):
        raise LocalProtocolError(f"recipient {state.index} is not in the envelope")
    address = address_key(envelope.recipients[state.index].mailbox)
    fixed = (state.index, plain(state.connector), state.state, state.due, state.attempts)
    return (*fixed, plain(state.reason), state.warned, plain(state.word), address)


def recipient_in(row: tuple[Any, ...]) -> RecipientState:
    """A recipient's state from its STATE_COLUMNS."""
    index, connector, state, due, attempts, reason, warned, word, form = row
    return RecipientState(index, connector, state, due, attempts, reason, bool(warned), form, word)


@dataclass(frozen=True, slots=True)
class IncomingForm:
    """A form made ready for its INSERT; `spool` is set where the content is a file."""

    recipients: tuple[int, ...]
    row: tuple[object, ...]  # size, file, head_size, crc, detail, data
    spool: FileSpool | None


def prepare_form(form: NewForm, content: Content, spool: FileSpool | None) -> IncomingForm:
    """Turn a form into a row."""
    crc = spool.checksum if spool else crc32(content.data or b"")
    where = (content.size, spool.name if spool else None, len(content.head) if spool else 0, crc)
    return IncomingForm(form.recipients, (*where, to_json(form.detail), content.data), spool)


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Where a row says its content is, and what it must look like."""

    size: int
    file: str | None
    head_size: int
    crc: int


def message_in(
    row: tuple[Any, ...], states: tuple[RecipientState, ...], content: Callable[[StoredContent], Content]
) -> QueuedMessage:
    """A message from its MESSAGE_COLUMNS. Raises StorageError if the row is not as it was written."""
    identity, received, _, inbound, hops, size, file, head_size, crc, check, *texts, prefix = row
    try:
        seen = row_checksum(
            (identity, received, inbound, hops, size, file, head_size, crc), (texts[0], texts[1]), prefix
        )
        if seen != check:
            raise StorageError(f"the record's checksum is {seen:08x}, expected {check:08x}")
        envelope, evidence = envelope_in(texts[0]), json.loads(texts[1])
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise StorageError(f"the record cannot be read: {error}") from error
    if any(state.index >= len(envelope.recipients) for state in states):
        raise StorageError("the record has more recipients than its envelope")
    stored = content(StoredContent(size, file, head_size, crc))
    return QueuedMessage(identity, envelope, stored, prefix, received, inbound, states, evidence, hops)


def event_out(event: Event) -> tuple[object, ...]:
    """At, name, recipients, detail."""
    return event.at, plain(event.name), to_json(event.recipients), to_json(event.detail)


def event_in(row: tuple[Any, ...]) -> Event:
    """The event that `event_out` wrote; one that cannot be read is shown as such."""
    at, name, recipients, detail = row
    try:
        event = Event(float(at), name, json.loads(detail), tuple(json.loads(recipients)))
    except (ValueError, TypeError) as error:
        return Event(at if isinstance(at, float) else 0.0, str(name), {"damaged": str(error)})
    if not isinstance(event.detail, dict) or not all(type(place) is int and place >= 0 for place in event.recipients):
        return Event(event.at, str(name), {"damaged": f"recipients {recipients}, detail {detail}"})
    return event


def give_back(*taken: Incoming | IncomingForm) -> None:
    """Let go of the spool files of what is not written after all."""
    for incoming in taken:
        if incoming.spool:
            incoming.spool.give_back()
