"""Everything that is read from the queue file. Runs in the writer thread, between two transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

import apsw

from mta.adapters.sqlite.faults import DAMAGED
from mta.adapters.sqlite.rows import (
    MESSAGE_COLUMNS,
    RECIPIENT_COLUMNS,
    StoredContent,
    damaged_message,
    event_in,
    message_in,
    plain,
    recipient_in,
)
from mta.adapters.sqlite.writer import Work
from mta.errors import StorageError
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.ports import Event, QueueFilter, TraceRecord

Claims = Mapping[int, Set[int]]  # seq -> places of claimed recipients
ContentOf = Callable[[StoredContent], Content]

_DUE = "SELECT due, message, idx FROM recipient WHERE state = 'queued' AND due <= ? ORDER BY due, message, idx"
_EARLIEST = "SELECT due, message, idx FROM recipient WHERE state = 'queued' ORDER BY due, message, idx"
_MESSAGE = f"SELECT {MESSAGE_COLUMNS} FROM message WHERE seq = ?"  # noqa: S608
_RECIPIENTS = f"SELECT {RECIPIENT_COLUMNS} FROM recipient WHERE message = ? ORDER BY idx"  # noqa: S608
_DUE_RECIPIENTS = (
    f"SELECT {RECIPIENT_COLUMNS} FROM recipient"  # noqa: S608
    " WHERE message = ? AND state = 'queued' AND due <= ? ORDER BY idx"
)
_EVENTS = "SELECT at, name, recipients, detail FROM event WHERE message = ? ORDER BY n"


@dataclass(frozen=True, slots=True)
class Picked:
    """A due message: whole, or with what is wrong with it. `stored` is set if its content is a file."""

    seq: int
    message: QueuedMessage
    indices: frozenset[int]
    fault: str = ""
    stored: StoredContent | None = None


def pick_due(work: Work, now: float, limit: int, claims: Claims) -> list[Picked]:
    """Due and unclaimed messages, earliest first. Walks the index of due recipients from its beginning.

    What it steps over are recipients that are claimed already; how many messages wait behind does not matter.
    """
    db = work.db
    wanted: dict[int, None] = {}
    if limit > 0:
        for _, seq, index in db.execute(_DUE, (now,)):
            if index not in claims.get(seq, ()):
                wanted[seq] = None
                if len(wanted) >= limit:
                    break
    return [_pick(db, seq, now, claims) for seq in wanted]


def next_due(work: Work, claims: Claims) -> float | None:
    """When the earliest unclaimed recipient is due."""
    for due, seq, index in work.db.execute(_EARLIEST):
        if index not in claims.get(seq, ()):
            return float(due)
    return None


def _pick(db: apsw.Connection, seq: int, now: float, claims: Claims) -> Picked:
    taken = claims.get(seq, ())
    rows = db.execute(_DUE_RECIPIENTS, (seq, now)).fetchall()
    states = tuple(recipient_in(row) for row in rows if row[0] not in taken)
    indices = frozenset(state.index for state in states)
    row = None
    try:
        row = db.execute(_MESSAGE, (seq,)).fetchone()
        if row is None:
            raise StorageError("the record is missing")
        found: list[StoredContent] = []
        message = message_in(row, states, partial(_content, db, seq, found))
    except (StorageError, apsw.IOError, *DAMAGED) as error:
        return Picked(
            seq, damaged_message(row or (f"number {seq}", 0.0, "", ""), states, str(error)), indices, str(error)
        )
    return Picked(seq, message, indices, stored=found[0] if found else None)


def _content(db: apsw.Connection, seq: int, found: list[StoredContent], stored: StoredContent) -> Content:
    """A BLOB, checked; a file is only noted, to be checked outside of this thread."""
    if stored.file is not None:
        found.append(stored)
        return without_bytes(stored)
    row = db.execute("SELECT data FROM content WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise StorageError("the content is missing")
    data: bytes = row[0]
    if len(data) != stored.size or crc32(data) != stored.crc:
        raise StorageError(f"the content is damaged: {len(data)} octets, expected {stored.size}, or another checksum")
    return Content(stored.size, data=data)


def without_bytes(stored: StoredContent) -> Content:
    """What a listing shows of a content."""
    return Content(stored.size)


# --- search and trace ------------------------------------------------------------------------------------------------

WINDOW = 2000  # messages looked at in one go where no index answers, so that commits get in between


@dataclass(frozen=True, slots=True)
class Conditions:
    """A QueueFilter as SQL over `m` (message). `indexed`: an index finds the messages."""

    sql: str
    values: tuple[object, ...]
    indexed: bool


def conditions(which: QueueFilter) -> Conditions:
    """Every condition that is set, all of which must hold."""
    parts: list[tuple[str, tuple[object, ...]]] = []
    if which.id:
        parts.append(("m.id >= ? AND m.id < ?", (which.id, which.id + "\U0010ffff")))
    if which.sender:
        parts.append(_address("m.sender", which.sender))
    if which.recipient:
        sql, values = _address("address", which.recipient)
        parts.append((f"m.seq IN (SELECT message FROM recipient WHERE {sql})", values))  # noqa: S608
    indexed = bool(parts)
    if which.since:
        parts.append(("m.received >= ?", (which.since,)))
    for column, value in (("connector", which.connector), ("state", which.state)):
        if value:
            of_recipient = f"SELECT 1 FROM recipient r WHERE r.message = m.seq AND r.{column} = ?"  # noqa: S608
            parts.append((f"EXISTS ({of_recipient})", (value,)))
    values = tuple(value for _, some in parts for value in some)
    return Conditions(" AND ".join(sql for sql, _ in parts) or "1", values, indexed)


def _address(column: str, text: str) -> tuple[str, tuple[object, ...]]:
    """`bob@x.example`, `x.example`, or `<>` for the null sender."""
    text = plain(text.strip())
    if text == "<>":
        return f"{column} = ?", ("",)
    local, at, domain = text.removeprefix("<").removesuffix(">").rpartition("@")
    domain = domain.lower()
    if not at or not local:
        return f"{column} >= ? AND {column} < ?", (f"{domain}@", f"{domain}A")  # "A" follows "@"
    return f"{column} = ?", (f"{domain}@{local.casefold()}",)


@dataclass(frozen=True, slots=True)
class Page:
    """One step of a search: what was found, and after which `seq` to go on; None: that was all."""

    found: list[int]
    after: int | None


@dataclass(frozen=True, slots=True)
class Find:
    """One step of a search for up to `limit` messages: the undelivered ones oldest first, or all newest first."""

    given: Conditions
    undelivered: bool
    after: int | None
    limit: int

    def __call__(self, work: Work) -> Page:
        """Take the step."""
        order, beyond = ("ASC", ">") if self.undelivered else ("DESC", "<")
        ended = "ended IS NULL" if self.undelivered else "1"
        condition, values = self.given.sql, self.given.values
        if self.given.indexed:
            sql = f"SELECT m.seq FROM message m WHERE {condition} AND {ended} ORDER BY m.seq {order} LIMIT ?"  # noqa: S608
            return Page([seq for (seq,) in work.db.execute(sql, (*values, self.limit))], None)
        sql = (
            f"SELECT m.seq, {condition} FROM (SELECT seq, received FROM message WHERE {ended} AND seq {beyond} ?"  # noqa: S608
            f" ORDER BY seq {order} LIMIT ?) m ORDER BY m.seq {order}"
        )
        start = self.after if self.after is not None else (-1 if self.undelivered else 1 << 62)
        rows: list[Any] = work.db.execute(sql, (*values, start, WINDOW)).fetchall()
        found = [seq for seq, wanted in rows if wanted][: self.limit]
        return Page(found, rows[-1][0] if len(rows) == WINDOW else None)


def load(work: Work, seqs: list[int]) -> list[TraceRecord]:
    """Messages with all their recipients and their history; a damaged one as far as it can be shown."""
    records = (_load(work.db, seq) for seq in seqs)
    return [record for record in records if record is not None]


def _load(db: apsw.Connection, seq: int) -> TraceRecord | None:
    row = db.execute(_MESSAGE, (seq,)).fetchone()
    if row is None:
        return None  # purged since it was found
    states: tuple[RecipientState, ...] = tuple(recipient_in(r) for r in db.execute(_RECIPIENTS, (seq,)))
    events: tuple[Event, ...] = tuple(event_in(r) for r in db.execute(_EVENTS, (seq,)))
    try:
        return TraceRecord(message_in(row, states, without_bytes), events)
    except StorageError as error:
        return TraceRecord(damaged_message(row, states, str(error)), events)
