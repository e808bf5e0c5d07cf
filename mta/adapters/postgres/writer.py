"""Group commit on the shared queue: many changes, one transaction, one COMMIT that answers for all of them.

Changes gather on the event loop. A group goes as soon as a connection is free and everybody who is in the middle of a
message has come (`siblings`), or after a moment: `WINDOW` where somebody waits for a 250, `PATIENCE` for settlements.

A connection that is lost on COMMIT leaves it unknown whether the group is written. Each group writes a receipt under a
number of ours; on another connection the same receipt is written again: if it was there, so is the group. Where it was
not the group is run again in that very transaction. An older transaction that is still being committed is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg

from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.bodies import PiecewiseSpool
from mta.adapters.postgres.faults import AGAIN, LOST, storage_error
from mta.adapters.postgres.group import Done, Group, Outcome, Refused, Taking
from mta.adapters.postgres.lane import Database, Lane, require_copies
from mta.adapters.postgres.rows import Numbers
from mta.errors import LocalProtocolError, StorageError

WINDOW = 0.005  # seconds that new mail waits for its siblings
PATIENCE = 0.02  # seconds that a settlement waits for company
LANES = 2
_MOST = 500  # changes of one group
_UNKNOWN = 30.0  # seconds that who waits for a 250 is kept waiting for an unknown outcome
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between tries to reach the database


@dataclass(slots=True, eq=False)
class Job:
    """One change and who waits for it."""

    change: Taking | Outcome
    future: asyncio.Future[None]
    spools: tuple[PiecewiseSpool, ...] = ()  # the files of its contents
    given_up: bool = False  # who waited was told that it failed

    @property
    def key(self) -> int:
        """The message it concerns."""
        return self.change.seq if isinstance(self.change, Outcome) else self.change.incoming.seq


@dataclass(slots=True, eq=False)
class _Run:
    """A group on its way."""

    jobs: list[Job]
    receipt: int
    unknown: bool = False  # a COMMIT was sent, and nothing came back
    committing: bool = False
    done: Done = field(default_factory=Done)


@dataclass(slots=True)
class Listeners:
    """Who hears what the writer comes to. All are called on the loop."""

    written: Callable[[Job, Done], None]  # durable; its future may have been cancelled
    refused: Callable[[Job], None]  # not written, and never will be
    stray: Callable[[Job], None]  # durable, though who waited was told that it failed
    away: Callable[[list[Outcome], Exception], None]  # the database is away; these outcomes are known
    back: Callable[[], None]


class Writer:
    """Writes changes in groups over a few connections."""

    def __init__(self, database: Database, numbers: Numbers, listeners: Listeners) -> None:
        self.siblings = 0
        self.commits = 0
        self.node = 0
        self.generation = 0
        self.away: Exception | None = None  # why nothing can be written now
        self._numbers = numbers
        self._listeners = listeners
        self._lanes = [Lane(database, number) for number in range(LANES)]
        self._free = list(self._lanes)
        self._jobs: list[Job] = []
        self._urgent = 0
        self._ripe = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_urgent = False
        self._running: set[asyncio.Task[None]] = set()
        self._busy: set[int] = set()  # messages of groups that are on their way
        self.closed = False

    def write(self, change: Taking | Outcome, spools: tuple[PiecewiseSpool, ...] = ()) -> Job:
        """Have a change made durable. Its future resolves then; cancelled, the change is made all the same."""
        if self.closed:
            raise StorageError("the shared queue takes nothing: it is closed")
        urgent = isinstance(change, Taking)
        if urgent and self.away is not None:
            raise storage_error(self.away, "take a message")
        job = Job(change, asyncio.get_running_loop().create_future(), spools)
        self._jobs.append(job)
        self._urgent += urgent
        self._consider()
        return job

    def _consider(self) -> None:
        if not self._jobs or not self._free:
            return
        if self._ripe or self.closed or (self._urgent and self._urgent >= self.siblings):
            self._start()
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        urgent = self._urgent > 0
        if self._timer and self._timer_urgent >= urgent:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_urgent = urgent
        self._timer = asyncio.get_running_loop().call_later(WINDOW if urgent else PATIENCE, self._ripen)

    def _ripen(self) -> None:
        self._timer, self._ripe = None, True
        self._consider()

    def _start(self) -> None:
        """Send the next group: of one message at most one change, so that each sees what the one before has left."""
        group: list[Job] = []
        rest: list[Job] = []
        for job in self._jobs:
            fits = len(group) < _MOST and job.key not in self._busy
            (group if fits else rest).append(job)
            if fits:
                self._busy.add(job.key)
        self._jobs, self._ripe = rest, False
        self._urgent = sum(isinstance(job.change, Taking) for job in rest)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if group:
            task = asyncio.get_running_loop().create_task(self._serve(self._free.pop(), group))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _serve(self, lane: Lane, group: list[Job]) -> None:
        try:
            await self._until_known(lane, _Run(group, self._numbers.next()))
        finally:
            self._busy.difference_update(job.key for job in group)
            self._free.append(lane)
            self._ripe = self._ripe or bool(self._jobs)
            self._consider()

    # --- one group ---------------------------------------------------------------------------------------------------

    async def _until_known(self, lane: Lane, run: _Run) -> None:
        """Try until every job of the group is written, or is known not to be."""
        begun, pause = asyncio.get_running_loop().time(), _PAUSE
        while run.jobs:
            try:
                await self._attempt(lane, run)
                self._written(run)
                return
            except Refused as error:
                self._fail([job for job in run.jobs if _concerns(job, error.change)], run, error.fault)
            except AGAIN:
                continue
            except LOST as error:
                run.unknown |= run.committing
                lane.drop()
                self._lost(run, error, asyncio.get_running_loop().time() - begun)
                if self.closed:  # the journal has what is known
                    self._fail(list(run.jobs), run, storage_error(error, "write any more: it is closed"))
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception as error:
                if not isinstance(error, asyncpg.IntegrityConstraintViolationError):
                    lane.drop()
                if len(run.jobs) == 1:
                    self._fail(list(run.jobs), run, _explain(error, run.jobs[0]))
                else:  # one of them is the cause: each for itself
                    await self._apart(lane, run)
                    return

    async def _apart(self, lane: Lane, run: _Run) -> None:
        for job in run.jobs:
            await self._until_known(lane, _Run([job], self._numbers.next()))

    async def _attempt(self, lane: Lane, run: _Run) -> None:
        run.committing = False
        lane.not_durable = False
        try:
            await lane.use(lambda db: self._transaction(db, lane, run))
        except StorageError as error:  # what is demanded of the database does not hold: no new mail
            if run.committing:
                raise TimeoutError(str(error)) from error
            takings = [job for job in run.jobs if isinstance(job.change, Taking)]
            if not takings:
                raise
            self._fail(takings, run, error)
            if run.jobs:
                await self._attempt(lane, run)
        if lane.not_durable:
            run.committing = True
            raise TimeoutError("the COMMIT did not wait for the standby: its wait was cancelled")

    async def _transaction(self, db: asyncpg.Connection, lane: Lane, run: _Run) -> None:
        copies = lane.database.copies
        takings = [job.change for job in run.jobs if isinstance(job.change, Taking)]
        if takings:
            await require_copies(db, copies)
        if not run.unknown:
            await db.execute(f"BEGIN; INSERT INTO receipt (id) VALUES ({run.receipt})")  # noqa: S608 - a number
        elif await self._was_written(db, run):
            return
        try:
            outcomes = [job.change for job in run.jobs if isinstance(job.change, Outcome)]
            run.done = await Group(db, self.generation, takings, outcomes).run(self.node, lane.number)
        except (Refused, asyncpg.IntegrityConstraintViolationError, *AGAIN):
            await db.execute("ROLLBACK")
            raise
        run.committing = True
        await db.execute("COMMIT")
        if takings:
            await require_copies(db, copies)

    async def _was_written(self, db: asyncpg.Connection, run: _Run) -> bool:
        """Begin; whether the receipt was there. Then its second COMMIT waits for the standby, as the first should."""
        await db.execute("BEGIN")
        seen = await db.fetchval(sql.RECEIPT, run.receipt)
        if not seen:
            return False
        run.committing = True
        await db.execute("COMMIT")
        if any(isinstance(job.change, Taking) for job in run.jobs):
            await require_copies(db, self._lanes[0].database.copies)
        return True

    # --- telling -----------------------------------------------------------------------------------------------------

    def _written(self, run: _Run) -> None:
        self.commits += 1
        if self.away is not None:
            self.away = None
            self._listeners.back()
        for job in run.jobs:
            if job.given_up:
                self._listeners.stray(job)
                continue
            self._listeners.written(job, run.done)
            if not job.future.done():
                job.future.set_result(None)

    def _lost(self, run: _Run, error: Exception, seconds: float) -> None:
        """The database is away: no new mail. Where a COMMIT was sent, who waits for a 250 waits a while."""
        outcomes = [job.change for job in run.jobs if isinstance(job.change, Outcome)]
        self.away = self.away or error
        self._listeners.away(outcomes, error)
        takings = [job for job in run.jobs if isinstance(job.change, Taking)]
        fault = storage_error(error, "take a message")
        if not run.unknown:
            self._fail(takings, run, fault)
        elif seconds > _UNKNOWN:
            for job in takings:
                job.given_up = True
                _tell(job, fault)
        waiting = [job for job in self._jobs if isinstance(job.change, Taking)]
        self._jobs = [job for job in self._jobs if isinstance(job.change, Outcome)]
        self._urgent = 0
        for job in waiting:
            self._listeners.refused(job)
            _tell(job, fault)
        if self._jobs:
            self._listeners.away([job.change for job in self._jobs if isinstance(job.change, Outcome)], error)

    def _fail(self, jobs: list[Job], run: _Run, fault: Exception) -> None:
        for job in jobs:
            run.jobs.remove(job)
            self._listeners.refused(job)
            _tell(job, fault)

    async def close(self) -> None:
        """Finish what was begun; what the database does not take now is in the journal."""
        self.closed = True
        self._consider()
        while self._running:
            await asyncio.wait(tuple(self._running))
            self._consider()
        for job in self._jobs:
            _tell(job, StorageError("the shared queue is closed"))
        for lane in self._lanes:
            with contextlib.suppress(Exception):
                await lane.close()


def _concerns(job: Job, change: object) -> bool:
    """Whether it is this job's change, or a notice of it."""
    return job.change is change


def _tell(job: Job, fault: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(fault)
        job.future.exception()  # who waited may have gone


def _explain(error: Exception, job: Job) -> Exception:
    if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name == "message_id":
        identity = job.change.id if isinstance(job.change, Outcome) else job.change.incoming.id
        return LocalProtocolError(f"message {identity} cannot be queued: {error.detail or error}")
    doing = "record a delivery" if isinstance(job.change, Outcome) else "take a message"
    return storage_error(error, doing)
