"""Wakes waiting messages when they are due and hands them to the outbound half as far as it has room."""

from __future__ import annotations

import asyncio
import contextlib

from mta.errors import StorageError
from mta.observe import events
from mta.pipeline.outbound import Outbound
from mta.pipeline.site import Shard, Site

_LONGEST_NAP = 30.0  # seconds: a jumped clock or a lost wake-up costs no more than this
_BATCH = 200


class Scheduler:
    """One shard's alarm clock."""

    def __init__(self, site: Site, shard: Shard, outbound: Outbound) -> None:
        self._site = site
        self.shard = shard
        self._outbound = outbound
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something may be due earlier than thought."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            nap = _LONGEST_NAP
            try:
                nap = await self._turn()
            except StorageError as error:
                self._site.log.error(events.QUEUE_UNREADABLE, shard=self.shard.number, error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), nap)

    async def _turn(self) -> float:
        """Submit what is due; seconds until there may be more."""
        now = self._site.clock.now()
        room = min(self._outbound.capacity, _BATCH)
        if not room:
            return 0.05
        for message in await self.shard.store.claim(now, room):
            self._outbound.submit(self.shard, message)
        due = await self.shard.store.next_due()
        if due is None:
            return _LONGEST_NAP
        return min(max(0.01, due - self._site.clock.now()), _LONGEST_NAP)
