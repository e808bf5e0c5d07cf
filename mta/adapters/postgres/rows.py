"""A message as rows of the shared queue and back."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from mta.adapters import queue_rows
from mta.adapters.queue_rows import address_key, envelope_in, envelope_out, event_in, row_checksum, to_json
from mta.errors import LocalProtocolError, StorageError
from mta.model.envelope import Envelope
from mta.model.frozen import frozen
from mta.model.lifecycle import OPEN, QUEUED
from mta.model.message import Content, NewForm, QueuedMessage, RecipientState
from mta.ports import Event

PIECE = 262_144  # octets of one row of content
LARGEST = 1_048_576  # octets of a content that is held in memory; a larger one lies in a file while we deliver it
ORPHANED = 86_400.0  # seconds after which a body that nobody names is one of a message that never came to be
_EPOCH = 1_577_836_800_000  # milliseconds, 2020-01-01: the numbers begin there
_COUNTER, _SLOT = 12, 10  # bits
SLOTS = 1 << _SLOT


def plain(text: str) -> str:
    """`text` as PostgreSQL can hold it: no lone surrogate, no NUL."""
    return queue_rows.plain(text).replace("\0", "\\x00")


class Numbers:
    """Numbers that sort by time and that no other node gives: 41 bits of milliseconds, 10 of the node, 12 counted."""

    def __init__(self) -> None:
        self.slot = 0
        self._last = 0

    def next(self) -> int:
        """A new one, greater than the one before."""
        now = (int(time.time() * 1000) - _EPOCH) << _COUNTER
        self._last = max(self._last + 1, now)
        counted = self._last & ((1 << _COUNTER) - 1)
        return (((self._last >> _COUNTER) << _SLOT | self.slot) << _COUNTER) | counted


def number_at(at: float) -> int:
    """The least number of that time (epoch seconds)."""
    return max(0, int(at * 1000) - _EPOCH) << (_COUNTER + _SLOT)


@frozen
class Incoming:
    """A message made ready for its rows. `pieces` are what of its body is not in the database yet."""

    id: str
    seq: int
    row: tuple[Any, ...]  # of table message
    recipients: tuple[tuple[Any, ...], ...]  # idx, state, due, attempts, warned, connector, address, reason, word
    pieces: tuple[tuple[int, bytes], ...]
    size: int
    received: float

    @property
    def queued(self) -> frozenset[int]:
        """Places of recipients that are to be attempted."""
        return frozenset(each[0] for each in self.recipients if each[1] == QUEUED)


@frozen
class Body:
    """Where a content goes: its number, what of it is not written yet, its CRC-32, and the octets of its head."""

    number: int
    pieces: tuple[tuple[int, bytes], ...]
    crc: int
    head_size: int = 0


def cut(data: bytes, first: int = 0) -> tuple[tuple[int, bytes], ...]:
    """`data` in pieces, numbered from `first`."""
    starts = range(0, len(data), PIECE)
    return tuple((first + number, data[start : start + PIECE]) for number, start in enumerate(starts))


def in_memory(content: Content, numbers: Numbers) -> Body:
    """The body of a content that is held in memory."""
    data = content.data or b""
    return Body(numbers.next(), cut(data), crc32(data))


def prepare(message: QueuedMessage, body: Body) -> Incoming:
    """Turn a message into rows. Raises LocalProtocolError where it cannot be stored."""
    content, envelope = message.content, message.envelope
    received, inbound = float(message.received), plain(message.inbound)
    where = (message.hops, content.size, body.head_size, body.crc)
    texts = (envelope_out(envelope), to_json(message.evidence))
    check = row_checksum((message.id, received, inbound, *where), texts, message.prefix)
    sender = plain(address_key(envelope.sender))
    row = (body.number, message.id, received, sender, inbound, *where, check, *texts, message.prefix)
    recipients = tuple(_recipient_out(state, envelope) for state in message.states)
    return Incoming(message.id, body.number, row, recipients, body.pieces, content.size, received)


def _recipient_out(state: RecipientState, envelope: Envelope) -> tuple[Any, ...]:
    if not 0 <= state.index < len(envelope.recipients):
        raise LocalProtocolError(f"recipient {state.index} is not in the envelope")
    address = plain(address_key(envelope.recipients[state.index].mailbox))
    fixed = (state.index, state.state, float(state.due), state.attempts, bool(state.warned))
    return (*fixed, plain(state.connector), address, plain(state.reason), plain(state.word))


def is_open(recipient: tuple[Any, ...]) -> bool:
    """Whether a recipient of `Incoming` is not at its end."""
    return recipient[1] in OPEN


@dataclass(frozen=True, slots=True)
class IncomingForm:
    """A form made ready for its row."""

    recipients: tuple[int, ...]
    body: int
    row: tuple[Any, ...]  # size, head_size, crc, detail
    pieces: tuple[tuple[int, bytes], ...]


def prepare_form(form: NewForm, content: Content, body: Body) -> IncomingForm:
    """Turn a form into a row."""
    row = (content.size, body.head_size, body.crc, to_json(form.detail))
    return IncomingForm(form.recipients, body.number, row, body.pieces)


@frozen
class Stored:
    """What a row says of its body."""

    body: int
    size: int
    head_size: int
    crc: int


def stored_of(row: Any) -> Stored:
    """Of a row of `message` or `form`."""
    return Stored(row["body"], row["size"], row["head_size"], row["crc"])


def message_in(row: Any, states: tuple[RecipientState, ...], content: Content) -> QueuedMessage:
    """A message from its row. Raises StorageError if the row is not as it was written."""
    fixed = (row["id"], row["received"], row["inbound"], row["hops"], row["size"], row["head_size"], row["crc"])
    texts = (row["envelope"], row["evidence"])
    try:
        if (seen := row_checksum(fixed, texts, row["prefix"])) != row["check_crc"]:
            raise StorageError(f"the record's checksum is {seen:08x}, expected {row['check_crc']:08x}")
        envelope, evidence = envelope_in(texts[0]), json.loads(texts[1])
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise StorageError(f"the record cannot be read: {error}") from error
    if any(state.index >= len(envelope.recipients) for state in states):
        raise StorageError("the record has more recipients than its envelope")
    told = (row["received"], row["inbound"], states, evidence, row["hops"])
    return QueuedMessage(row["id"], envelope, content, row["prefix"], *told)


STATE_COLUMNS = "idx, connector, state, due, attempts, reason, warned, form, word"


def recipient_in(row: Any) -> RecipientState:
    """A recipient's state from its STATE_COLUMNS."""
    head = (row["idx"], row["connector"], row["state"], row["due"], row["attempts"])
    return RecipientState(*head, row["reason"], row["warned"], row["form"], row["word"])


def event_out(event: Event) -> tuple[Any, ...]:
    """At, name, recipients, detail."""
    at, name, recipients, detail = queue_rows.event_out(event)
    return float(str(at)), plain(str(name)), recipients, detail


def event_of(row: Any) -> Event:
    """The event of a row."""
    return event_in((row["at"], row["name"], row["recipients"], row["detail"]))
