"""Opening queue.db: how SQLite is driven, and bringing the schema up to date."""

from __future__ import annotations

import contextlib
import operator
import re
from importlib.resources import files
from pathlib import Path

import apsw

from mta.adapters.sqlite.work import Tuning
from mta.errors import SchemaTooNew


def connect(path: Path, tuning: Tuning, told: list[str] | None = None) -> apsw.Connection:
    """An open and migrated queue file; what had to be mended for it is added to `told`.

    Raises apsw's errors, and SchemaTooNew before anything is changed.
    """
    db = apsw.Connection(str(path), vfs=tuning.vfs)
    try:
        version = _version(db)
        steps = migrations()
        if version > len(steps):
            raise SchemaTooNew(
                f"{path} has schema version {version}, this mta knows up to {len(steps)}; "
                "start the later version that wrote it, or let that one deliver the queue first"
            )
        if version and _restore(db, steps[:version]):
            db.close()
            db = apsw.Connection(str(path), vfs=tuning.vfs)
            if told is not None:
                told.append(f"the definitions of tables in {path} were damaged and were restored; check the disk")
        _drive(db, tuning)
        _migrate(db, steps[version:])
    except BaseException:
        db.close()
        raise
    return db


_DEFINITIONS = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_FOUND = (
    "SELECT rowid, CAST(type AS BLOB), CAST(name AS BLOB), CAST(tbl_name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema"
)


def migrations() -> tuple[str, ...]:
    """The SQL of every step, in order; step n makes schema version n (from 1)."""
    folder = files("mta.adapters.sqlite.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text("utf-8") for name in names)


def _version(db: apsw.Connection) -> int:
    return int(db.execute("PRAGMA user_version").get)


def _restore(db: apsw.Connection, steps: tuple[str, ...]) -> bool:
    """Write the definitions of tables and indexes anew if they are not what made them; whether they were not."""
    with contextlib.closing(apsw.Connection(":memory:")) as fresh:
        for step in steps:
            fresh.execute(step)
        meant = {row[1]: row for row in fresh.execute(_DEFINITIONS)}
    db.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1)  # what is malformed is passed over
    try:
        found = [tuple(map(_plainly, row)) for row in db.execute(_FOUND)]
        missing = {name: row for name, row in meant.items() if tuple(map(_plainly, row)) not in [f[1:] for f in found]}
        if not missing:
            return False
        _rewrite(db, found, missing)
        return True
    finally:
        db.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0)


def _rewrite(db: apsw.Connection, found: list[tuple[object, ...]], missing: dict[object, tuple[object, ...]]) -> None:
    """Each definition that is missing goes where one stands that is like it: by its name, its text or its place."""
    meant = {tuple(map(_plainly, row)) for row in missing.values()}
    strange = [row for row in found if row[1:] not in meant]
    with db:
        for row in missing.values():
            plain = tuple(map(_plainly, row))
            like = max(strange, key=lambda each: sum(map(operator.eq, each[1:], plain)), default=None)
            if like is None or not any(map(operator.eq, like[1:], plain)):
                raise apsw.CorruptError(f"the definition of {row[1]} is missing")
            strange.remove(like)
            db.execute("UPDATE sqlite_schema SET type=?, name=?, tbl_name=?, sql=? WHERE rowid=?", (*row, like[0]))


def _plainly(text: object) -> object:
    """Without blanks and quotes, which versions of SQLite set differently."""
    octets = text.encode() if isinstance(text, str) else text
    return re.sub(rb'[\s"]+', b"", octets) if isinstance(octets, bytes) else octets


def _drive(db: apsw.Connection, tuning: Tuning) -> None:
    for pragma in (
        f"page_size = {tuning.page_size}",
        "locking_mode = EXCLUSIVE",  # one owner: the log's index needs no shared memory (so before the log)
        "synchronous = FULL",  # every COMMIT is fsynced before it returns
        f"cache_size = -{tuning.cache // 1024}",
        "cache_spill = OFF",  # a transaction touches the disk once, at COMMIT
        f"wal_autocheckpoint = {tuning.checkpoint_pages}",
        f"journal_size_limit = {tuning.page_size * tuning.checkpoint_pages * 2}",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
        f"secure_delete = {'ON' if tuning.overwrites else 'OFF'}",
    ):
        db.execute(f"PRAGMA {pragma}")
    _log_ahead(db)


def _log_ahead(db: apsw.Connection) -> None:
    """Write-ahead log, or nothing: where the disk is in trouble SQLite stays with another journal and says so softly.

    With that one a COMMIT is not durable until the next: nobody makes its end durable in the folder.
    """
    mode = db.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        raise apsw.IOError(f"SQLite cannot begin a write-ahead log beside {db.filename} and would use {mode!r}")


def _migrate(db: apsw.Connection, steps: tuple[str, ...]) -> None:
    version = _version(db)
    for step in steps:
        version += 1
        with db:  # one transaction a step: a crash leaves the old version or the new one
            db.execute(step)
            db.execute(f"PRAGMA user_version = {version}")
