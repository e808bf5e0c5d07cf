"""Counts and reports as files in the queue's folder (ports.ReportSpool).

    reports/counts/2026-11-25.worker-00.jsonl     appended to by one process, removed when the day's reports are made
    reports/sent/2026-11-25/NAME                  ours: the packed reports, and a JSON document on each
    reports/received/2026-11-25/NAME              those of others

Nothing here is forced to the disk: what is lost with the power is a minute of counting, never mail. And nothing is
written where the disk is nearly full: what is left is the mail's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mta.errors import StorageError, StorageFull

MAX_COUNTS = 64 * 1024 * 1024  # octets of one writer and day
MAX_FILES = 20_000  # of one shelf and day
MAX_SHELF = 2 * 1024 * 1024 * 1024  # octets of one shelf
MIN_FREE = 64 * 1024 * 1024  # octets of the disk
SHELVES = ("sent", "received")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept at the most, and what is left free at the least."""

    counts: int = MAX_COUNTS
    files: int = MAX_FILES
    shelf: int = MAX_SHELF
    free: int = MIN_FREE


class FileReportSpool:
    """The files below `folder`, which is made when it is first written to."""

    def __init__(self, folder: Path, bounds: Bounds | None = None) -> None:
        self._folder = folder
        self._bounds = bounds or Bounds()
        self._sizes: dict[str, int] = {}  # of shelves, as far as this process knows
        self._counting = threading.Lock()

    # --- counts

    def add_counts(self, day: str, writer: str, lines: bytes) -> None:
        """Append, all or nothing."""
        path = self._counts / f"{_day(day)}.{_name(writer)}.jsonl"
        with _storage(path):
            self._make_room(path.parent)
            with open(path, "ab", buffering=0, opener=self._private) as file:
                before = os.fstat(file.fileno()).st_size
                if before + len(lines) > self._bounds.counts:
                    raise StorageFull(f"{path} holds {before} octets of counts: no more are kept of this day")
                try:
                    written = file.write(b"\n" + lines if before else lines)  # a line that was torn stays alone
                    if written < len(lines):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    with contextlib.suppress(OSError):
                        file.truncate(before)
                    raise

    def counts(self, day: str) -> Iterator[bytes]:
        """The lines of all writers."""
        for path in sorted(self._counts.glob(f"{_day(day)}.*.jsonl")):
            with _storage(path), open(path, "rb") as file:
                yield from file

    def days(self) -> tuple[str, ...]:
        """Days with counts, oldest first."""
        names = {path.name.partition(".")[0] for path in self._counts.glob("*.jsonl")}
        return tuple(sorted(day for day in names if _DAY.fullmatch(day)))

    def forget_counts(self, day: str) -> None:
        """The day's reports are made."""
        for path in self._counts.glob(f"{_day(day)}.*.jsonl"):
            with _storage(path):
                path.unlink(missing_ok=True)

    # --- shelves

    def put(self, shelf: str, day: str, name: str, data: bytes) -> None:
        """Keep a file, in place of one of the same name."""
        path = self._place(shelf, day, name)
        with _storage(path):
            self._make_room(path.parent)
            if not path.exists() and len(os.listdir(path.parent)) >= self._bounds.files:
                raise StorageFull(f"{path.parent} has {self._bounds.files} files: no more are kept of this day")
            self._grow(shelf, len(data))
            new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # several threads may write it
            try:
                with open(new, "wb", opener=self._private) as file:
                    file.write(data)
                new.replace(path)
            except OSError:
                new.unlink(missing_ok=True)
                raise

    def get(self, shelf: str, day: str, name: str) -> bytes:
        """A file that is there."""
        path = self._place(shelf, day, name)
        with _storage(path):
            return path.read_bytes()

    def names(self, shelf: str) -> tuple[tuple[str, str], ...]:
        """Every file of a shelf as (day, name), in order."""
        return tuple(
            (folder.name, path.name)
            for folder in self._days_of(shelf)
            for path in _within(folder)
            if _NAME.fullmatch(path.name)
        )

    def purge(self, before: str) -> None:
        """Forget whole days."""
        for shelf in SHELVES:
            for folder in self._days_of(shelf):
                if folder.name < before:
                    shutil.rmtree(folder, ignore_errors=True)
        for day in self.days():
            if day < before:
                self.forget_counts(day)
        self._sizes.clear()

    # --- room

    def _make_room(self, folder: Path) -> None:
        """The folder, if there is space to spare."""
        for directory in (self._folder, folder.parent, folder):
            if not directory.is_dir():
                directory.mkdir(mode=0o700, parents=directory is self._folder, exist_ok=True)
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < self._bounds.free:
            raise StorageFull(f"{self._folder}: less than {self._bounds.free} octets of the disk are free")

    def _grow(self, shelf: str, size: int) -> None:
        with self._counting:
            if shelf not in self._sizes:
                self._sizes[shelf] = sum(map(_size, (self._folder / shelf).rglob("*")))
            if self._sizes[shelf] + size > self._bounds.shelf:
                raise StorageFull(f"{self._folder / shelf} holds {self._sizes[shelf]} octets: no more are kept")
            self._sizes[shelf] += size

    def _private(self, path: str, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    # --- places

    @property
    def _counts(self) -> Path:
        return self._folder / "counts"

    def _place(self, shelf: str, day: str, name: str) -> Path:
        if shelf not in SHELVES:
            raise StorageError(f"there is no shelf {shelf!r}")
        return self._folder / shelf / _day(day) / _name(name)

    def _days_of(self, shelf: str) -> list[Path]:
        return [path for path in _within(self._folder / shelf) if path.is_dir() and _DAY.fullmatch(path.name)]


def _within(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []  # never made, forgotten while the shelf was looked through, or something else is in its place


def _size(path: Path) -> int:
    try:
        status = path.stat()
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    except FileNotFoundError:
        return 0  # another thread, or another process, has just given it its name, or forgotten it


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in _FULL else StorageError
        raise kind(f"reports: {path}: {error.strerror or error}") from error


def _day(day: str) -> str:
    if not _DAY.fullmatch(day):
        raise StorageError(f"{day!r} is no day")
    return day


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StorageError(f"{name!r} cannot be the name of a file")
    return name
