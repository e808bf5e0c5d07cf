"""Counts and reports as files in the queue's folder (ports.ReportSpool).

    reports/counts/2026-11-25.worker-00.jsonl     appended to by one process, removed when the day's reports are made
    reports/sent/2026-11-25/NAME                  ours: the packed reports, and a JSON document on each
    reports/received/2026-11-25/NAME              those of others

Nothing here is forced to the disk: what is lost with the power is a minute of counting, never mail.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mta.errors import StorageError, StorageFull

MAX_COUNTS = 64 * 1024 * 1024  # octets of one writer and day
MAX_FILES = 20_000  # of one shelf and day
SHELVES = ("sent", "received")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})


class FileReportSpool:
    """The files below `folder`, which is made when it is first written to."""

    def __init__(self, folder: Path, *, most_counts: int = MAX_COUNTS, most_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._most_counts = most_counts
        self._most_files = most_files

    # --- counts

    def add_counts(self, day: str, writer: str, lines: bytes) -> None:
        """Append, all or nothing."""
        path = self._counts / f"{_day(day)}.{_name(writer)}.jsonl"
        with _storage(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "ab", buffering=0, opener=_private) as file:
                before = os.fstat(file.fileno()).st_size
                if before + len(lines) > self._most_counts:
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
        found = {path.name.partition(".")[0] for path in self._counts.glob("*.jsonl")}
        return tuple(sorted(day for day in found if _DAY.fullmatch(day)))

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
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists() and len(os.listdir(path.parent)) >= self._most_files:
                raise StorageFull(f"{path.parent} has {self._most_files} files: no more are kept of this day")
            new = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                with open(new, "wb", opener=_private) as file:
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
            for path in sorted(folder.iterdir())
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

    # --- places

    @property
    def _counts(self) -> Path:
        return self._folder / "counts"

    def _place(self, shelf: str, day: str, name: str) -> Path:
        if shelf not in SHELVES:
            raise StorageError(f"there is no shelf {shelf!r}")
        return self._folder / shelf / _day(day) / _name(name)

    def _days_of(self, shelf: str) -> list[Path]:
        folder = self._folder / shelf
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.is_dir() and _DAY.fullmatch(path.name))


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in _FULL else StorageError
        raise kind(f"reports: {path}: {error.strerror or error}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _day(day: str) -> str:
    if not _DAY.fullmatch(day):
        raise StorageError(f"{day!r} is no day")
    return day


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise StorageError(f"{name!r} cannot be the name of a file")
    return name
