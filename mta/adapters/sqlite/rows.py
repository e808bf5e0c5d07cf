"""A message as rows of the queue file and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from mta.adapters.queue_rows import address_key, envelope_in, envelope_out, plain, row_checksum, to_json
from mta.adapters.sqlite.spool import FileSpool
from mta.errors import LocalProtocolError, StorageError
from mta.model.envelope import Envelope
from mta.model.frozen import frozen
from mta.model.lifecycle import OPEN, QUEUED
from mta.model.message import Content, NewForm, QueuedMessage, RecipientState

MESSAGE_COLUMNS = (
    "id, received, sender, inbound, hops, size, file, head_size, crc, check_crc, envelope, evidence, prefix"
)
RECIPIENT_COLUMNS = "idx, connector, state, due, attempts, reason, warned, word"  # of a new recipient
STATE_COLUMNS = f"{RECIPIENT_COLUMNS}, form"


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
        checksum = row_checksum(
            (identity, received, inbound, hops, size, file, head_size, crc), (texts[0], texts[1]), prefix
        )
        if checksum != check:
            raise StorageError(f"the record's checksum is {checksum:08x}, expected {check:08x}")
        envelope, evidence = envelope_in(texts[0]), json.loads(texts[1])
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise StorageError(f"the record cannot be read: {error}") from error
    if any(state.index >= len(envelope.recipients) for state in states):
        raise StorageError("the record has more recipients than its envelope")
    stored = content(StoredContent(size, file, head_size, crc))
    return QueuedMessage(identity, envelope, stored, prefix, received, inbound, states, evidence, hops)


def give_back(*taken: Incoming | IncomingForm) -> None:
    """Let go of the spool files of what is not written after all."""
    for incoming in taken:
        if incoming.spool:
            incoming.spool.give_back()
