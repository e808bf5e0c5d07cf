"""Opening queue.db: how SQLite is driven, and bringing the schema up to date."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import apsw

from mta.adapters.sqlite.work import Tuning
from mta.errors import SchemaTooNew


def connect(path: Path, tuning: Tuning) -> apsw.Connection:
    """An open and migrated queue file. Raises apsw's errors, and SchemaTooNew before anything is changed."""
    db = apsw.Connection(str(path), vfs=tuning.vfs)
    try:
        version = _version(db)
        steps = migrations()
        if version > len(steps):
            raise SchemaTooNew(
                f"{path} has schema version {version}, this mta knows up to {len(steps)}; "
                "start the later version that wrote it, or let that one deliver the queue first"
            )
        _drive(db, tuning)
        _migrate(db, steps[version:])
    except BaseException:
        db.close()
        raise
    return db


def migrations() -> tuple[str, ...]:
    """The SQL of every step, in order; step n makes schema version n (from 1)."""
    folder = files("mta.adapters.sqlite.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text("utf-8") for name in names)


def _version(db: apsw.Connection) -> int:
    return int(db.execute("PRAGMA user_version").get)


def _drive(db: apsw.Connection, tuning: Tuning) -> None:
    for pragma in (
        f"page_size = {tuning.page_size}",
        "locking_mode = EXCLUSIVE",  # one owner: the log's index needs no shared memory
        "journal_mode = WAL",
        "synchronous = FULL",  # every COMMIT is fsynced before it returns
        f"cache_size = -{tuning.cache // 1024}",
        "cache_spill = OFF",  # a transaction touches the disk once, at COMMIT
        f"wal_autocheckpoint = {tuning.checkpoint_pages}",
        f"journal_size_limit = {tuning.page_size * tuning.checkpoint_pages * 2}",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
    ):
        db.execute(f"PRAGMA {pragma}")


def _migrate(db: apsw.Connection, steps: tuple[str, ...]) -> None:
    version = _version(db)
    for step in steps:
        version += 1
        with db:  # one transaction a step: a crash leaves the old version or the new one
            db.execute(step)
            db.execute(f"PRAGMA user_version = {version}")
