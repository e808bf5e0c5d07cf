"""One worker process: its shards, its listeners, its control socket; serving, reloading, draining.

The composition root builds the parts; this file is their life.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mta.contract.handed import Handed
from mta.errors import ConfigurationError, MtaError
from mta.observe import events
from mta.pipeline.inbound import InboundRelay
from mta.pipeline.outbound import Outbound
from mta.pipeline.site import Contract, Shard, Site
from mta.queue.awaited import release_awaited
from mta.queue.chores import Chore, keep, once, repeat
from mta.queue.scheduler import Scheduler
from mta.queue.steady import SteadyClock

_IDLE_EVERY = 1.0  # seconds between looks at idle connections
_PURGE_EVERY = 60.0
_AWAITED_EVERY = 5.0  # it costs nothing while nothing is held


class Listening(Protocol):
    """The open listeners of a worker."""

    async def open(self, relay: InboundRelay) -> None:
        """Accept connections."""
        ...

    def renew(self, contract: Contract) -> None:
        """New connections are served under this contract."""
        ...

    def close(self) -> None:
        """Accept no more; tell every client at the next pause."""
        ...

    def cut(self) -> None:
        """Tell every client that is still there, and hang up."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What app built for this worker. `shards[0]` takes new mail."""

    site: Site
    shards: tuple[Shard, ...]
    listening: Listening
    load: Callable[[Handed], Contract]  # of what the supervisor judged; blocks
    renew: Callable[[Contract], None]  # the adapters that know the configuration
    control: Callable[[Worker], Awaitable[asyncio.AbstractServer]]
    ready: Callable[[], None]
    chores: Callable[[Worker], Sequence[Chore]] = lambda _: ()  # beside those every worker has
    first: bool = True  # whether it does the chores of all


class Worker:
    """Serves until it is told to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.site = parts.site
        self.shards = parts.shards
        self.outbound = Outbound(parts.site)
        self.schedulers = [Scheduler(parts.site, shard, self.outbound) for shard in parts.shards]
        self.relay = InboundRelay(parts.site, parts.shards[0], self.outbound, self.wake)
        self._clock = SteadyClock(parts.site.clock)
        self._stopping = asyncio.Event()
        self._fresh: Handed | None = None  # a configuration to take over
        self._reloading: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something may be due."""
        for scheduler in self.schedulers:
            scheduler.wake()

    def nudge(self) -> None:
        """An administrator has changed the queue: what may go on does so now, also to hosts that were left alone."""
        self.outbound.hops.forgive()
        self.outbound.downs.clear()
        self.outbound.look_again()
        self.wake()

    async def run(self, lifeline: asyncio.Event) -> None:
        """Until SIGTERM, or until `lifeline` says that the supervisor has gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        self.outbound.on_waiting = self.wake
        chores, log = self._chores(), self.site.log
        kept = [(f"scheduler {each.shard.number}", each.run) for each in self.schedulers]
        kept += [(f"chore {chore.name}", partial(repeat, chore, log)) for chore in chores]
        background = [loop.create_task(keep(name, run, log)) for name, run in kept]
        control = await self._parts.control(self)
        await self._parts.listening.open(self.relay)
        self.site.log.info(events.WORKER_STARTED, shards=[shard.number for shard in self.shards])
        self.site.log.flush()  # whoever is told that we are ready finds it in the log, even if we die at once
        self._parts.ready()
        await _first(self._stopping, lifeline)
        await self._drain(background, 0.5 if lifeline.is_set() else None)
        for chore in chores:
            if chore.last:
                await once(chore, self.site.log)
        control.close()

    def reload(self, handed: Handed) -> None:
        """Take over a new configuration; of several in a row the last counts."""
        self._fresh = handed
        if self._reloading is None:
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        while self._fresh:
            fresh, self._fresh = self._fresh, None
            try:
                self._take_over(await asyncio.to_thread(self._parts.load, fresh))  # sessions go on meanwhile
            except ConfigurationError as error:
                self.site.log.error(events.SERVER_RELOAD_REFUSED, problems=list(error.problems))
            except MtaError as error:
                self.site.log.error(events.SERVER_RELOAD_REFUSED, problems=[str(error)])
            except Exception as error:  # a defect must not leave us deaf to the next configuration
                self.site.log.defect("reload", error)
        self._reloading = None

    def _take_over(self, contract: Contract) -> None:
        """Between two instructions; a certificate that cannot be used raises before anything has changed."""
        self._parts.listening.renew(contract)
        self._parts.renew(contract)
        self.site.contract = contract
        self.outbound.renew()
        self.wake()
        self.site.log.info(events.SERVER_RELOADED, digest=contract.configuration.digest[:12])

    async def _drain(self, background: list[asyncio.Task[None]], seconds: float | None) -> None:
        """No new connections; sessions end after their command, deliveries after their reply, both in one time."""
        patience = seconds or self.site.contract.configuration.server.limits.shutdown_timeout
        for task in background:
            task.cancel()
        self.outbound.draining = True  # what is accepted from now on waits for the next start
        self._parts.listening.close()
        await asyncio.gather(self._end_sessions(patience), self.outbound.drain(patience))
        for shard in self.shards:
            await shard.store.close()

    async def _end_sessions(self, patience: float) -> None:
        try:
            await asyncio.wait_for(self.relay.idle.wait(), patience)
        except TimeoutError:
            self.site.log.warning(events.SERVER_STOPPING, sessions=self.relay.sessions)
            self._parts.listening.cut()

    def _chores(self) -> list[Chore]:
        """Its own, and those that app gave it; `alone` ones only to the first worker."""
        mine = [
            Chore("idle-connections", _IDLE_EVERY, self.outbound.hops.close_idle),
            Chore("purge", _PURGE_EVERY, self._purge),
            Chore("awaited-certificates", _AWAITED_EVERY, self._release_awaited),
        ]
        return [chore for chore in (*mine, *self._parts.chores(self)) if self._parts.first or not chore.alone]

    async def _release_awaited(self) -> None:
        if await release_awaited(self.site, [shard for shard in self.shards if shard.store.presides]):
            self.wake()

    async def _purge(self) -> None:
        if not self._clock.steady:
            return
        before = self.site.clock.now() - self.site.contract.configuration.server.trace_keep
        for shard in self.shards:
            if shard.store.presides:
                await shard.store.purge(before)


async def _first(*wanted: asyncio.Event) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in wanted]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
