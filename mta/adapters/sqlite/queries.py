"""Everything that is read from the queue file. Runs in the writer thread, between two transactions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import apsw

from mta.adapters.queue_rows import event_in
from mta.adapters.sqlite.conditions import WINDOW, Condition, conditions, narrowest
from mta.adapters.sqlite.damage import history, shown
from mta.adapters.sqlite.rows import MESSAGE_COLUMNS, STATE_COLUMNS, StoredContent, message_in, recipient_in
from mta.adapters.sqlite.states import IS_QUEUED
from mta.adapters.sqlite.work import Work
from mta.adapters.sqlite.writer import Writer
from mta.errors import StorageError
from mta.model.message import Content, Form, QueuedMessage
from mta.ports import Event, QueueFilter, TraceRecord

Claims = Mapping[int, Set[int]]  # seq -> places of claimed recipients

ARE_NUMBERS = "typeof(message) = 'integer' AND typeof(idx) = 'integer'"  # of a damaged row they need not be
_DUE = (
    f"SELECT due, message, idx FROM recipient WHERE {IS_QUEUED} AND due <= ?"  # noqa: S608
    f" AND {ARE_NUMBERS} ORDER BY due, message, idx"
)
_EARLIEST = (
    f"SELECT due, message, idx FROM recipient WHERE {IS_QUEUED} AND typeof(due) IN ('real', 'integer')"  # noqa: S608
    f" AND {ARE_NUMBERS} ORDER BY due, message, idx"
)
NEVER = 1e11  # epoch seconds, in the year 5138: a row that says so is damaged, like one whose time is no number
_NEVER_DUE = (
    f"SELECT message FROM (SELECT message, idx FROM recipient WHERE {IS_QUEUED} AND due > ?"  # noqa: S608
    f" UNION ALL SELECT message, idx FROM recipient WHERE {IS_QUEUED} AND due IS NULL)"
    f" WHERE {ARE_NUMBERS} LIMIT 9"
)
_MESSAGE = f"SELECT {MESSAGE_COLUMNS} FROM message WHERE seq = ?"  # noqa: S608
_RECIPIENTS = f"SELECT {STATE_COLUMNS} FROM recipient WHERE message = ? ORDER BY idx"  # noqa: S608
_DUE_RECIPIENTS = (
    f"SELECT {STATE_COLUMNS} FROM recipient"  # noqa: S608
    f" WHERE message = ? AND {IS_QUEUED} AND due <= ? ORDER BY idx"
)
_FORM = "SELECT n, size, file, head_size, crc, detail, data FROM form WHERE message = ? AND n = ?"
_EVENTS = "SELECT at, name, recipients, detail FROM event WHERE message = ? ORDER BY id"


@dataclass(frozen=True, slots=True)
class Picked:
    """A due message: whole, or with what is wrong with it. `stored` are its contents that are files: form -> file.

    Form 0 is the message as it came.
    """

    seq: int
    message: QueuedMessage
    indices: frozenset[int]
    fault: str = ""
    unreadable: bool = False  # the fault is the disk's, which may give the message another time
    stored: Mapping[int, StoredContent] = field(default_factory=dict)


def pick_due(work: Work, now: float, limit: int, claims: Claims) -> list[Picked]:
    """Due and unclaimed messages, earliest first. Walks the index of due recipients from its beginning.

    What it steps over are recipients that are claimed already; how many messages wait behind does not matter.
    """
    db = work.db
    wanted: dict[int, set[int]] = {}
    if limit > 0:
        for _, seq, index in db.execute(_DUE, (now,)):
            if index not in claims.get(seq, ()):
                wanted.setdefault(seq, set()).add(index)
                if len(wanted) >= limit:
                    break
    lost = [seq for (seq,) in db.execute(_NEVER_DUE, (NEVER,)) if seq not in claims]
    damaged = [_damaged(db, seq, {0}, StorageError("the time of its next attempt cannot be")) for seq in lost]
    return [*(_pick(db, seq, now, claims, places) for seq, places in wanted.items()), *damaged]


def next_due(work: Work, claims: Claims) -> float | None:
    """When the earliest unclaimed recipient is due."""
    for due, seq, index in work.db.execute(_EARLIEST):
        if index not in claims.get(seq, ()):
            return float(due)
    return None


def spare(work: Work) -> int:
    """Octets of the file's free pages, and of its log, which is written from its beginning again and again."""
    db = work.db
    log = Path(f"{db.filename}-wal")
    written = log.stat().st_size if log.exists() else 0
    return int(db.execute("PRAGMA freelist_count").get) * int(db.execute("PRAGMA page_size").get) + written


def _pick(db: apsw.Connection, seq: int, now: float, claims: Claims, places: set[int]) -> Picked:
    taken = claims.get(seq, ())
    try:
        states = tuple([recipient_in(row) for row in db.execute(_DUE_RECIPIENTS, (seq, now)) if row[0] not in taken])
        indices = frozenset([state.index for state in states])
        if not places <= indices:
            raise StorageError("a recipient is not as the index of what is due says")
        row = db.execute(_MESSAGE, (seq,)).fetchone()
        if row is None:
            raise StorageError("the record is missing")
        stored: dict[int, StoredContent] = {}
        message = message_in(row, states, partial(_content, db, seq, stored))
        forms = tuple(_form(db, seq, number, stored) for number in sorted({s.form for s in states if s.form}))
    except Exception as error:  # of a damaged row anything may come; it is this message's, and no other's
        return _damaged(db, seq, places, error)
    return Picked(seq, replace(message, forms=forms) if forms else message, indices, stored=stored)


def _damaged(db: apsw.Connection, seq: int, places: set[int], error: Exception) -> Picked:
    fault = str(error) if isinstance(error, (StorageError, apsw.Error)) else f"the record cannot be read: {error}"
    unreadable = isinstance(error, apsw.IOError)
    return Picked(seq, shown(db, seq, fault), frozenset(places), fault, unreadable=unreadable)


def _form(db: apsw.Connection, seq: int, number: int, contents: dict[int, StoredContent]) -> Form:
    row = db.execute(_FORM, (seq, number)).fetchone()
    if row is None:
        raise StorageError(f"form {number} is missing")
    _, size, file, head_size, crc, detail, data = row
    stored = StoredContent(size, file, head_size, crc)
    try:
        parsed = json.loads(detail)
    except ValueError as error:
        raise StorageError(f"form {number} cannot be read: {error}") from error
    if file is not None:
        contents[number] = stored
        return Form(number, without_bytes(stored), parsed)
    return Form(number, _checked(data, stored), parsed)


def _content(db: apsw.Connection, seq: int, contents: dict[int, StoredContent], stored: StoredContent) -> Content:
    """A BLOB, checked; a file is only noted, to be checked outside of this thread."""
    if stored.file is not None:
        contents[0] = stored
        return without_bytes(stored)
    row = db.execute("SELECT data FROM content WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise StorageError("the content is missing")
    return _checked(row[0], stored)


def _checked(data: bytes, stored: StoredContent) -> Content:
    if len(data) != stored.size or crc32(data) != stored.crc:
        raise StorageError(f"the content is damaged: {len(data)} octets, expected {stored.size}, or another checksum")
    return Content(stored.size, data=data)


def without_bytes(stored: StoredContent) -> Content:
    """What a listing shows of a content."""
    return Content(stored.size)


# --- search and trace ------------------------------------------------------------------------------------------------

_LOAD = 50  # messages loaded in one go
FARTHEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Page:
    """One step of a search: what was found, and after which `seq` to go on; None: that was all."""

    found: list[int]
    after: int | None


@dataclass(frozen=True, slots=True)
class Find:
    """One step of a search for up to `limit` messages: the undelivered ones oldest first, or all newest first.

    If an index narrows it down to a few, those are judged; else the next WINDOW messages are. Either way a step is
    short, however long the history.
    """

    given: tuple[Condition, ...]
    undelivered: bool
    after: int | None
    limit: int

    def __call__(self, work: Work) -> Page:
        """Take the step."""
        where = " AND ".join(condition.sql for condition in self.given) or "1"
        values = tuple(value for condition in self.given for value in condition.values)
        narrow = narrowest(work, self.given) if self.after is None else None
        if narrow:
            return self._judge_few(work, narrow, where, values)
        return self._judge_window(work, where, values)

    def _judge_few(self, work: Work, narrow: Condition, where: str, values: tuple[object, ...]) -> Page:
        order, ended = ("ASC", "+m.ended IS NULL") if self.undelivered else ("DESC", "1")
        sql = f"SELECT seq FROM message m WHERE seq IN ({narrow.driver}) AND {where} AND {ended}"  # noqa: S608
        rows = work.db.execute(f"{sql} ORDER BY seq {order} LIMIT ?", (*narrow.values, *values, self.limit))
        return Page([seq for (seq,) in rows], None)

    def _judge_window(self, work: Work, where: str, values: tuple[object, ...]) -> Page:
        order, beyond, ended = ("ASC", ">", "ended IS NULL") if self.undelivered else ("DESC", "<", "1")
        window = (
            f"SELECT seq, id, sender, received, size FROM message WHERE {ended} AND seq {beyond} ?"  # noqa: S608
            f" ORDER BY seq {order} LIMIT ?"
        )
        start = self.after if self.after is not None else (-FARTHEST if self.undelivered else FARTHEST)
        sql = f"SELECT seq, {where} FROM ({window}) m ORDER BY seq {order}"  # noqa: S608
        rows: list[Any] = work.db.execute(sql, (*values, start, WINDOW)).fetchall()
        seqs = [seq for seq, wanted in rows if wanted][: self.limit]
        return Page(seqs, rows[-1][0] if len(rows) == WINDOW else None)


async def pages(writer: Writer, which: QueueFilter, *, undelivered: bool) -> AsyncIterator[list[TraceRecord]]:
    """All that is found, in pages that commits get in between; a page without any: the search goes on."""
    given, left, after = conditions(which), which.limit, None
    while left > 0:
        page: Page = await writer.read(Find(given, undelivered, after, left), "search")
        left, after = left - len(page.found), page.after
        for start in range(0, len(page.found) or 1, _LOAD):
            yield await writer.read(partial(load, seqs=page.found[start : start + _LOAD]), "search")
        if after is None:
            return


def load(work: Work, seqs: list[int]) -> list[TraceRecord]:
    """Messages with all their recipients and their history; a damaged one as far as it can be shown."""
    records = (_load(work.db, seq) for seq in seqs)
    return [record for record in records if record is not None]


def stored_content(db: apsw.Connection, seq: int) -> list[StoredContent]:
    """Where the contents of a message are, its own and those of its forms; a small one was checked. Raises."""
    contents: dict[int, StoredContent] = {}
    message_in(db.execute(_MESSAGE, (seq,)).fetchone() or (), (), partial(_content, db, seq, contents))
    for (number,) in db.execute("SELECT n FROM form WHERE message = ?", (seq,)).fetchall():
        _form(db, seq, int(str(number)), contents)
    return list(contents.values())


def record(db: apsw.Connection, seq: int) -> QueuedMessage:
    """A message without its content and recipients' states. Raises StorageError, or anything else if it is damaged."""
    row = db.execute(_MESSAGE, (seq,)).fetchone()
    if row is None:
        raise StorageError("the record is missing")
    return message_in(row, (), without_bytes)


def _load(db: apsw.Connection, seq: int) -> TraceRecord | None:
    try:
        row = db.execute(_MESSAGE, (seq,)).fetchone()
        if row is None:
            return None  # purged since it was found
        states = tuple(recipient_in(r) for r in db.execute(_RECIPIENTS, (seq,)))
        message = message_in(row, states, without_bytes)
    except Exception as error:  # of a damaged row anything may come: it is shown as far as it can be
        message = shown(db, seq, str(error))
    try:
        events = tuple(event_in(r) for r in db.execute(_EVENTS, (seq,)))
    except (UnicodeDecodeError, apsw.Error):
        events = history(db, seq)
    there = len(message.envelope.recipients)
    sound = all(index < there for event in events for index in event.recipients)
    return TraceRecord(message, events if sound else tuple(_within(event, there) for event in events))


def _within(event: Event, there: int) -> Event:
    return replace(event, recipients=tuple([index for index in event.recipients if index < there]))
