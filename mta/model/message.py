"""A message is its original bytes; what we add stands in front of them (design: nothing is re-serialised)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mta.model.envelope import Envelope
from mta.model.frozen import frozen

# The inbound connectors of what we write ourselves; no connector of the configuration may be called so.
NOTICE, REPORT, PORTAL = "notice", "report", "portal"
OUR_OWN = frozenset({NOTICE, REPORT, PORTAL})


class HeaderField(NamedTuple):
    """One header field as a span of the message: `raw[start:end]` includes folding and the final CRLF.

    `name` is in lower case; `value_start` is the offset just after the colon. A tuple, because every message brings
    dozens of them and they cost half as much.
    """

    name: bytes
    start: int
    value_start: int
    end: int


@frozen
class HeaderBlock:
    """The header of a message, found once: its fields in order and where the body begins.

    `extended` are the names of fields that some readers carry on beyond the end that they have here.
    """

    raw: bytes
    fields: tuple[HeaderField, ...]
    body_start: int
    extended: frozenset[bytes] = frozenset()

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """The raw values (folding kept, final CRLF dropped) of every field called `name` (lower case)."""
        return tuple([self.raw[f.value_start : f.end].rstrip(b"\r\n") for f in self.fields if f.name == name])

    def count(self, name: bytes) -> int:
        """How many fields are called `name` (lower case)."""
        return [f.name for f in self.fields].count(name)


@frozen
class Content:
    """The bytes of a message: in memory, or in a spool file that belongs to the queue.

    Exactly one of `data` and `path` is set. `head` is the beginning (at least the whole header block) of a spooled
    one. Lines end in CRLF, no dot is stuffed.

    `verbatim`: whoever read it from a client has seen that no line begins with a dot and that no CR or LF stands
    alone, so the bytes can be sent as they are. Not to be said of bytes that were made or changed here.
    """

    size: int
    data: bytes | None = None
    path: str | None = None
    head: bytes = b""
    verbatim: bool = False

    @property
    def beginning(self) -> bytes:
        """Bytes that hold at least the whole header block."""
        return self.data if self.data is not None else self.head


@frozen
class RecipientState:
    """One recipient of a queued message, as the queue knows it. `index` is its place in the envelope."""

    index: int
    connector: str  # the outbound connector chosen at RCPT
    state: str = "queued"  # model/lifecycle.py names the states and their legal moves
    due: float = 0.0  # epoch seconds of the next attempt
    attempts: int = 0
    reason: str = ""  # the last thing that was said about it
    warned: bool = False  # the delay warning was sent
    form: int = 0  # the number of the `Form` that it was sent before; 0: none, the message as it came
    word: str = ""  # a Word, what `reason` begins with or is about; empty: none, or of an earlier version


@dataclass(frozen=True, slots=True)
class Form:
    """A message as it leaves for some of its recipients: made once, every later attempt sends these bytes.

    `number` is its name within the message, from 1. `detail` tells what was done to it (JSON types only).
    """

    number: int
    content: Content
    detail: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewForm:
    """A message as it was sent to these recipients (places in the envelope), to be sent so again (`Form`)."""

    recipients: tuple[int, ...]
    content: Content
    detail: dict[str, object]


@frozen
class QueuedMessage:
    """A message we have answered for. `prefix` (our trace header fields) travels before the content.

    `received` is in epoch seconds; `inbound` names the connector that took it.
    """

    id: str
    envelope: Envelope
    content: Content
    prefix: bytes
    received: float
    inbound: str
    states: tuple[RecipientState, ...]
    evidence: dict[str, object] = field(default_factory=dict)  # of the accept; JSON types only
    hops: int = 0
    forms: tuple[Form, ...] = ()  # those that the recipients in `states` need

    @property
    def size(self) -> int:
        """Octets as they go out, before dot-stuffing."""
        return len(self.prefix) + self.content.size
