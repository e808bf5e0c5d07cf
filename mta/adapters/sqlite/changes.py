"""Everything that is written to the queue file. Each function is (part of) one job of the writer."""

from __future__ import annotations

from collections.abc import Collection

import apsw

from mta.adapters.queue_rows import plain
from mta.adapters.sqlite import envelopes
from mta.adapters.sqlite.damage import HANDLE
from mta.adapters.sqlite.rows import MESSAGE_COLUMNS, RECIPIENT_COLUMNS, Incoming, IncomingForm
from mta.adapters.sqlite.states import ENDS_FROM_QUEUED, IS_OPEN
from mta.adapters.sqlite.work import Work
from mta.errors import LocalProtocolError
from mta.model.frozen import frozen
from mta.model.lifecycle import FINAL, QUEUED, STATES, after
from mta.ports import RecipientFate, Settlement

OCTETS = "octets"  # the counter of undelivered content; every other counter is a state

_INSERT_MESSAGE = f"INSERT INTO message (seq, {MESSAGE_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
_INSERT_RECIPIENT = f"INSERT INTO recipient (message, {RECIPIENT_COLUMNS}, address) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
_INSERT_CONTENT = "INSERT INTO content (seq, data) VALUES (?, ?)"
_INSERT_EVENT = "INSERT INTO event (message, at, name, recipients, detail) VALUES (?, ?, ?, ?, ?)"
_UPDATE_RECIPIENT = (
    "UPDATE recipient SET state = ?, word = ?, reason = ?, due = ?, attempts = attempts + ?, warned = warned OR ?"
    " WHERE message = ? AND idx = ?"
)
_UPDATE_QUEUED = f"{_UPDATE_RECIPIENT} AND {ENDS_FROM_QUEUED}"
_END_IF_NONE_IS_OPEN = (
    "UPDATE message SET ended = ?1 WHERE seq = ?2 AND ended IS NULL AND NOT EXISTS"  # noqa: S608
    f" (SELECT 1 FROM recipient WHERE message = ?2 AND {IS_OPEN})"
    " RETURNING size, file, EXISTS (SELECT 1 FROM form WHERE message = ?2)"
)
_IS_NUMBERED = "SELECT 1 FROM message WHERE seq = ? AND id = ?"
_INSERT_FORM = (
    "INSERT INTO form (message, n, size, file, head_size, crc, detail, data)"
    " VALUES (?1, (SELECT coalesce(max(n), 0) + 1 FROM form WHERE message = ?1), ?2, ?3, ?4, ?5, ?6, ?7) RETURNING n"
)
_ENDED = (  # `ended` is not believed where a recipient is open: a damaged row may say anything
    "SELECT seq FROM message m WHERE ended < ? AND NOT EXISTS"  # noqa: S608
    f" (SELECT 1 FROM recipient WHERE message = m.seq AND {IS_OPEN}) ORDER BY ended LIMIT ?"
)
_TAKE_FORM = f"UPDATE recipient SET form = ? WHERE message = ? AND idx = ? AND {IS_OPEN}"  # noqa: S608


def insert_message(work: Work, incoming: Incoming) -> int:
    """Write a new message; its `seq`. The file of a large content is made durable first."""
    if incoming.spool:
        incoming.spool.make_durable()
        work.spools.append(incoming.spool)
    db, seq = work.db, work.numbers.next()
    try:
        db.execute(_INSERT_MESSAGE, (seq, *incoming.row))
    except apsw.ConstraintError as error:
        raise LocalProtocolError(f"message {incoming.id} cannot be queued: {error}") from error
    if incoming.spool and not incoming.ended:
        work.kept.append((incoming.spool.name, envelopes.text_of(incoming)))
    if incoming.data is not None:
        db.execute(_INSERT_CONTENT, (seq, incoming.data))
    for row in incoming.recipients:
        db.execute(_INSERT_RECIPIENT, (seq, *row))
        work.count(str(row[2]), 1)
    work.count(OCTETS, incoming.size)
    if incoming.ended:
        end(work, seq, float(str(incoming.row[1])))
    return seq


@frozen
class Change:
    """A settlement made ready: events as rows, notices as rows."""

    settlement: Settlement
    events: tuple[tuple[object, ...], ...]
    notices: tuple[Incoming, ...]
    forms: tuple[IncomingForm, ...] = ()
    seq: int | None = None  # where it is known: of a claimed message


def apply_settlement(work: Work, change: Change) -> int:
    """Write fates, events and notices; the `seq` of the message. Raises LocalProtocolError if there is none."""
    settlement = change.settlement
    seq = _seq_of(work, settlement.message_id, change.seq)
    finished = False
    for fate in settlement.fates:
        finished |= _apply_fate(work, seq, fate, settlement)
    _append_events(work, seq, change.events)
    for notice in change.notices:
        insert_message(work, notice)
    for form in change.forms:
        _insert_form(work, seq, form)
    if finished:
        end(work, seq, settlement.at)
    return seq


def _seq_of(work: Work, message_id: str, claimed: int | None) -> int:
    """Its number. That of a claim is believed as long as the message has it."""
    if claimed is not None and work.db.execute(_IS_NUMBERED, (claimed, message_id)).fetchone():
        return claimed
    if handle := HANDLE.match(message_id):
        row = work.db.execute("SELECT seq FROM message WHERE seq = ?", (int(handle[1]),)).fetchone()
    else:
        row = work.db.execute("SELECT seq FROM message WHERE id = ?", (message_id,)).fetchone()
    if row is None:
        raise LocalProtocolError(f"message {message_id} cannot be settled: it is not in this queue")
    return int(row[0])


def _apply_fate(work: Work, seq: int, fate: RecipientFate, settlement: Settlement) -> bool:
    """Write one fate; whether it is final. A recipient that came to its end meanwhile stays as it is."""
    db, state = work.db, fate.state
    values = (plain(fate.word), plain(fate.reason), fate.due, fate.counted, fate.warned, seq, fate.index)
    if state in FINAL:  # nearly always the case: a recipient that was queued has come to its end
        db.execute(_UPDATE_QUEUED, (state, *values))
        if db.changes():
            work.count(QUEUED, -1)
            work.count(state, 1)
            return True
    row = db.execute("SELECT state FROM recipient WHERE message = ? AND idx = ?", (seq, fate.index)).fetchone()
    if row is None or state not in STATES:
        raise LocalProtocolError(
            f"message {settlement.message_id} has no recipient {fate.index}, or there is no state {state!r}"
        )
    old = row[0]
    new = after(old, state, by_attempt=fate.counted)
    if new is None:
        return False  # an operator deleted it while an attempt was under way
    db.execute(_UPDATE_RECIPIENT, (new, *values))
    if old != new:
        work.count(old, -1)
        work.count(new, 1)
    return new in FINAL


def _append_events(work: Work, seq: int, events: tuple[tuple[object, ...], ...]) -> None:
    for event in events:
        work.db.execute(_INSERT_EVENT, (seq, *event))


def _insert_form(work: Work, seq: int, form: IncomingForm) -> None:
    if form.spool:
        form.spool.make_durable()
        work.spools.append(form.spool)
    db = work.db
    number, taken = db.execute(_INSERT_FORM, (seq, *form.row)).get, 0
    for index in form.recipients:
        db.execute(_TAKE_FORM, (number, seq, index))
        taken += db.changes()
    if not taken:  # an operator deleted them while the attempt was under way: nobody would ever send it
        gone = db.execute("DELETE FROM form WHERE message = ? AND n = ? RETURNING file", (seq, number)).fetchall()
        work.doomed.extend(str(name) for (name,) in gone if name is not None)


def end(work: Work, seq: int, at: float) -> None:
    """If that was the last recipient, the message has come to its end: the content goes, the history stays."""
    db = work.db
    row = db.execute(_END_IF_NONE_IS_OPEN, (at, seq)).fetchone()
    if row is None:
        return
    size, file, has_forms = row
    work.count(OCTETS, -size if isinstance(size, int) else 0)  # of a damaged row it may be anything
    if has_forms:
        gone = db.execute("DELETE FROM form WHERE message = ? RETURNING file", (seq,)).fetchall()
        work.doomed.extend(str(name) for (name,) in gone if name is not None)
    if file is None:
        db.execute("DELETE FROM content WHERE seq = ?", (seq,))
    else:
        work.doomed.append(file)


def purge(work: Work, before: float, limit: int, claimed: Collection[int]) -> int:
    """Forget up to `limit` messages that ended before `before`: none that somebody is still delivering."""
    db = work.db
    found = db.execute(_ENDED, (before, limit + len(claimed))).fetchall()
    ended = [seq for (seq,) in found if seq not in claimed][:limit]
    if ended:
        db.execute("INSERT OR REPLACE INTO mark VALUES ('seq', ?)", (work.numbers.last,))
    for seq in ended:
        for (state,) in db.execute("DELETE FROM recipient WHERE message = ? RETURNING state", (seq,)):
            work.count(state, -1)
        db.execute("DELETE FROM event WHERE message = ?", (seq,))
        db.execute("DELETE FROM content WHERE seq = ?", (seq,))
        db.execute("DELETE FROM message WHERE seq = ?", (seq,))
    return len(ended)
