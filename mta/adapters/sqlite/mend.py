"""What a queue file is asked when it is opened, and the repair of what only rows or indexes have lost.

A file whose structure is broken is not touched here: it is set aside whole (shard.py). What is mended never ends a
message and never makes one leave: whatever is in doubt is held, with a reason, for a person to look at.
"""

from __future__ import annotations

import re
import time
from collections import Counter

import apsw

from mta.adapters.queue_rows import address_key
from mta.adapters.sqlite.claims import Numbers
from mta.adapters.sqlite.damage import PLACES, quarantine, shown
from mta.adapters.sqlite.queries import NEVER, record
from mta.adapters.sqlite.states import IS_NO_STATE, IS_OPEN, IS_QUEUED
from mta.adapters.sqlite.work import Tuning, Work
from mta.model.lifecycle import HELD
from mta.model.word import Word
from mta.observe import events
from mta.ports import Event

_NAMED = 20  # messages in one alarm
# What PRAGMA integrity_check says of rows and indexes; everything else is about the structure of the file.
_OF_ROWS = re.compile(r"row \d+ missing from index|wrong # of entries in index|non-unique entry in index|NULL value in")
_OPEN = f"SELECT 1 FROM recipient WHERE message = m.seq AND {IS_OPEN}"  # noqa: S608
_UNREADABLE = (
    "SELECT DISTINCT message FROM recipient WHERE typeof(message) = 'integer' AND (typeof(idx) <> 'integer'"  # noqa: S608
    f" OR idx NOT BETWEEN 0 AND {PLACES - 1} OR {IS_NO_STATE} OR ({IS_QUEUED}"
    f" AND (due IS NULL OR typeof(due) NOT IN ('real', 'integer') OR due > {NEVER})))"
)
_WITHOUT_MESSAGE = (
    f"SELECT DISTINCT message FROM recipient r WHERE {IS_OPEN} AND typeof(message) = 'integer'"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM message WHERE seq = r.message)"
)
_ENDED_TOO_EARLY = f"UPDATE message AS m SET ended = NULL WHERE ended IS NOT NULL AND EXISTS ({_OPEN})"  # noqa: S608
_WITHOUT_RECIPIENTS = (
    f"SELECT seq FROM message m WHERE ended IS NULL AND (NOT EXISTS ({_OPEN}) OR (json_valid(envelope)"  # noqa: S608
    " AND json_array_length(envelope, '$.recipients') > (SELECT count(*) FROM recipient WHERE message = m.seq)))"
)
_LOST = (
    "INSERT OR IGNORE INTO recipient (message, idx, connector, state, due, attempts, warned, reason, word, address)"  # noqa: S608
    f" VALUES (?, ?, '', '{HELD}', 0.0, 0, 0, ?, '{Word.DAMAGED}', ?)"
)
_TWICE = (
    "SELECT seq FROM message NOT INDEXED"
    " WHERE id IN (SELECT id FROM message NOT INDEXED GROUP BY id HAVING count(*) > 1)"
)
_COUNTED = (
    "SELECT CAST(state AS BLOB) AS name, count(*) AS value FROM recipient GROUP BY 1"
    " UNION ALL SELECT CAST('octets' AS BLOB), coalesce(sum(size), 0) FROM message WHERE ended IS NULL"
)
_COUNTERS = (
    "SELECT CAST(name AS BLOB), CASE typeof(value) WHEN 'integer' THEN value END FROM counter"
    " WHERE value <> 0 OR name = 'octets'"
)
_SETTLED = f"SELECT 1 FROM recipient WHERE message = ? AND {IS_OPEN}"  # noqa: S608


def mend(db: apsw.Connection, tuning: Tuning) -> list[str]:
    """Look a file of moderate size through and mend what can be; the alarms to raise.

    Raises apsw.CorruptError if the structure of the file is broken: a torn page is better met now than in the middle
    of a delivery.
    """
    size = int(db.execute("PRAGMA page_count").get) * int(db.execute("PRAGMA page_size").get)
    if size > tuning.check_up_to:
        return []
    complaints = [str(line) for (line,) in db.execute("PRAGMA integrity_check(100)") if line != "ok"]
    if structural := [line for line in complaints if not _OF_ROWS.search(line)]:
        raise apsw.CorruptError(structural[0])
    with db:
        alarms = [_reindex(db, complaints)] if complaints else []
        alarms += _hold_what_is_in_doubt(db)
        _count_again(db)
    return alarms


def _reindex(db: apsw.Connection, complaints: list[str]) -> str:
    for (seq,) in db.execute(_TWICE).fetchall():  # an id has become another's: whose row is not as it was loses it
        if not _is_sound(db, int(str(seq))):
            db.execute("DROP INDEX IF EXISTS message_id")
            db.execute("UPDATE message SET id = ? WHERE seq = ?", (f"damaged-{seq}", seq))
    db.execute("CREATE UNIQUE INDEX IF NOT EXISTS message_id ON message (id)")
    try:
        db.execute("REINDEX")
    except apsw.ConstraintError as error:
        raise apsw.CorruptError(f"{complaints[0]}; {error}") from error
    return f"the indexes of {db.filename} were damaged ({complaints[0]}) and were made anew; check the disk"


def _is_sound(db: apsw.Connection, seq: int) -> bool:
    try:
        record(db, seq)
    except Exception:  # of a damaged row anything may come
        return False
    return True


def _hold_what_is_in_doubt(db: apsw.Connection) -> list[str]:
    work = Work(db, Numbers(db))
    db.execute("DELETE FROM recipient WHERE typeof(message) <> 'integer'")  # whose message will be found to miss one
    db.execute(_ENDED_TOO_EARLY)
    kinds = (
        (_UNREADABLE, "a recipient's row cannot be read"),
        (_WITHOUT_MESSAGE, "the record is missing"),
        (_WITHOUT_RECIPIENTS, "rows of its recipients are missing"),
    )
    faults: dict[int, str] = {}
    for sql, fault in kinds:
        for (seq,) in db.execute(sql).fetchall():
            faults.setdefault(int(str(seq)), fault)
    return _told([_hold(work, seq, fault) for seq, fault in faults.items()], db)


def _hold(work: Work, seq: int, fault: str) -> str:
    why = f"{Word.DAMAGED}: {fault}; held, nothing of it was sent"
    try:
        envelope = record(work.db, seq).envelope
        addresses = [address_key(each.mailbox) for each in envelope.recipients]
    except Exception:  # of a damaged row anything may come
        addresses = []
    quarantine(work, seq, Event(time.time(), events.MESSAGE_QUARANTINED, {"reason": fault}), why)
    for index, address in enumerate(addresses or [""]):
        if addresses or not work.db.execute("SELECT 1 FROM recipient WHERE message = ?", (seq,)).fetchone():
            work.db.execute(_LOST, (seq, index, why, address))
    if not work.db.execute(_SETTLED, (seq,)).fetchone():  # every recipient has come to its end: so has the message
        work.db.execute("UPDATE message SET ended = ? WHERE seq = ?", (time.time(), seq))
    return f"message {shown(work.db, seq, fault).id}: {fault}"


def _told(held: list[str], db: apsw.Connection) -> list[str]:
    if not held:
        return []
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    return [
        f"{db.filename}: damaged mail is held: {'; '.join(held[:_NAMED])}{more}; see `mta queue list --status held`"
    ]


def _count_again(db: apsw.Connection) -> None:
    """Make the counters what they ought to be; writes only if they are not."""
    if Counter(dict(db.execute(_COUNTED))) != Counter(dict(db.execute(_COUNTERS))):
        db.execute("DELETE FROM counter")
        db.execute(f"INSERT INTO counter SELECT CAST(name AS TEXT), value FROM ({_COUNTED})")  # noqa: S608
