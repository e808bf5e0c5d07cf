"""The outbound half: split a claimed message into jobs, run each in the lane of its destination, settle it.

A lane is a destination under a connector; it works on at most `destination_concurrency` jobs at once. Claimed
messages wait in their lane in memory, bounded by `capacity`: what does not fit stays in the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from mta.contract.connectors import Connector
from mta.model.address import Mailbox
from mta.model.attempt import DeliveryResult
from mta.model.lifecycle import DELETED, QUEUED
from mta.model.message import QueuedMessage, RecipientState
from mta.model.word import Word
from mta.observe import events
from mta.pipeline.deliver import Job, Taken, deliver
from mta.pipeline.downs import Downs, Key
from mta.pipeline.hop import CONTRACT_CHANGED, Hops
from mta.pipeline.protect import Protector
from mta.pipeline.settle import defect, returned, settle, settle_bare, settle_held, write
from mta.pipeline.site import Shard, Site
from mta.pipeline.transform import Leaving, Part, transform
from mta.policy.route import Destination, choose, connector_now, destination
from mta.policy.waiting import waits_too
from mta.ports import QueueFilter, RecipientFate, Settlement, WaitingRecipient

MEMORY_MESSAGES = 2000  # claimed at once by one worker
MEMORY_OCTETS = 64 * 1024 * 1024  # of content held in memory for delivery

LaneKey = Key


@dataclass(slots=True)
class _Lane:
    waiting: deque[tuple[Shard, Job]] = field(default_factory=deque)
    running: int = 0


class Outbound:
    """Delivers what is handed to it. One a worker, for all its shards."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.hops = Hops(site)
        self.downs = Downs(site)
        self._protector = Protector(site)
        self._lanes: dict[LaneKey, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[str, int] = {}  # message id -> jobs not settled
        self._to_compare: set[str] = set()  # ids: somebody changed the queue since these were claimed
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
        """Deliver a claimed message to the recipients in its `states`. Never raises: its claim is ours to give back."""
        self._octets += _held(message)
        self._route(shard, message, message.states)

    def renew(self) -> None:
        """The contract has changed: what still waits in a lane goes by the new one, and no kept connection is used."""
        self.hops.forget()
        self.downs.clear()
        waiting = [job for lane in self._lanes.values() for job in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        for shard, job in waiting:
            self._open[job.message.id] -= 1
            self._route(shard, job.message, job.recipients)

    def look_again(self) -> None:
        """The queue was changed by hand: what waits in a lane is compared with the store before it is sent."""
        self._to_compare = set(self._open)

    def lane_of(self, waiting: WaitingRecipient) -> LaneKey | None:
        """Where a waiting recipient would go; None: that is found out when it is claimed."""
        index = self._site.contract.index
        route = choose(index, Mailbox("", waiting.domain, waiting.domain))
        connector = connector_now(index.configuration, waiting.connector, route.connector)
        looked_at = connector is None or connector.outbound.smime.protects or connector.outbound.may_protect
        if connector is None or (looked_at and not waiting.attempts):
            return None
        return connector.name, destination(connector.outbound, route.own, waiting.domain)

    def _route(self, shard: Shard, message: QueuedMessage, states: tuple[RecipientState, ...]) -> None:
        try:
            jobs, homeless = self._split(shard, message, states)
        except Exception as error:  # of one message: neither it nor those after it may be left claimed
            self._site.log.defect(f"routing of {message.id}", error)
            self._open[message.id] = self._open.get(message.id, 0) + 1
            job = Job(message, states, Connector(states[0].connector), Destination("mx", ""))
            self._start(self._settle_late(shard, job, defect(job, error)))
            return
        self._open[message.id] = self._open.get(message.id, 0) + len(jobs) + bool(homeless)
        for job in jobs:
            self._enter(shard, job)
        if homeless:
            self._start(self._hold(shard, message, homeless))

    def _split(
        self, shard: Shard, message: QueuedMessage, states: tuple[RecipientState, ...]
    ) -> tuple[list[Job], list[RecipientState]]:
        groups: dict[LaneKey, tuple[Connector, list[RecipientState]]] = {}
        homeless: list[RecipientState] = []
        index, generation = self._site.contract.index, self._site.contract.generation
        gate = shard.store.gate(message.id)
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
            Job(message, tuple(members[i : i + most]), connector, place, generation=generation, gate=gate)
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
        """One job to its end; raises nothing but CancelledError, for the lane goes on with the next."""
        waiting = False
        try:
            if job.message.id in self._to_compare:
                job = await self._still_wanted(shard, job)
            job = await self._without_given_up(shard, job)
            down = self.downs.admit(job)
            if down and job.recipients:
                waiting = await self._settle(shard, job, waits_too(down, job.recipients))
            elif job.recipients:
                waiting = await self._attempt(shard, job)
        except Exception as error:  # a defect must not stop the lane: the claim goes back, the message waits
            self._site.log.defect(f"delivery of {job.message.id}", error)
            waiting = await self._settle(shard, job, defect(job, error))
        finally:
            self.downs.ended(job)
            self._done(job.message)
            if waiting:
                self.on_waiting()

    async def _without_given_up(self, shard: Shard, job: Job) -> Job:
        """The job without recipients that an administrator has given up: they fail, and the sender is told."""
        given_up = tuple(state for state in job.recipients if state.word == Word.RETURNED)
        if given_up:
            ended = replace(job, recipients=given_up)
            await self._settle(shard, ended, returned(ended))
            job = replace(job, recipients=tuple(state for state in job.recipients if state not in given_up))
        return job

    async def _attempt(self, shard: Shard, job: Job) -> bool:
        """Transform, deliver and settle; whether anything waits. What cannot leave as the contract says stays here.

        Recipients that a part has left for are settled before the next part leaves, so that a crash sends at most one
        again; the others are settled together, so that the sender gets one report.
        """
        leaving = await transform(self._site, self._protector, job, shard.store.spool)
        left: list[tuple[Part, DeliveryResult]] = []
        try:
            if leaving.served is not None and await self._settle(shard, job, leaving.served):
                self.on_waiting()
            for part in leaving.parts:
                taken = partial(self._taken, shard, job, part)
                result = await self._deliver(part.job, taken)
                if part is not leaving.parts[-1]:
                    gone, result = _parted(result)
                    if gone.recipients:
                        await taken(gone)
                left.append((part, result))
            left = [(part, result) for part, result in left if result.recipients]
            rest = replace(leaving, parts=tuple(part for part, _ in left))
            whole = rest.together([result for _, result in left])
            return await self._settle(shard, job, self._start_again(shard, job, whole))
        finally:
            await leaving.forget()

    async def _taken(self, shard: Shard, job: Job, part: Part, result: DeliveryResult) -> None:
        """Settle what has left."""
        if await self._settle(shard, job, Leaving((part,)).together([result])):
            self.on_waiting()

    def _start_again(self, shard: Shard, job: Job, result: DeliveryResult) -> DeliveryResult:
        """The result without recipients that a reload came between: they go by the new contract, at once."""
        anew = {each.index for each in result.recipients if each.failure is CONTRACT_CHANGED}
        if not anew:
            return result
        told = {"message": job.message.id, "reason": CONTRACT_CHANGED.reason}
        self._site.log.info(events.DELIVERY_RESTARTED, connector=job.connector.name, **told)
        self._route(shard, job.message, tuple(state for state in job.recipients if state.index in anew))
        return replace(result, recipients=tuple(each for each in result.recipients if each.index not in anew))

    async def _deliver(self, job: Job, taken: Taken) -> DeliveryResult:
        """One part; a defect in it must not make us forget what became of the others."""
        try:
            result = await deliver(self._site, self.hops, job, taken)
            self.downs.came_to(job, result)
            return result
        except Exception as error:
            self._site.log.defect(f"delivery of {job.message.id}", error)
            return defect(job, error)

    async def _settle(self, shard: Shard, job: Job, result: DeliveryResult) -> bool:
        """Settle; whether anything waits. Where a defect is in the way it is done behind the lane, which goes on."""
        if not result.recipients:
            return False
        try:
            return await settle(self._site, shard, job, result)
        except Exception as error:
            self._site.log.defect(f"settlement of {job.message.id}", error)
        self._open[job.message.id] = self._open.get(job.message.id, 0) + 1
        self._start(self._settle_late(shard, job, result))
        return False

    async def _settle_late(self, shard: Shard, job: Job, result: DeliveryResult) -> None:
        try:
            await settle_bare(self._site, shard, job, result)
        finally:
            self._done(job.message)
            self.on_waiting()

    async def _still_wanted(self, shard: Shard, job: Job) -> Job:
        """The job without recipients that were held or deleted while it waited; their claim is given back."""
        id_ = job.message.id
        found = await shard.store.search(QueueFilter(id=id_))
        now = {state.index: state for message in found if message.id == id_ for state in message.states}
        wanted = tuple(each for each in job.recipients if each.index in now and now[each.index].state == QUEUED)
        if unwanted := [each for each in job.recipients if each not in wanted]:
            stored = (now.get(each.index, replace(each, state=DELETED)) for each in unwanted)
            fates = tuple(
                RecipientFate(each.index, each.state, each.reason, counted=False, word=each.word) for each in stored
            )
            await write(self._site, shard, Settlement(id_, self._site.clock.now(), fates))
        return replace(job, recipients=wanted)

    async def _hold(self, shard: Shard, message: QueuedMessage, states: Iterable[RecipientState]) -> None:
        held = tuple(states)
        try:
            await settle_held(self._site, shard, message, held)
        except Exception as error:
            self._site.log.defect(f"holding of {message.id}", error)
            job = Job(message, held, Connector(held[0].connector), Destination("mx", ""))
            await settle_bare(self._site, shard, job, defect(job, error))
        finally:
            self._done(message)

    def _done(self, message: QueuedMessage) -> None:
        left = self._open[message.id] - 1
        if left:
            self._open[message.id] = left
        else:
            del self._open[message.id]
            self._to_compare.discard(message.id)
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


def _parted(result: DeliveryResult) -> tuple[DeliveryResult, DeliveryResult]:
    """What was taken, and the rest."""
    gone = tuple(each for each in result.recipients if each.failure is None)
    rest = tuple(each for each in result.recipients if each.failure is not None)
    return replace(result, recipients=gone), replace(result, recipients=rest)


def _held(message: QueuedMessage) -> int:
    contents = (message.content, *(form.content for form in message.forms))
    return sum(len(one.data) if one.data is not None else len(one.head) for one in contents)
