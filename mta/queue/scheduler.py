"""Wakes waiting messages when they are due and hands them to the outbound half as far as it has room.

Those whose destination is known to be down are not even claimed: they are put off by the hundred (`waiting.py`).
"""

from __future__ import annotations

import asyncio
import contextlib

from mta.errors import StorageError
from mta.observe import events
from mta.pipeline.outbound import Outbound
from mta.pipeline.site import Shard, Site
from mta.queue.waiting import WINDOW, Sorted, sort

_LONGEST_NAP = 30.0  # seconds: a jumped clock or a lost wake-up costs no more than this
_BATCH = 200
_NEW_MAIL_WAITS = 3600.0  # seconds at the most that mail never tried is made to wait: our own reports, spread out
_CLOCK_EVERY = 5.0  # seconds (monotonic) between looks at times that cannot be
_FULL, _CROWDED = 0.05, 0.02  # seconds until there may be room; and between windows of many that are put off


class Scheduler:
    """One shard's alarm clock."""

    def __init__(self, site: Site, shard: Shard, outbound: Outbound) -> None:
        self._site = site
        self.shard = shard
        self._outbound = outbound
        self._wake = asyncio.Event()
        self._clock_seen = float("-inf")

    def wake(self) -> None:
        """Something may be due earlier than thought."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            nap = _LONGEST_NAP
            try:
                await self._mend_times()
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
            return _FULL
        crowded = False
        if self._outbound.downs:
            sorting = await self._put_off(now)
            room, crowded = min(room, sorting.free), sorting.looked == WINDOW
        if room:
            for message in await self.shard.store.claim(now, room):
                self._outbound.submit(self.shard, message)
        if crowded:
            return _CROWDED
        due = await self.shard.store.next_due()
        if due is None:
            return _LONGEST_NAP
        return min(max(0.01, due - self._site.clock.now()), min(_LONGEST_NAP, _CLOCK_EVERY))

    async def _put_off(self, now: float) -> Sorted:
        """Let those wait on whose destination is down."""
        waiting = await self.shard.store.waiting(now, WINDOW)
        turns = sort(self._site, self._outbound, waiting, now)
        if turns.postponed:
            await self.shard.store.postpone(turns.postponed)
        return turns

    async def _mend_times(self) -> None:
        """Nobody is due later than the schedule allows: a clock that was ahead, or was set back, leaves such times."""
        monotonic = self._site.clock.monotonic()
        if monotonic - self._clock_seen < _CLOCK_EVERY:
            return
        self._clock_seen = monotonic
        self._outbound.downs.forget_old()
        limits, now = self._site.contract.configuration.server.limits, self._site.clock.now()
        latest = now + limits.retry_max * (1.0 + limits.retry_jitter) + 1.0
        hastened = await self.shard.store.hasten(now, latest, max(latest, now + _NEW_MAIL_WAITS))
        if hastened:
            note = "they were due later than retry_max allows: the clock was ahead"
            self._site.log.warning(events.QUEUE_HASTENED, shard=self.shard.number, recipients=hastened, note=note)
