"""The life of a node beside its mail: its lease is renewed, the dead are buried, what is left over is swept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import asyncpg

from mta.adapters.postgres import reaper
from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.faults import LOST
from mta.adapters.postgres.lane import Database, Lane
from mta.adapters.postgres.lease import Lease, boottime
from mta.errors import StorageError
from mta.observe import events

_SWEEP_EVERY = 600.0  # seconds between looks for what nobody owns
Tell = Callable[..., None]  # an event, and its details


class Pulse:
    """Renews the lease until cancelled; on a connection of its own, so that no slow commit is in its way."""

    def __init__(self, database: Database, lease: Lease, tell: Tell, changed: Callable[[], None]) -> None:
        """`changed`: this is another incarnation now, or there is mail that was a dead node's."""
        # A lease waits for no standby: where that is away, its node must not seem to be, too.
        own = Database(database.dsn, patience=max(1.0, lease.terms.every), commit="local")
        self._lane = Lane(own, -1)
        self._lease = lease
        self._tell = tell
        self._changed = changed
        self._swept = float("-inf")
        self.presides = False  # whether this node has the office of the reaper

    async def run(self) -> None:
        """Beat by beat. Trouble is told and tried again at the next beat."""
        while True:
            await asyncio.sleep(self._lease.terms.every)
            try:
                await self._lane.use(self._beat)
            except (*LOST, asyncpg.PostgresError, StorageError) as error:
                self._lane.drop()
                self._tell(events.STORE_AWAY, error=str(error) or type(error).__name__, trusted=self._lease.held)

    async def _beat(self, db: asyncpg.Connection) -> None:
        lease = self._lease
        if not await lease.renew(db):
            lost = lease.id
            await lease.join(db)
            self._tell(events.NODE_LOST, node=lost, new=lease.id)
            self._changed()
        now = boottime()
        look = now - self._swept >= _SWEEP_EVERY
        self.presides = lease.trust.may_bury(now) and await reaper.hold_office(db, "reaper", lease)
        buried, freed = await reaper.reap(db, lease, look=look) if self.presides else ([], 0)
        if buried or freed:
            self._tell(events.NODE_TAKEN_OVER, nodes=buried, recipients=freed)
            self._changed()
        if look and lease.trust.may_bury(now):
            self._swept = now
            if await reaper.hold_office(db, "sweeper", lease):
                await reaper.sweep(db, time.time())

    async def close(self) -> None:
        """Say goodbye."""
        await self._lane.close()


async def leave(db: asyncpg.Connection, node: int, numbers: list[int]) -> None:
    """Give back what is in hand, and be dead to the others."""
    async with db.transaction():
        await db.execute(sql.RELEASE, numbers, node)
        await db.execute("UPDATE node SET dead = true WHERE id = $1", node)
