"""Where daily reports are kept, and how they leave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class ReportSpool(Protocol):
    """Where counts and reports are kept, by days like `2026-11-25`. Blocks; raises StorageError.

    Counts are appended without being forced to the disk: after a crash the last minute may be missing. A shelf holds
    whole files that are replaced at once; names are letters, digits and `._-`.
    """

    def add_counts(self, day: str, writer: str, lines: bytes) -> None:
        """Append to this writer's file, all or nothing. Raises StorageFull beyond its bound."""
        ...

    def counts(self, day: str) -> Iterator[bytes]:
        """The lines of all writers."""
        ...

    def days(self) -> tuple[str, ...]:
        """Days with counts, oldest first."""
        ...

    def forget_counts(self, day: str) -> None:
        """The day's reports are made."""
        ...

    def put(self, shelf: str, day: str, name: str, data: bytes) -> None:
        """Keep a file, in place of one of the same name."""
        ...

    def get(self, shelf: str, day: str, name: str) -> bytes:
        """A file that is there."""
        ...

    def names(self, shelf: str) -> tuple[tuple[str, str], ...]:
        """Every file of a shelf as (day, name), in order."""
        ...

    def purge(self, before: str) -> None:
        """Forget whole days."""
        ...


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of an HTTPS request: accepted, or why not."""

    accepted: bool
    detail: str


class ReportPoster(Protocol):
    """Delivers reports by HTTPS."""

    async def post(self, url: str, media_type: str, data: bytes, *, private: bool) -> Posted:
        """POST `data`; never raises. Private and loopback addresses are refused unless `private`."""
        ...
