"""The folder of one shard: its lock, its files, and what is done about damage found when it is opened.

queue.db      messages, recipients, history, small contents
content/      large contents, one file each
envelope/     what each of them is a message of (envelopes.py)
lock          held by the owner for life; it names its process, and since which start of the machine
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from mta.adapters.durable import make_folder, sync_folder
from mta.adapters.sqlite.aside import (
    CONTENT,
    DATABASE,
    ENVELOPE,
    Broken,
    Findings,
    begin_aside,
    finish_aside,
    keep_old_bodies,
    mend_log,
    remove_orphans,
    resume_aside,
)
from mta.adapters.sqlite.faults import DAMAGED, storage_error
from mta.adapters.sqlite.mend import mend
from mta.adapters.sqlite.salvage import salvage
from mta.adapters.sqlite.schema import connect
from mta.adapters.sqlite.work import Tuning
from mta.errors import ShardLocked

_LOCK = "lock"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


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
    content = folder / CONTENT
    try:
        _make(folder)
        lock, rebooted = _lock(folder / _LOCK)
    except OSError as error:
        raise storage_error(error, f"use the folder {folder}") from error
    findings = Findings(folder, rebooted)
    try:
        broken = resume_aside(folder)
        for place in (content, folder / ENVELOPE):
            _make(place)
        mend_log(findings, tuning.page_size)
        _note_owner(lock, _start_of_machine())  # not before: who is ended here must find a torn log torn again
        keep_old_bodies(findings)
        _make(folder / ENVELOPE)
        db = _open(findings, tuning, broken)
        sync_folder(folder)  # the name of the log: SQLite does not mind if its own fsync for it fails
        remove_orphans(findings, db)
    except (apsw.Error, OSError) as error:
        os.close(lock)
        raise storage_error(error, f"open {folder / DATABASE}") from error
    except BaseException:
        os.close(lock)
        raise
    return OpenShard(folder, content, db, lock, findings.alarms)


def _make(folder: Path) -> None:
    make_folder(folder)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _lock(path: Path) -> tuple[int, bool]:
    """The lock, and whether the machine was started anew since another had it, as far as its note tells."""
    fresh = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _, *start = os.pread(descriptor, 200, 0).split() or [b""]
        _note_owner(descriptor, b"".join(start))
    except BlockingIOError as error:
        owner = os.pread(descriptor, 20, 0).partition(b"\n")[0].decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ShardLocked(f"{path.parent} is in use by process {owner}; a queue folder has one owner") from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, not fresh and start != [_start_of_machine()]


def _note_owner(descriptor: int, start: bytes) -> None:
    """Write down who has the lock, and the start of the machine since which no log here can be torn."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n%s\n" % (os.getpid(), start), 0)


def _start_of_machine() -> bytes:
    try:
        return _BOOT.read_bytes().strip()
    except OSError:  # no such system: as if it had never been started anew
        return b"unknown"


def _open(findings: Findings, tuning: Tuning, broken: Broken | None) -> apsw.Connection:
    """`broken`: a damaged queue that was set aside before, of which nothing was taken over yet."""
    folder = findings.folder
    path = folder / DATABASE
    if broken is None:
        _create(path)
        try:
            return _mended(path, tuning, findings)
        except DAMAGED as error:
            broken = begin_aside(folder, str(error))
    for place in (CONTENT, ENVELOPE):
        _make(folder / place)
    _create(path)
    db = _mended(path, tuning, findings)
    try:
        _begin_again(findings, db, broken)
        findings.alarms += mend(db, tuning)
        finish_aside(folder)
    except BaseException:
        db.close()
        raise
    return db


def _begin_again(findings: Findings, db: apsw.Connection, broken: Broken) -> None:
    """A new queue in place of a damaged one, with all of its mail that is sound."""
    folder = findings.folder
    aside, contents = f"{DATABASE}.corrupt-{broken.number}", f"{CONTENT}.corrupt-{broken.number}"
    try:
        saved, lost = salvage(folder / aside, folder / contents, db, folder / CONTENT)
        told = f"{saved} messages of it are sound and go on, {lost} are not"
    except apsw.Error as error:
        told = f"nothing of it could be taken over ({error})"
    findings.found(
        f"{folder / DATABASE} is damaged ({broken.why}) and was set aside as {aside} with {contents}; a new queue was "
        f"begun: {told}. Recover the rest with `sqlite3 {aside} .recover` and `mta queue rescue`, and check the disk"
    )


def _mended(path: Path, tuning: Tuning, findings: Findings) -> apsw.Connection:
    db = connect(path, tuning, findings.alarms)
    try:
        findings.alarms += mend(db, tuning)
    except BaseException:
        db.close()
        raise
    return db


def _create(path: Path) -> None:
    """An empty file with our permissions: SQLite gives its log the same ones."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)
