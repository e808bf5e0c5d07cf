"""A message that is not as it was written: what can be shown of it, and how it is held.

Nothing here believes a column: numbers may be texts, texts may be no UTF-8, rows may be missing. What comes out can be
listed, held, released and deleted like any other message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import apsw

from mta.adapters.queue_rows import event_out, plain
from mta.adapters.sqlite.work import Work
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.lifecycle import FINAL, HELD, QUEUED
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.word import Word
from mta.ports import Event

HANDLE = re.compile(r"damaged-(-?[0-9]{1,18})\Z")  # what a message is called whose own id cannot be used: its number
PLACES = 65_536  # no envelope has more recipients
_ID = re.compile(r"[!-~]{1,64}\Z")
_UNKNOWN = Recipient(Mailbox("unknown", "damaged.invalid", "damaged.invalid"))
_RECIPIENT = ("idx", "connector", "state", "due", "attempts", "reason", "warned", "form", "word", "address")


def _as_they_are(*columns: str) -> str:
    """Columns for a SELECT that hands out texts as octets, for they may be no UTF-8."""
    return ", ".join(f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END" for name in columns)


_MESSAGE = f"SELECT {_as_they_are('id', 'received', 'sender', 'inbound', 'size')} FROM message WHERE seq = ?"  # noqa: S608
_RECIPIENTS = f"SELECT {_as_they_are(*_RECIPIENT)} FROM recipient WHERE message = ?"  # noqa: S608
_EVENTS = f"SELECT {_as_they_are('at', 'name', 'recipients', 'detail')} FROM event WHERE message = ? ORDER BY id"  # noqa: S608
_STUB = (
    "INSERT OR IGNORE INTO message (seq, id, received, sender, inbound, hops, size, head_size, crc, check_crc,"
    " envelope, evidence, prefix) VALUES (?, ?, ?, '', '', 0, 0, 0, 0, 0, '', '', x'')"
)
_INSERT_EVENT = "INSERT INTO event (message, at, name, recipients, detail) VALUES (?, ?, ?, ?, ?)"
_REWRITE = (
    "UPDATE recipient SET idx = ?, connector = ?, state = ?, due = 0.0, attempts = ?, reason = ?, warned = ?, form = ?,"
    " word = ?, address = ? WHERE message = ? AND "
)


def shown(db: apsw.Connection, seq: int, why: str) -> QueuedMessage:
    """What can be shown of message `seq`; its evidence says why that is not all."""
    row = next(_readable(db, _MESSAGE, seq), (b"", 0.0, b"", b"", 0))
    identity, received, sender, inbound, size = row
    rows = [each for each in _readable(db, _RECIPIENTS, seq) if _is_place(each[0])]
    addresses = {each[0]: _recipient(text(each[9])) for each in rows}
    places = range(max(addresses, default=-1) + 1)
    return QueuedMessage(
        _name(db, seq, text(identity)),
        Envelope(_mailbox(text(sender)), tuple(addresses.get(index, _UNKNOWN) for index in places)),
        Content(_number(size)),
        b"",
        float(received) if isinstance(received, (int, float)) else 0.0,
        text(inbound),
        tuple(_state(each) for each in sorted(rows, key=lambda each: int(each[0]))),
        {"damaged": why},
        0,
    )


def history(db: apsw.Connection, seq: int) -> tuple[Event, ...]:
    """The events of a message as far as they can be read, as they stand in the file."""
    entries = []
    for at, name, recipients, detail in _readable(db, _EVENTS, seq):
        when = float(at) if isinstance(at, (int, float)) else 0.0
        entries.append(Event(when, text(name), {"damaged": f"recipients {text(recipients)}, detail {text(detail)}"}))
    return tuple(entries)


def _readable(db: apsw.Connection, sql: str, key: int | str) -> Iterator[tuple[Any, ...]]:
    """The rows up to the first that the file does not give."""
    try:
        yield from db.execute(sql, (key,))
    except apsw.Error:
        return


def text(value: object) -> str:
    """A column as text, whatever is in it: what is no UTF-8 stands as its escape."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else plain(str(value))


def _is_place(index: object) -> bool:
    return isinstance(index, int) and 0 <= index < PLACES


def _number(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _name(db: apsw.Connection, seq: int, identity: str) -> str:
    """Its id, if that leads to this message and no other."""
    if _ID.match(identity) and not HANDLE.match(identity):
        row = next(_readable(db, "SELECT seq FROM message WHERE id = ?", identity), None)
        if row == (seq,):
            return identity
    return f"damaged-{seq}"


def _mailbox(key: str) -> Mailbox | None:
    """An address from `domain@local`, as the tables keep it to find it by."""
    domain, at, local = key.partition("@")
    return Mailbox(local, domain, domain) if at and local else None


def _recipient(key: str) -> Recipient:
    mailbox = _mailbox(key)
    return Recipient(mailbox) if mailbox else _UNKNOWN


def _state(row: tuple[Any, ...]) -> RecipientState:
    index, connector, state, due, attempts, reason, warned, form, word, _ = row
    return RecipientState(
        index,
        text(connector),
        text(state),
        float(due) if isinstance(due, (int, float)) else 0.0,
        _number(attempts),
        text(reason),
        bool(warned),
        _number(form),
        text(word),
    )


def quarantine(work: Work, seq: int, event: Event, why: str) -> None:
    """Hold every recipient that has not come to its end, in rows that everybody can read again."""
    work.db.execute(_STUB, (seq, f"damaged-{seq}", event.at))  # only where the message itself is missing
    rows = list(work.db.execute(_RECIPIENTS, (seq,)))
    taken = {row[0] for row in rows if _is_place(row[0])}
    for row in rows:
        index, state = row[0], text(row[2])
        if state in FINAL and _is_place(index):
            continue
        place = index if _is_place(index) else _free(taken)
        _rewrite(work.db, seq, place, row, state if state in FINAL else HELD, why)
        if state not in FINAL and state != HELD:
            work.count(QUEUED, -1)
            work.count(HELD, 1)
    work.db.execute(_INSERT_EVENT, (seq, *event_out(event)))


def _rewrite(db: apsw.Connection, seq: int, place: int, row: tuple[Any, ...], state: str, why: str) -> None:
    index, recipient = row[0], _state((place, *row[1:]))
    which = "CAST(idx AS BLOB) = ?" if isinstance(index, bytes) else "idx IS ?"  # a text, or octets
    values = (
        place,
        recipient.connector,
        state,
        recipient.attempts,
        why,
        recipient.warned,
        recipient.form,
        Word.DAMAGED,
        text(row[9]),
    )
    db.execute(_REWRITE + which, (*values, seq, index))


def _free(taken: set[int]) -> int:
    place = next(place for place in range(PLACES) if place not in taken)
    taken.add(place)
    return place
