"""What of a queue that was set aside is sound goes into the new one, so that damage to a page stops no other mail.

A message is taken over if it is there whole: its record as its checksum says, every recipient, the content. Only open
ones are; what has ended stays behind with its history. Rows are copied as they stand, under the numbers they had.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import apsw

from mta.adapters.durable import sync_folder
from mta.adapters.sqlite.queries import record, stored_content
from mta.adapters.sqlite.spool import verify
from mta.errors import StorageError
from mta.model.lifecycle import OPEN, STATES
from mta.model.word import first_word

_SPREAD = 5_000_000  # numbers that are tried one by one where nothing else tells which there are
# Ways that lead to numbers, each as far as it can be gone, from both ends.
_WAYS = tuple(
    f"SELECT {column} FROM {table} ORDER BY {order} {way}"  # noqa: S608
    for table, column, order in (
        ("message", "seq", "seq"),
        ("recipient", "message", "message"),
        ("recipient INDEXED BY recipient_due", "message", "due"),
        ("content", "seq", "seq"),
    )
    for way in ("ASC", "DESC")
)
_TABLES = (("message", "seq"), ("recipient", "message"), ("content", "seq"), ("form", "message"), ("event", "message"))
Row = dict[str, Any]  # by the names of its columns
_FILES = "SELECT file FROM message WHERE seq = ?1 UNION ALL SELECT file FROM form WHERE message = ?1"


def salvage(old: Path, old_folder: Path, db: apsw.Connection, folder: Path) -> tuple[int, int]:
    """Copy what is sound from the database `old`, its contents in `old_folder`; how many messages, and how many not.

    Raises OSError or apsw's errors where the new queue cannot be written.
    """
    saved = lost = 0
    with contextlib.closing(_opened(old)) as broken:
        for seq in sorted(_numbers(broken)):
            try:
                rows = _whole(broken, seq, old_folder)
            except Exception:  # of a damaged file anything may come
                lost += 1
                continue
            if rows:
                _take(db, rows, old_folder, folder)
                saved += 1
    return saved, lost


def _opened(path: Path) -> apsw.Connection:
    """For reading only: nothing of it changes, its log stays what it is."""
    db = apsw.Connection(str(path))
    with contextlib.suppress(apsw.Error):
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1)  # a table whose definition is damaged hides no other
        db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        db.execute("PRAGMA query_only = ON").fetchall()
    return db


def _numbers(db: apsw.Connection) -> set[int]:
    numbers: set[int] = set()
    for sql in _WAYS:
        with contextlib.suppress(Exception):  # as far as it goes
            numbers.update(seq for (seq,) in db.execute(sql) if isinstance(seq, int))
    likely = [seq for seq in numbers if 0 < seq < 1 << 40]
    if likely and max(likely) - min(likely) < _SPREAD:
        numbers.update(range(min(likely), max(likely) + 1))
    return numbers


def _whole(db: apsw.Connection, seq: int, contents: Path) -> dict[str, list[Row]]:
    """The rows of an open message; nothing if there is none or it has ended. Raises if it is not sound."""
    rows = {table: _rows(db, table, key, seq) for table, key in _TABLES[:2]}
    if not rows["message"] and not rows["recipient"]:
        return {}
    message = record(db, seq)
    recipients = rows["recipient"]
    for row in recipients:
        row.setdefault("word", first_word(str(row["reason"])))
    if not any(row["state"] in OPEN for row in recipients):
        return {}
    if {row["idx"] for row in recipients} != set(range(len(message.envelope.recipients))):
        raise StorageError("its recipients are not all there")
    if any(row["state"] not in STATES or not isinstance(row["due"], (int, float)) for row in recipients):
        raise StorageError("a recipient's row cannot be read")
    for stored in stored_content(db, seq):
        if stored.file and (fault := verify(contents / stored.file, stored.size, stored.crc)):
            raise StorageError(fault)
    for table, key in _TABLES[2:4]:
        rows[table] = _rows(db, table, key, seq)
    rows["event"] = []
    with contextlib.suppress(Exception):  # a history that cannot be read keeps nobody's mail
        rows["event"] = _rows(db, "event", "message", seq)
    return rows


def _rows(db: apsw.Connection, table: str, key: str, seq: int) -> list[Row]:
    """With the names of its columns: a queue that was set aside may be of an earlier version of the schema."""
    cursor = db.execute(f"SELECT * FROM {table} WHERE {key} = ?", (seq,))  # noqa: S608
    return [dict(zip((name for name, *_ in cursor.get_description()), row, strict=True)) for row in cursor]


def _take(db: apsw.Connection, rows: dict[str, list[Row]], old_folder: Path, folder: Path) -> None:
    """The contents first: until the rows are there, they are what `envelope/` says of them."""
    seq = rows["message"][0]["seq"]
    with db:
        for table, table_rows in rows.items():
            columns = {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}
            for row in table_rows:
                _insert(db, table, {name: value for name, value in row.items() if name in columns})
        moved = [str(name) for (name,) in db.execute(_FILES, (seq,)) if name is not None]
        for name in moved:
            _move(old_folder, folder, name)
        if moved:
            sync_folder(folder)


def _insert(db: apsw.Connection, table: str, row: Row) -> None:
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608


def _move(old_folder: Path, folder: Path, name: str) -> None:
    (old_folder / name).rename(folder / name)
    number = old_folder.name.rpartition("-")[2]
    with contextlib.suppress(OSError):
        (old_folder.with_name(f"envelope.corrupt-{number}") / name).rename(folder.with_name("envelope") / name)
