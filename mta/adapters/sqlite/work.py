"""What the writer is given: units of work in a transaction, and how the queue file is driven."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import apsw

from mta.adapters.sqlite.claims import Numbers
from mta.adapters.sqlite.spool import FileSpool


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the queue file is driven. Times in seconds, sizes in octets."""

    window: float = 0.005  # how long an urgent job waits for its siblings
    patience: float = 0.05  # how long a lazy job waits for an urgent one
    page_size: int = 4096
    cache: int = 16 * 1024 * 1024
    checkpoint_pages: int = 4000  # the write-ahead log is folded into the file when it has this many
    check_up_to: int = 128 * 1024 * 1024  # files up to this size are read through and checked when opened
    largest_blob: int = 1024 * 1024  # a larger content becomes a file
    reserve: int = 32 * 1024 * 1024  # free space that new mail must leave: settling what is here needs some
    overwrites: bool = False  # what is deleted is overwritten: no content outlives its delivery in the file
    vfs: str | None = None  # SQLite's name of another file layer; tests break disks with it


@dataclass(slots=True)
class Work:
    """What one job changes besides rows; thrown away with the job if it fails."""

    db: apsw.Connection
    numbers: Numbers
    counts: dict[str, int] = field(default_factory=dict)
    doomed: list[str] = field(default_factory=list)  # content files that go once this is committed
    spools: list[FileSpool] = field(default_factory=list)  # whose names must be durable before this is committed
    kept: list[tuple[str, bytes]] = field(default_factory=list)  # names of new contents, and their envelopes

    def count(self, name: str, change: int) -> None:
        """Note a change of a counter."""
        self.counts[name] = self.counts.get(name, 0) + change


@dataclass(slots=True, eq=False)
class Job:
    """One unit of work. `after` runs on the loop once it is durable, before anything else is started."""

    run: Callable[[Work], object]
    future: asyncio.Future[object]
    doing: str
    after: Callable[[object], None] | None = None
    quick: bool = False  # touches rows only
    abandoned: Callable[[bool], None] | None = None  # told whether it failed, where nobody waits for it any more
    result: object = None
    fault: Exception | None = None
    cause: Exception | None = None  # of the fault, in the words of SQLite or the system
    work: Work | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What the thread is given at once. `counters` is set where the jobs have been run and only COMMIT is left."""

    jobs: list[Job]
    reads: list[Job]
    counters: dict[str, int] | None = None
