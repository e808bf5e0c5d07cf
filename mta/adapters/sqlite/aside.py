"""What lies in the folder of a shard beside the queue, and what is set aside there: for a person, never deleted.

queue.db.corrupt-N, content.corrupt-N, envelope.corrupt-N   a queue that could not be read, or what no record names
queue.db-wal.damaged-N                                      a log as it was before it was written anew
setting-aside                                               which N is not finished: the next opening begins it again
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from mta.adapters.durable import make_folder, sync_folder
from mta.adapters.sqlite import wal
from mta.adapters.sqlite.spool import remove

DATABASE, LOG, CONTENT, ENVELOPE = "queue.db", "queue.db-wal", "content", "envelope"
_UNFINISHED = "setting-aside"
_OPEN_FILES = (
    "SELECT CAST(file AS BLOB) FROM message WHERE ended IS NULL AND file IS NOT NULL"
    " UNION ALL SELECT CAST(file AS BLOB) FROM form WHERE file IS NOT NULL"
)
_ENDED_FILES = "SELECT CAST(file AS BLOB) FROM message WHERE ended IS NOT NULL AND file IS NOT NULL"
_RESCUE = "`mta queue rescue` shows what they are"


@dataclass(slots=True)
class Findings:
    """What was found when a shard was opened. `alarms` are words for the administrator.

    `rebooted`: the machine was started anew since the folder was in use, so that a log may end torn.
    """

    folder: Path
    rebooted: bool = False
    alarms: list[str] = field(default_factory=list)

    def found(self, text: str) -> None:
        """Something is not as it was left."""
        self.alarms.append(text)


def set_aside(folder: Path, *names: str) -> int:
    """Move these out of the way under the next free number; the number. Nothing of it is deleted."""
    number = 1
    while any((folder / f"{name}.corrupt-{number}").exists() for name in (DATABASE, CONTENT, ENVELOPE)):
        number += 1
    _move(folder, number, names)
    return number


def _move(folder: Path, number: int, names: Iterable[str]) -> None:
    for name in names:
        if (folder / name).exists():
            (folder / name).rename(_aside(folder, name, number))
    sync_folder(folder)


@dataclass(frozen=True, slots=True)
class Broken:
    """A queue that is set aside under a number until a new one has what is sound of it, and why."""

    number: int
    why: str


def begin_aside(folder: Path, why: str) -> Broken:
    """Set a damaged queue aside. Until `finish_aside`, whoever opens the folder has to `resume_aside`."""
    broken = Broken(set_aside(folder), why)
    names = [name for name in (DATABASE, LOG, CONTENT, ENVELOPE) if (folder / name).exists()]
    _note(folder, broken, names)
    _move(folder, broken.number, names)
    _note(folder, broken, [])
    return broken


def resume_aside(folder: Path) -> Broken | None:
    """What a process that was ended in the middle of it had set aside; what it had of a new queue is undone."""
    try:
        raw = json.loads((folder / _UNFINISHED).read_bytes())
        broken, names = Broken(int(raw["number"]), str(raw["why"])), list(map(str, raw["names"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if names:
        _move(folder, broken.number, names)
        _note(folder, broken, [])
    else:
        for kind in (CONTENT, ENVELOPE):
            _move_back(folder / kind, folder / f"{kind}.corrupt-{broken.number}")
        for name in (LOG, DATABASE):
            remove(folder / name)
    return broken


def finish_aside(folder: Path) -> None:
    """The new queue has all of it that is sound, for good."""
    if remove(folder / _UNFINISHED):
        sync_folder(folder)


def _note(folder: Path, broken: Broken, names: list[str]) -> None:
    """`names` are still to be moved; none: they all are, and a new queue is begun."""
    document = {"number": broken.number, "why": broken.why, "names": names}
    _replace(folder / _UNFINISHED, json.dumps(document).encode())


def _move_back(place: Path, aside: Path) -> None:
    if place.is_dir() and aside.is_dir():
        for path in place.iterdir():
            path.rename(aside / path.name)
        sync_folder(aside)


def _aside(folder: Path, name: str, number: int) -> Path:
    stem, dash, rest = name.partition("-")  # the log of a database is called after it
    return folder / f"{stem}.corrupt-{number}{dash}{rest}"


def mend_log(findings: Findings, page_size: int) -> None:
    """Where SQLite would ignore commits, write the log anew; where the database is gone, make it from its log."""
    folder = findings.folder
    database, log_file = folder / DATABASE, folder / LOG
    if not log_file.exists():
        return
    gone = not database.exists() or database.stat().st_size == 0  # then SQLite would delete the log, too
    log = _read(log_file, page_size if gone else _page_size(database, page_size), findings.rebooted)
    if gone and log.frames:
        kept = _copy(log_file)
        _replace(database, _pages(log))
        remove(log_file)
        findings.found(
            f"{database} was gone or empty and was made anew from its log, which is kept as {kept}; "
            "what stood in the file alone is lost"
        )
    elif log.damaged:
        kept = _copy(log_file)
        _replace(log_file, wal.written_anew(log))
        findings.found(
            f"{log_file} was damaged at frame {log.sound + 1} of {len(log.frames)}, behind which are further commits: "
            f"it was written anew with all of them and is kept as {kept} as it was; check the disk"
        )


def _read(log_file: Path, page_size: int, rebooted: bool) -> wal.Log:
    """The log; what a power cut has left of a transaction that nobody was told of goes, lest it looks like damage."""
    data = log_file.read_bytes()
    log = wal.read(data, page_size)
    if not (log.damaged and rebooted):
        return log
    torn = wal.read(data, page_size, torn=True)
    if not torn.damaged:
        os.truncate(log_file, torn.octets)
    return torn


def _page_size(database: Path, usual: int) -> int:
    with database.open("rb") as file:
        size = int.from_bytes(file.read(18)[16:], "big")
    return usual if size < 512 or size & (size - 1) else size


def _pages(log: wal.Log) -> bytes:
    """The database as the last transaction of a log left it; pages the log does not have are zero."""
    size = max(frame.commit for frame in log.frames) * log.page_size
    whole = bytearray(size)
    for frame in log.frames:
        start = (frame.page - 1) * log.page_size
        if 0 <= start < size:
            whole[start : start + log.page_size] = frame.body
    return bytes(whole)


def _copy(log_file: Path) -> str:
    number = 1
    while (kept := log_file.with_name(f"{LOG}.damaged-{number}")).exists():
        number += 1
    _replace(kept, log_file.read_bytes())
    return kept.name


def _replace(path: Path, data: bytes) -> None:
    """Write a file, whole and durable, in place of another."""
    fresh = path.with_name(f"{path.name}.new")
    with open(fresh, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def keep_old_bodies(findings: Findings) -> None:
    """A queue that begins anew beside bodies that are there already: they are of acknowledged mail."""
    folder = findings.folder
    database = folder / DATABASE
    if (database.exists() and database.stat().st_size) or not any((folder / CONTENT).iterdir()):
        return
    number = set_aside(folder, DATABASE, LOG, CONTENT, ENVELOPE)
    bodies = sum(1 for _ in (folder / f"{CONTENT}.corrupt-{number}").iterdir())
    make_folder(folder / CONTENT)
    findings.found(
        f"{database} was gone or empty, and {bodies} bodies of mail lay beside it: a new queue was begun, and they "
        f"were set aside in {CONTENT}.corrupt-{number}; {_RESCUE}. Put the file back if you can, with the relay stopped"
    )


def remove_orphans(findings: Findings, db: apsw.Connection) -> None:
    """Remove what a crash left of messages that were never acknowledged, or whose end was already recorded.

    What was acknowledged (its envelope lies beside it) and is named by no record is set aside; where anything was
    found damaged, so is everything that no record names.
    """
    content, envelopes = findings.folder / CONTENT, findings.folder / ENVELOPE
    there = {entry.name for entry in content.iterdir()}
    acknowledged = {entry.name for entry in envelopes.iterdir()}
    if orphans := there - _named(db, _OPEN_FILES):
        ended = _named(db, _ENDED_FILES)
        kept = (orphans if findings.alarms else orphans & acknowledged) - ended
        if kept:
            _keep(findings, kept)
        for name in orphans - kept:
            remove(envelopes / name)
            remove(content / name)
    _follow(findings, acknowledged - there)


def _follow(findings: Findings, names: set[str]) -> None:
    """Envelopes of contents that are gone go, too: to those that were set aside by a process that was ended then."""
    folder = findings.folder
    places = [place for place in folder.glob(f"{CONTENT}.corrupt-*") if place.is_dir()] if names else []
    for name in names:
        beside = next((place for place in places if (place / name).exists()), None)
        if beside is None:
            remove(folder / ENVELOPE / name)
            continue
        place = beside.with_name(beside.name.replace(CONTENT, ENVELOPE, 1))
        make_folder(place)
        (folder / ENVELOPE / name).rename(place / name)
        findings.found(f"{beside / name} is a body of acknowledged mail that was set aside; {_RESCUE}")


def _named(db: apsw.Connection, sql: str) -> set[str]:
    return {os.fsdecode(name) for (name,) in db.execute(sql)}


def _keep(findings: Findings, names: set[str]) -> None:
    folder = findings.folder
    number = set_aside(folder)
    for kind in (CONTENT, ENVELOPE):
        place = folder / f"{kind}.corrupt-{number}"
        make_folder(place)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (folder / kind / name).rename(place / name)
        sync_folder(place)
    findings.found(
        f"{len(names)} bodies in {folder / CONTENT} are named by no record and were set aside in "
        f"{CONTENT}.corrupt-{number}; {_RESCUE}"
    )
