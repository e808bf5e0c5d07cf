"""What a store answers people and the scheduler: searches, commands, counts; on a connection beside the writer's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import asyncpg

from mta.adapters.postgres import commands, queries
from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.claims import Floor
from mta.adapters.postgres.faults import storage_error
from mta.adapters.postgres.group import OCTETS
from mta.adapters.postgres.lane import Lane
from mta.adapters.postgres.lease import Lease
from mta.adapters.postgres.surveys import surveys
from mta.model.lifecycle import STATES
from mta.model.message import QueuedMessage
from mta.ports import Postponement, QueueCommand, QueueCounts, QueueFilter, QueueSurvey, TraceRecord, WaitingRecipient

T = TypeVar("T")


class Connection:
    """A lane that several take turns on. What asyncpg raises becomes StorageError."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._turn = asyncio.Lock()

    async def use(self, run: Callable[[asyncpg.Connection], Awaitable[T]], doing: str) -> T:
        """Run something; `doing` completes `could not ...`."""
        async with self._turn:
            try:
                return await self._lane.use(run)
            except Exception as error:
                self._lane.drop()
                raise storage_error(error, doing) from error

    async def close(self) -> None:
        """Say goodbye."""
        async with self._turn:
            await self._lane.close()


class Looking:
    """The reading half of a store."""

    _read: Connection
    _lease: Lease
    _floor: Floor

    async def waiting(self, now: float, limit: int) -> list[WaitingRecipient]:
        """Due recipients that nobody has claimed, earliest first."""
        generation = self._lease.identity.generation
        run = partial(commands.waiting, now=now, limit=limit, generation=generation)
        return await self._read.use(run, "look for due recipients")

    async def postpone(self, postponements: Sequence[Postponement]) -> None:
        """Put them off."""
        await self._read.use(partial(commands.postpone, postponements=postponements), "put recipients off")

    async def hasten(self, now: float, latest: float, of_new: float) -> int:
        """Make due now who is due later than can be; how many."""
        self._floor.lower(now)
        run = partial(commands.hasten, now=now, latest=latest, of_new=of_new)
        return await self._read.use(run, "mend the times of attempts")

    async def next_due(self) -> float | None:
        """When the earliest unclaimed recipient is due; None: nothing waits."""
        statement = f"SELECT min(due) FROM work WHERE {sql.IS_DUE} AND generation <= $1"  # noqa: S608

        async def run(db: asyncpg.Connection) -> float | None:
            await self._give_back(db)
            due: float | None = await db.fetchval(statement, self._lease.identity.generation)
            return due

        return await self._read.use(run, "look for the next message")

    async def _give_back(self, db: asyncpg.Connection) -> None:
        raise NotImplementedError

    async def search(self, which: QueueFilter) -> list[QueuedMessage]:
        """Messages with any undelivered recipient, oldest first; content without its bytes."""
        return [message async for page in self.browse(which) for message in page]

    async def browse(self, which: QueueFilter) -> AsyncIterator[list[QueuedMessage]]:
        """The same in pages, so that many need no room."""
        async for page in queries.pages(self._read.use, which, undelivered=True):
            yield [record.message for record in page]

    async def trace(self, which: QueueFilter) -> list[TraceRecord]:
        """Messages, delivered ones too, with their history, newest first."""
        found = queries.pages(self._read.use, which, undelivered=False)
        return [record async for page in found for record in page]

    def survey(self, which: QueueFilter, now: float) -> AsyncIterator[QueueSurvey]:
        """Count what waits, in windows of at most some thousand messages."""
        return surveys(self._read.use, which, now)

    def change(self, command: QueueCommand) -> AsyncIterator[list[str]]:
        """Carry out a command, some hundred messages in one transaction; the ids of each, once that is durable."""
        self._floor.lower(command.at)
        return commands.windows(self._read.use, self._lease.id, command)

    async def counts(self) -> QueueCounts:
        """Recipients in each state, and octets of undelivered content, of all nodes."""

        async def run(db: asyncpg.Connection) -> dict[str, int]:
            rows = await db.fetch("SELECT name, sum(value)::bigint AS value FROM counter GROUP BY name")
            return {row["name"]: row["value"] for row in rows}

        counters = await self._read.use(run, "count what waits")
        states = {name: value for name, value in counters.items() if name in STATES and value}
        return QueueCounts(states, counters.get(OCTETS, 0))

    async def purge(self, before: float, limit: int = 1000) -> int:
        """Forget the history of up to `limit` messages that ended before `before`; how many were forgotten."""
        run = partial(commands.purge, node=self._lease.id, before=before, limit=limit)
        return await self._read.use(run, "forget old messages")
