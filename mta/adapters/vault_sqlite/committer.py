"""One thread that writes: jobs that wait together share one transaction, and so one wait for the disk."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apsw

from mta.adapters.sqlite.faults import storage_error
from mta.adapters.vault_sqlite.reader import Files, settle_all

MOST = 256  # jobs of one transaction


@dataclass(slots=True)
class _Job:
    """What is to be done in each file, in this order, and who waits for it."""

    share: Callable[[apsw.Connection], None] | None
    vault: Callable[[apsw.Connection], Any]
    waiting: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    value: Any = None
    fault: Exception | None = None


class Committer:
    """Runs jobs against both files. A job that fails is undone alone; a COMMIT that fails fails all of its jobs.

    Shares are committed first: a crash in between leaves a share without an item, which is swept, never the reverse.
    """

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def write(
        self, vault: Callable[[apsw.Connection], Any], share: Callable[[apsw.Connection], None] | None = None
    ) -> Any:
        """Do this in one transaction of each file; what `vault` gave, once it is durable. Raises StorageError."""
        loop = asyncio.get_running_loop()
        job = _Job(share, vault, loop.create_future(), loop)
        self._jobs.put(job)
        return await asyncio.shield(job.waiting)  # whoever stops waiting does not stop the work

    def close(self) -> None:
        """Finish all jobs, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch, last = self._gather(first)
            self._commit(batch)
            if last:
                return

    def _gather(self, first: _Job) -> tuple[list[_Job], bool]:
        batch = [first]
        while len(batch) < MOST:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _commit(self, batch: list[_Job]) -> None:
        shares, vault = self._files
        with_shares = [job for job in batch if job.share is not None]
        if with_shares:
            self._transact(shares, with_shares, lambda job: job.share and job.share(shares))
        self._transact(vault, [job for job in batch if job.fault is None], lambda job: job.vault(vault))
        settle_all(batch)

    def _transact(self, db: apsw.Connection, jobs: list[_Job], work: Callable[[_Job], Any]) -> None:
        if not jobs:
            return
        try:
            with _Transaction(db):
                for job in jobs:
                    _attempt(db, job, work)
        except (apsw.Error, OSError) as error:
            for job in jobs:
                job.fault = storage_error(error, "write the vault")


class _Transaction:
    """BEGIN IMMEDIATE: other processes write here, too, and the log's numbers follow each other."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, where: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _attempt(db: apsw.Connection, job: _Job, work: Callable[[_Job], Any]) -> None:
    """One job in a savepoint of its own. A full disk ends the whole transaction, so that it is raised."""
    try:
        with db:
            job.value = work(job)
    except (apsw.FullError, apsw.IOError, apsw.CorruptError):
        raise
    except apsw.Error as error:
        job.fault = storage_error(error, "write the vault")
    except Exception as error:
        job.fault = error
