"""Group commit: many jobs, one fsync.

Jobs gather on the event loop and go to one thread in groups. The thread runs a group in one transaction; one COMMIT
(one fsync) then answers for all of them. If a job fails, the group is run again with a SAVEPOINT around each, so that
the bad one takes only itself back: savepoints cost a copy of every page touched, and jobs hardly ever fail. If the
group fails as a whole, each job gets a transaction of its own.

Statements on rows are quick: they are run on the loop, and only the COMMIT, which waits for the disk, is the thread's.
A thread that shares the interpreter with a busy loop would wait for its turn at every statement. What waits for the
disk before (a large content that is made durable, a search) makes its whole group the thread's.

When a group goes: an urgent job (someone waits for a 250) goes as soon as the thread is free and every session that
is in the middle of a message has arrived as well, or after `window` at the latest; a lazy job (a settlement) waits up
to `patience` for an urgent one to travel with. While the thread commits, the next group gathers.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import apsw

from mta.adapters.durable import sync_folder
from mta.adapters.sqlite import envelopes
from mta.adapters.sqlite.alarms import Alarms
from mta.adapters.sqlite.aside import ENVELOPE
from mta.adapters.sqlite.claims import Numbers
from mta.adapters.sqlite.faults import DAMAGED, storage_error
from mta.adapters.sqlite.spool import FileSpool, remove
from mta.adapters.sqlite.work import Group, Job, Tuning, Work
from mta.errors import StorageError

_COUNTERS = "SELECT name, value FROM counter WHERE name NOT GLOB '*[^a-z]*' AND typeof(value) = 'integer'"
_MOST_ON_LOOP = 64  # jobs of some ten microseconds each: the loop is not kept longer than by a large message


class Writer:
    """Owns the connection: the loop uses it while the thread is idle, the thread while it is busy."""

    def __init__(self, db: apsw.Connection, folder: Path, alarms: Alarms, tuning: Tuning) -> None:
        self.siblings = 0  # sessions between MAIL and the reply to their message, those waiting here included
        self.commits = 0  # transactions made durable: one fsync each
        self.committed = 0  # jobs in them
        self.seconds = 0.0  # that the thread spent on them
        self.counters: dict[str, int] = dict(db.execute(_COUNTERS))  # of the last commit
        self._db = db
        self._numbers = Numbers(db)
        self._folder = folder
        self._envelopes = folder.with_name(ENVELOPE)
        self._alarms = alarms
        self._loop = alarms.loop
        self._tuning = tuning
        self._jobs: list[Job] = []
        self._reads: deque[Job] = deque()
        self._urgent = 0
        self._ripe = False  # something that waits has waited long enough
        self._busy = False
        self._closing = False
        self._indexed_anew = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_urgent = False
        self._idle = asyncio.Event()
        self._groups: SimpleQueue[Group | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"queue {folder}", daemon=True)
        self._thread.start()

    # --- on the event loop ---------------------------------------------------------------------------------------

    def write(
        self,
        run: Callable[[Work], Any],
        doing: str,
        *,
        urgent: bool,
        quick: bool = False,
        after: Callable[[Any], None] | None = None,
        abandoned: Callable[[bool], None] | None = None,
    ) -> asyncio.Future[Any]:
        """Have `run` done in a transaction; the future resolves when it is durable.

        It is done whether or not somebody waits: the commit cannot be called back. If the future was cancelled,
        `abandoned` hears whether it failed.
        """
        job = self._job(run, doing, after)
        job.quick, job.abandoned = quick, abandoned
        self._jobs.append(job)
        self._urgent += urgent
        if not self._busy:
            self._consider()
        return job.future

    def read(
        self, run: Callable[[Work], Any], doing: str, after: Callable[[Any], None] | None = None
    ) -> asyncio.Future[Any]:
        """Have `run` done between two transactions."""
        job = self._job(run, doing, after)
        self._reads.append(job)
        if not self._busy:
            self._consider()
        return job.future

    def _job(self, run: Callable[[Work], object], doing: str, after: Callable[[object], None] | None) -> Job:
        if self._closing:
            raise StorageError(f"the queue could not {doing}: it is closed")
        return Job(run, self._loop.create_future(), doing, after)

    def _consider(self) -> None:
        """Start the thread on what is ready, or see to it that we look again in time."""
        if self._jobs and (self._ripe or self._closing or (self._urgent and self._urgent >= self.siblings)):
            self._start(self._jobs)
        elif self._reads:
            self._start([])
        elif self._jobs:
            self._set_timer()
        elif self._closing:
            self._idle.set()

    def _set_timer(self) -> None:
        urgent = self._urgent > 0
        if self._timer and self._timer_urgent >= urgent:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_urgent = urgent
        self._timer = self._loop.call_later(self._tuning.window if urgent else self._tuning.patience, self._ripen)

    def _ripen(self) -> None:
        self._timer = None
        self._ripe = True
        if not self._busy:
            self._consider()

    def _start(self, jobs: list[Job]) -> None:
        reads = [self._reads.popleft()] if self._reads else []  # one: the next claim must see what this one took
        if jobs:
            self._jobs, self._urgent, self._ripe = [], 0, False
            if self._timer:
                self._timer.cancel()
                self._timer = None
        self._busy = True
        counters = self._run_quickly(jobs) if jobs and not reads else None
        self._groups.put(Group(jobs, reads, counters))

    def _run_quickly(self, jobs: list[Job]) -> dict[str, int] | None:
        """Run a group up to its COMMIT, here; None: it is the thread's, for it is slow, or something went wrong."""
        if len(jobs) > _MOST_ON_LOOP or not all(job.quick for job in jobs):
            return None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._attempt_or_fail(job)
            return self._write_counters(jobs)
        except Exception:  # the thread runs the group again, and tells each job what was the matter
            self._roll_back()
            return None

    def _done(self, jobs: list[Job], reads: list[Job]) -> None:
        self._busy = False
        for job in (*reads, *jobs):
            future = job.future
            if job.fault is None:
                if job.after:
                    job.after(job.result)
                if not future.done():
                    future.set_result(job.result)
            elif not future.done():
                future.set_exception(job.fault)
            if job.abandoned and future.cancelled():
                job.abandoned(job.fault is not None)
        self._consider()

    async def close(self) -> None:
        """Finish every job, then close the connection and end the thread."""
        if not self._closing:
            self._closing = True
            if not self._busy:
                self._consider()
        await self._idle.wait()
        self._groups.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    # --- in the writer thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (group := self._groups.get()) is not None:
            for job in group.reads:
                self._attempt(job)
            begun = time.perf_counter()
            if group.counters is None or not self._commit_run(group.jobs, group.counters):
                self._commit(group.jobs)
            if group.jobs:
                self.seconds += time.perf_counter() - begun
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._done, group.jobs, group.reads)
        with contextlib.suppress(apsw.Error):  # folding the log failed: the next opening does it
            self._db.close()

    def _commit_run(self, jobs: list[Job], counters: dict[str, int]) -> bool:
        """Make durable what was run on the loop; False if that failed and nothing is left of it."""
        try:
            self._db.execute("COMMIT")
        except Exception:  # run again from the beginning, where each job hears what was the matter
            self._roll_back()
            return False
        self._committed(jobs, counters)
        return True

    def _committed(self, jobs: list[Job], counters: dict[str, int]) -> None:
        self.commits += 1
        self.committed += len(jobs)
        self.counters = counters
        for job in jobs:
            if job.work is None:
                continue
            for name, text in job.work.kept:
                envelopes.write(self._envelopes, name, text)
            for name in job.work.doomed:
                envelopes.forget(self._envelopes, name)
                remove(self._folder / name)

    def _commit(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        done = self._transaction(jobs, self._attempt_or_fail) or (
            self._index_anew(jobs) and self._transaction(jobs, self._attempt_or_fail)
        )
        if done or len(jobs) == 1 or self._transaction(jobs, self._attempt_apart):
            return
        for job in jobs:  # all together were too much for the disk: alone, the small ones may still fit
            self._transaction([job], self._attempt_or_fail)

    def _index_anew(self, jobs: list[Job]) -> bool:
        """Where an index and its table disagree, SQLite refuses to change the row: once, make the indexes anew."""
        if self._indexed_anew or not any(isinstance(job.cause, DAMAGED) for job in jobs):
            return False
        self._indexed_anew = True
        try:
            self._db.execute("REINDEX")
        except apsw.Error:
            return False
        return True

    def _transaction(self, jobs: list[Job], attempt: Callable[[Job], bool]) -> bool:
        """Do `jobs` in one transaction; whether it was committed. If not, each has a fault."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            done = [job for job in jobs if attempt(job)]
            counters = self._write_counters(done)
            self._keep_names([spool for job in done if job.work for spool in job.work.spools])
            self._db.execute("COMMIT")
        except Exception as error:  # whatever it is, those who wait must hear of it and the thread must live
            self._roll_back()
            fault = self._explain(error, "commit")
            for job in jobs:
                job.fault = job.fault or fault
            return False
        self._committed(done, counters)
        return True

    def _keep_names(self, spools: list[FileSpool]) -> None:
        """Make the names of new contents durable. Where that fails none of them is used: a second fsync may lie."""
        try:
            if spools:
                sync_folder(self._folder)
        except OSError as error:
            for spool in spools:
                spool.spoil(error)
            raise

    def _attempt_or_fail(self, job: Job) -> bool:
        self._attempt(job)
        if job.fault is not None:
            raise job.fault
        return True

    def _attempt_apart(self, job: Job) -> bool:
        """Do a job in its SAVEPOINT; False if it alone failed. Raises if the transaction is gone."""
        db = self._db
        db.execute("SAVEPOINT job")
        self._attempt(job)
        if job.fault is None:
            db.execute("RELEASE job")
            return True
        if not db.in_transaction:  # SQLite took everything back: disk full, I/O error
            raise job.fault
        db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")
        return False

    def _attempt(self, job: Job) -> None:
        job.fault = None
        job.work = Work(self._db, self._numbers)
        try:
            job.result = job.run(job.work)
        except Exception as error:  # whatever it is, it belongs to the one who waits for this job
            known = isinstance(error, (apsw.Error, OSError))
            job.fault, job.cause = self._explain(error, job.doing) if known else error, error

    def _write_counters(self, done: list[Job]) -> dict[str, int]:
        changes: dict[str, int] = {}
        for job in done:
            for name, change in job.work.counts.items() if job.work else ():
                changes[name] = changes.get(name, 0) + change
        if not changes:
            return self.counters
        counters = dict(self.counters)
        for name, change in changes.items():
            if change:
                counters[name] = counters.get(name, 0) + change
                self._db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, counters[name]))
        return counters

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(apsw.Error):  # then BEGIN says what is the matter, to those who come next
                self._db.execute("ROLLBACK")

    def _explain(self, error: Exception, doing: str) -> Exception:
        fault = storage_error(error, doing)
        if isinstance(error, DAMAGED):
            self._alarms.sound(str(fault))
        return fault
