"""The outbound half: split a claimed message into jobs, run each in the lane of its destination, settle it.

A lane is a destination under a connector; it works on at most `destination_concurrency` jobs at once. Claimed
messages wait in their lane in memory, bounded by `capacity`: what does not fit stays in the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace

from mta.config.contract import Connector
from mta.model.attempt import DeliveryResult
from mta.model.lifecycle import DELETED, QUEUED
from mta.model.message import QueuedMessage, RecipientState
from mta.observe import events
from mta.pipeline.deliver import Job, deliver
from mta.pipeline.hop import Hops
from mta.pipeline.protect import Protector
from mta.pipeline.settle import defect, settle, settle_defect, settle_held, write
from mta.pipeline.site import Shard, Site
from mta.pipeline.transform import Leaving, Part, transform
from mta.policy.route import Destination, choose, connector_now, destination
from mta.ports import QueueFilter, RecipientFate, Settlement

MEMORY_MESSAGES = 2000  # claimed at once by one worker
MEMORY_OCTETS = 64 * 1024 * 1024  # of content held in memory for delivery

LaneKey = tuple[str, Destination]


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[Shard, Job]] = field(default_factory=deque)
    running: int = 0


class Outbound:
    """Delivers what is handed to it. One a worker, for all its shards."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.hops = Hops(site)
        self._protector = Protector(site)
        self._lanes: dict[LaneKey, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[str, int] = {}  # message id -> jobs not settled
        self._doubtful: set[str] = set()  # of these: an administrator may have held or deleted them meanwhile
        self._octets = 0
        self.draining = False
        self.on_waiting: Callable[[], None] = lambda: None

    @property
    def capacity(self) -> int:
        """How many more messages may be claimed now."""
        if self.draining or self._octets > MEMORY_OCTETS:
            return 0
        return max(0, MEMORY_MESSAGES - len(self._open))

    @property
    def busy(self) -> bool:
        """Whether any job is not settled yet."""
        return bool(self._open)

    def submit(self, shard: Shard, message: QueuedMessage) -> None:
        """Deliver a claimed message to the recipients in its `states`."""
        self._octets += _held(message)
        self._route(shard, message, message.states)

    def renew(self) -> None:
        """The contract has changed: what still waits in a lane goes by the new one, and no kept connection is used."""
        self.hops.forget()
        waiting = [job for lane in self._lanes.values() for job in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        for shard, job in waiting:
            self._open[job.message.id] -= 1
            self._route(shard, job.message, job.recipients)

    def look_again(self) -> None:
        """The queue was changed by hand: what waits in a lane is compared with the store before it is sent."""
        self._doubtful = set(self._open)

    def _route(self, shard: Shard, message: QueuedMessage, states: tuple[RecipientState, ...]) -> None:
        jobs, homeless = self._split(message, states)
        self._open[message.id] = self._open.get(message.id, 0) + len(jobs) + bool(homeless)
        for job in jobs:
            self._enter(shard, job)
        if homeless:
            self._start(self._hold(shard, message, homeless))

    def _split(
        self, message: QueuedMessage, states: tuple[RecipientState, ...]
    ) -> tuple[list[Job], list[RecipientState]]:
        groups: dict[LaneKey, tuple[Connector, list[RecipientState]]] = {}
        homeless: list[RecipientState] = []
        index = self._site.contract.index
        for state in states:
            mailbox = message.envelope.recipients[state.index].mailbox
            route = choose(index, mailbox)
            connector = connector_now(index.configuration, state.connector, route.connector)
            if connector is None:
                homeless.append(state)
                continue
            place = destination(connector.outbound, route.own, mailbox.ascii_domain)
            groups.setdefault((connector.name, place), (connector, []))[1].append(state)
        most = self._site.contract.configuration.server.limits.destination_recipients
        jobs = [
            Job(message, tuple(members[i : i + most]), connector, place)
            for (_, place), (connector, members) in groups.items()
            for i in range(0, len(members), most)
        ]
        return jobs, homeless

    def _enter(self, shard: Shard, job: Job) -> None:
        key = (job.connector.name, job.destination)
        lane = self._lanes.setdefault(key, _Lane())
        lane.waiting.append((shard, job))
        if lane.running < self._site.contract.configuration.server.limits.destination_concurrency:
            lane.running += 1
            self._start(self._work(key, lane))

    async def _work(self, key: LaneKey, lane: _Lane) -> None:
        try:
            while lane.waiting and not self.draining:
                shard, job = lane.waiting.popleft()
                await self._run(shard, job)
        finally:
            lane.running -= 1
            if not lane.running and not lane.waiting:
                self._lanes.pop(key, None)

    async def _run(self, shard: Shard, job: Job) -> None:
        waiting = False
        try:
            if job.message.id in self._doubtful:
                job = await self._still_wanted(shard, job)
            if job.recipients:
                waiting = await self._attempt(shard, job)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a defect must not stop the lane: the claim goes back, the message waits
            self._site.log.defect(f"delivery of {job.message.id}", error)
            waiting = await settle_defect(self._site, shard, job, error)
        finally:
            self._done(job.message)
            if waiting:
                self.on_waiting()

    async def _attempt(self, shard: Shard, job: Job) -> bool:
        """Transform, deliver and settle; whether anything waits. What cannot leave as the contract says stays here.

        A part that has left is settled before the next one does, so that a crash sends at most one again; the others
        are settled together, so that the sender gets one report.
        """
        leaving = await transform(self._site, self._protector, job, shard.store.spool)
        waiting, left = False, list[tuple[Part, DeliveryResult]]()
        try:
            for part in leaving.parts:
                result = await self._deliver(part.job)
                if part is leaving.parts[-1] or any(each.failure for each in result.recipients):
                    left.append((part, result))
                else:
                    gone = Leaving((part,)).together([result])
                    waiting |= await settle(self._site, shard, job, gone)
            rest = replace(leaving, parts=tuple(part for part, _ in left))
            return await settle(self._site, shard, job, rest.together([result for _, result in left])) or waiting
        finally:
            await leaving.forget()

    async def _deliver(self, job: Job) -> DeliveryResult:
        """One part; a defect in it must not make us forget what became of the others."""
        try:
            return await deliver(self._site, self.hops, job)
        except Exception as error:
            self._site.log.defect(f"delivery of {job.message.id}", error)
            return defect(job, error)

    async def _still_wanted(self, shard: Shard, job: Job) -> Job:
        """The job without recipients that were held or deleted while it waited; their claim is given back."""
        id_ = job.message.id
        found = await shard.store.search(QueueFilter(id=id_))
        now = {state.index: state for message in found if message.id == id_ for state in message.states}
        wanted = tuple(each for each in job.recipients if each.index in now and now[each.index].state == QUEUED)
        if unwanted := [each for each in job.recipients if each not in wanted]:
            stored = (now.get(each.index, replace(each, state=DELETED)) for each in unwanted)
            fates = tuple(RecipientFate(each.index, each.state, each.reason, counted=False) for each in stored)
            await write(self._site, shard, Settlement(id_, self._site.clock.now(), fates))
        return replace(job, recipients=wanted)

    async def _hold(self, shard: Shard, message: QueuedMessage, states: Iterable[RecipientState]) -> None:
        try:
            await settle_held(self._site, shard, message, tuple(states))
        finally:
            self._done(message)

    def _done(self, message: QueuedMessage) -> None:
        left = self._open[message.id] - 1
        if left:
            self._open[message.id] = left
        else:
            del self._open[message.id]
            self._doubtful.discard(message.id)
            self._octets -= _held(message)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let running jobs end for up to `seconds`; waiting ones stay in the store, due as before."""
        self.draining = True
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await self.hops.close_idle(all_of_them=True)
        self._site.log.info(events.SERVER_STOPPING, left=len(self._open))


def _held(message: QueuedMessage) -> int:
    contents = (message.content, *(form.content for form in message.forms))
    return sum(len(one.data) if one.data is not None else len(one.head) for one in contents)
