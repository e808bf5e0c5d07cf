"""The folder of one shard: its lock, its files, and what is done about damage found when it is opened.

queue.db      messages, recipients, history, small contents
content/      large contents, one file each
lock          held by the owner for life
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from mta.adapters.durable import make_folder, sync_folder
from mta.adapters.sqlite.faults import DAMAGED, storage_error
from mta.adapters.sqlite.mend import mend
from mta.adapters.sqlite.schema import connect
from mta.adapters.sqlite.spool import remove
from mta.adapters.sqlite.work import Tuning
from mta.errors import ShardLocked

_DATABASE, _CONTENT, _LOCK = "queue.db", "content", "lock"


@dataclass(slots=True)
class OpenShard:
    """A shard this process owns until `unlock`."""

    folder: Path
    content: Path
    db: apsw.Connection
    lock: int
    alarms: list[str] = field(default_factory=list)

    def unlock(self) -> None:
        """Let another process have it; the connection must be closed by then."""
        descriptor, self.lock = self.lock, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_folder(folder: Path, tuning: Tuning) -> OpenShard:
    """Own and open a shard, making it if there is none. Raises ShardLocked, SchemaTooNew or StorageError."""
    content = folder / _CONTENT
    try:
        _make(folder)
        _make(content)
        lock = _lock(folder / _LOCK)
    except OSError as error:
        raise storage_error(error, f"use the folder {folder}") from error
    alarms: list[str] = []
    try:
        db = _open(folder, tuning, alarms)
        _remove_orphans(content, db)
    except (apsw.Error, OSError) as error:
        os.close(lock)
        raise storage_error(error, f"open {folder / _DATABASE}") from error
    except BaseException:
        os.close(lock)
        raise
    return OpenShard(folder, content, db, lock, alarms)


def _make(folder: Path) -> None:
    make_folder(folder)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ShardLocked(f"{path.parent} is in use by process {owner}; a queue folder has one owner") from error
    except OSError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _open(folder: Path, tuning: Tuning, alarms: list[str]) -> apsw.Connection:
    path = folder / _DATABASE
    _create(path)
    try:
        return _mended(path, tuning, alarms)
    except DAMAGED as error:
        alarms.append(_set_aside(folder, str(error)))
    _make(folder / _CONTENT)
    _create(path)
    return _mended(path, tuning, alarms)


def _mended(path: Path, tuning: Tuning, alarms: list[str]) -> apsw.Connection:
    db = connect(path, tuning)
    try:
        alarms += mend(db, tuning)
    except BaseException:
        db.close()
        raise
    return db


def _create(path: Path) -> None:
    """An empty file with our permissions: SQLite gives its log the same ones."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)


def _set_aside(folder: Path, why: str) -> str:
    """Move a damaged queue and its contents out of the way; the alarm to raise. Nothing of it is deleted."""
    number = 1
    while (folder / f"{_DATABASE}.corrupt-{number}").exists():
        number += 1
    for name in (_DATABASE, f"{_DATABASE}-wal", _CONTENT):
        stem, dash, rest = name.partition("-")
        if (folder / name).exists():
            (folder / name).rename(folder / f"{stem}.corrupt-{number}{dash}{rest}")
    sync_folder(folder)
    return (
        f"{folder / _DATABASE} is damaged ({why}) and was set aside as {_DATABASE}.corrupt-{number} with "
        f"{_CONTENT}.corrupt-{number}; a new queue was begun. Mail in it is not being delivered: recover it with "
        f"`sqlite3 {_DATABASE}.corrupt-{number} .recover`, and check the disk"
    )


def _remove_orphans(content: Path, db: apsw.Connection) -> None:
    """Remove what a crash left of messages that were never acknowledged, or whose end was already recorded."""
    names = (
        "SELECT file FROM message WHERE ended IS NULL AND file IS NOT NULL"
        " UNION ALL SELECT file FROM form WHERE file IS NOT NULL"
    )
    named = {name for (name,) in db.execute(names)}
    for entry in content.iterdir():
        if entry.name not in named:
            remove(entry)
