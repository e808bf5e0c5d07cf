"""The queue of many nodes, kept in one PostgreSQL database: `ports.QueueStore` for one worker of one of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.bodies import Bodies, PiecewiseSpool
from mta.adapters.postgres.claiming import Claiming
from mta.adapters.postgres.claims import Floor, Hand
from mta.adapters.postgres.group import Done, Fate, Outcome, Taking
from mta.adapters.postgres.journal import Journal
from mta.adapters.postgres.lane import Database, Lane
from mta.adapters.postgres.lease import Identity, Lease
from mta.adapters.postgres.looking import Connection
from mta.adapters.postgres.node import Pulse, Tell, leave
from mta.adapters.postgres.rows import Numbers, event_out, plain, prepare, prepare_form
from mta.adapters.postgres.schema import migrate
from mta.adapters.postgres.writer import Job, Listeners, Writer
from mta.adapters.sqlite.spool import pieces
from mta.errors import LocalProtocolError, StorageError
from mta.model.lease import Terms
from mta.model.lifecycle import FINAL, QUEUED, STATES
from mta.model.message import Content, QueuedMessage
from mta.observe import events
from mta.ports import RecipientFate, Settlement


def _silent(event: str, **_: Any) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a worker's part of the shared queue is. `folder` holds files that only this process uses."""

    database: Database
    folder: Path
    identity: Identity
    terms: Terms = field(default_factory=Terms)
    reserve: int = 32 * 1024 * 1024  # octets that the disk of `folder` must have free
    tell: Tell = _silent
    wake: Callable[[], None] = lambda: None


class PostgresQueueStore(Claiming):
    """One worker's part of the shared queue. `start` before anything else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tell = settings.tell
        self.wake = settings.wake  # called when there may be mail to claim
        numbers = Numbers()
        self._lease = Lease(settings.terms, settings.identity, numbers)
        self._hand = Hand()
        self._floor = Floor()
        self._read = Connection(Lane(settings.database, 100))
        bulk = Connection(Lane(settings.database, 101))
        self._bodies = Bodies(settings.folder / "content", settings.reserve, numbers, bulk.use)
        self._bulk = bulk
        self._journal = Journal(settings.folder / "outcomes.journal")
        heard = Listeners(self._written, self._refused, self._stray, self._away, self._back)
        self._writer = Writer(settings.database, numbers, heard)
        self._pulse = Pulse(settings.database, self._lease, self._tell, self._changed)
        self._released: dict[int, int] = {}  # message -> incarnation, to be given back
        self.place = ("", 0)  # which queue this is, and which incarnation of it began here
        self._in_doubt = False  # a claim was lost on its way: rows may be ours without our knowing
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, former: tuple[str, int] = ("", 0)) -> None:
        """Join the queue. `former`: a queue, and the incarnation of this place in it that is known to be no more.

        Raises StorageError.
        """
        await self._read.use(migrate, "be opened")
        await self._read.use(self._lease.join, "join")
        queue = await self._read.use(lambda db: db.fetchval("SELECT queue FROM meta"), "join")
        self.place = (queue, self._lease.id)
        self._writer.node, self._writer.generation = self._lease.id, self._lease.identity.generation
        await self._settle_journal()
        if former[0] == queue:
            who = self._lease.identity
            run = partial(_bury, node=former[1], host=who.host, worker=who.worker)
            await self._read.use(run, "take over what a former process left")
        self._bodies.clear()
        self._start(self._pulse.run())

    async def _settle_journal(self) -> None:
        """What a former process could not tell the database."""
        for outcome in self._journal.read():
            with contextlib.suppress(LocalProtocolError):  # forgotten since, or told already
                await self._writer.write(outcome).future
        self._journal.clear()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def presides(self) -> bool:
        """Whether this node does what one does for all."""
        return self._pulse.presides

    def under(self, digest: str, generation: int) -> None:
        """The configuration is another now."""
        self._lease.identity = replace(self._lease.identity, digest=digest, generation=generation)
        self._writer.generation = generation
        self._floor.forget()

    @property
    def commits(self) -> int:
        """Transactions of mail and settlements so far."""
        return self._writer.commits

    def expect(self, change: int) -> None:
        """So many sessions more (or fewer) are between MAIL and the reply to their message."""
        self._writer.siblings += change

    # --- taking mail ---------------------------------------------------------------------------------------------

    def spool(self) -> PiecewiseSpool:
        """Where a large message goes while it arrives."""
        return self._bodies.spool()

    async def enqueue(self, message: QueuedMessage, *, claim: bool = False) -> None:
        """Take responsibility for a message. Raises StorageFull or StorageError: then nothing was taken."""
        content, body, spool = await self._bodies.place(message.content, message.id)
        spools = (spool,) if spool else ()
        try:
            incoming = prepare(replace(message, content=content), body)
            job = self._writer.write(Taking(incoming, self._lease.id if claim else None), spools)
        except BaseException:
            _give_back(spools)
            raise
        try:
            await job.future
        except asyncio.CancelledError:  # whoever gave up waiting does not deliver it either
            if job.future.done() and not job.future.cancelled() and job.future.exception() is None:
                self._release(message.id)
            raise

    def _written(self, job: Job, done: Done) -> None:
        for spool in job.spools:
            spool.keep()
        if isinstance(job.change, Taking):
            self._taken(job, job.change)
        else:
            self._settled(job.change)
        if done.bodies:
            self._bodies.remove(done.bodies)
            done.bodies.clear()
        for key in done.superseded:
            self._tell(events.SETTLEMENT_SUPERSEDED, place=key)
        done.superseded.clear()

    def _taken(self, job: Job, taking: Taking) -> None:
        incoming, queued = taking.incoming, taking.incoming.queued
        if taking.owner is not None and queued:
            if job.future.cancelled():
                self._released[incoming.seq] = taking.owner
            else:
                self._hand.take(incoming.id, incoming.seq, taking.owner, queued)
        else:
            self._floor.lower(min((row[2] for row in incoming.recipients), default=0.0))

    def _settled(self, outcome: Outcome) -> None:
        self._journal.settled(outcome)
        if not outcome.by_operator:
            self._hand.settled(outcome.id, frozenset(fate.index for fate in outcome.fates))
        for fate in outcome.fates:
            if fate.state == QUEUED:
                self._floor.lower(fate.due)
        for notice in outcome.notices:
            self._floor.lower(min((row[2] for row in notice.recipients), default=0.0))

    def _refused(self, job: Job) -> None:
        _give_back(job.spools)

    def _stray(self, job: Job) -> None:
        """It was written after all, though its client was told that it was not, and sends it again: it goes."""
        if isinstance(job.change, Taking):
            self._start(self._withdraw(job.change))

    async def _withdraw(self, taking: Taking) -> None:
        incoming = taking.incoming
        run = partial(_withdraw, seq=incoming.seq, node=self._lease.id)
        with contextlib.suppress(StorageError):  # it is delivered, as the client's second copy is
            if await self._read.use(run, "withdraw a message"):
                self._bodies.remove({incoming.seq})

    # --- giving it away ------------------------------------------------------------------------------------------

    async def settle(self, settlement: Settlement) -> None:
        """Write fates, events and notices in one transaction and release the claim on these recipients."""
        spools: list[PiecewiseSpool] = []
        try:
            outcome = await self._prepare(settlement, spools)
            job = self._writer.write(outcome, tuple(spools))
        except BaseException:
            _give_back(spools)
            raise
        if self._writer.away is not None:
            self._away([outcome], self._writer.away)
        await job.future

    async def _prepare(self, settlement: Settlement, spools: list[PiecewiseSpool]) -> Outcome:
        identity = settlement.message_id
        fates = tuple(_fate(identity, fate) for fate in settlement.fates)
        seq, owner = await self._place(identity)
        outcome = Outcome(identity, seq, owner, float(settlement.at), fates, tuple(map(event_out, settlement.events)))
        notices, forms = [], []
        for message in settlement.notices:
            content, body, spool = await self._bodies.place(message.content, message.id)
            spools += [spool] if spool else []
            notices.append(prepare(replace(message, content=content), body))
        for form in settlement.forms:
            content, body, spool = await self._bodies.place(form.content, identity)
            spools += [spool] if spool else []
            forms.append(prepare_form(form, content, body))
        outcome.notices, outcome.forms = tuple(notices), tuple(forms)
        outcome.by_operator = settlement.by_operator
        return outcome

    async def _place(self, identity: str) -> tuple[int, int]:
        """The number of a message, and the incarnation that has it in hand."""
        if held := self._hand.find(identity):
            return held.seq, held.owner
        if identity.startswith("#") and identity[1:].isdigit():  # a damaged one, as it is shown
            return int(identity[1:]), self._lease.id
        find = "SELECT seq FROM message WHERE id = $1"
        seq = await self._read.use(lambda db: db.fetchval(find, plain(identity)), "record a delivery")
        if seq is None:
            raise LocalProtocolError(f"message {identity} cannot be settled: it is not in this queue")
        return int(seq), self._lease.id

    def read(self, content: Content) -> AsyncIterator[bytes]:
        """The content in pieces of at most 256 KiB. Raises StorageError if it is not all there."""
        return pieces(content, self._bodies.files)

    # --- what befalls it -----------------------------------------------------------------------------------------

    def _away(self, outcomes: list[Outcome], error: Exception) -> None:
        """Outcomes that the database does not take now are kept where a crash does not lose them."""
        known = [each for each in outcomes if any(fate.state in FINAL for fate in each.fates)]
        try:
            self._journal.append(known)
        except OSError as fault:
            self._tell(events.SETTLEMENT_NOT_STORED, error=f"the journal cannot be written: {fault}")
        self._tell(events.STORE_AWAY, error=str(error) or type(error).__name__, journal=len(known))

    def _back(self) -> None:
        self._tell(events.STORE_BACK)
        self.wake()

    def _changed(self) -> None:
        self._writer.node = self._lease.id
        self._floor.forget()
        self.wake()

    async def close(self) -> None:
        """Finish what was begun, give back what is in hand, and leave."""
        if self._writer.closed:
            return
        await self._writer.close()
        for task in tuple(self._tasks):
            task.cancel()
        self._lease.trust.lost()
        in_hand = [*self._hand.numbers(), *self._released]
        with contextlib.suppress(StorageError):  # else the others take it over when the lease has passed
            await self._read.use(partial(leave, node=self._lease.id, numbers=in_hand), "be left")
        for each in (self._read, self._bulk, self._pulse):
            await each.close()
        self._bodies.files.shutdown()


def _fate(identity: str, fate: RecipientFate) -> Fate:
    if fate.state not in STATES:
        raise LocalProtocolError(f"message {identity} cannot be settled: there is no state {fate.state!r}")
    return Fate(
        fate.index, fate.state, plain(fate.reason), float(fate.due), fate.counted, fate.warned, plain(fate.word)
    )


def _give_back(spools: Any) -> None:
    for spool in spools:
        spool.give_back()


async def _bury(db: asyncpg.Connection, node: int, host: str, worker: int) -> None:
    """End a former incarnation of this very place: nobody waits for the end of its lease."""
    async with db.transaction():
        where = "id = $1 AND host = $2 AND worker = $3"
        if await db.execute(f"UPDATE node SET dead = true WHERE {where}", node, host, worker) != "UPDATE 0":  # noqa: S608
            await db.execute("UPDATE work SET owner = NULL WHERE owner = $1", node)


async def _withdraw(db: asyncpg.Connection, seq: int, node: int) -> bool:
    """Delete a message that nobody else has begun to deliver; whether that was so."""
    async with db.transaction():
        rows = await db.fetch("SELECT owner FROM work WHERE seq = $1 FOR UPDATE", seq)
        if not rows or any(row["owner"] not in (None, node) for row in rows):
            return False
        gone = await db.fetch("DELETE FROM work WHERE seq = $1 RETURNING state", seq)
        size = await db.fetchval("DELETE FROM message WHERE seq = $1 RETURNING size", seq)
        await db.execute("DELETE FROM content WHERE body = $1", seq)
        changes = [(row["state"], -1) for row in gone] + [("octets", -(size or 0))]
        for name, change in changes:
            await db.execute(sql.COUNT, node, -2, [name], [change])
    return True
