"""A destination that is down is tried by one message; the others wait with it, and their time goes on."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.contract.limits import Limits
from mta.contract.outbound import Outbound as Promised
from mta.contract.smime import Smime
from mta.model.attempt import DeliveryResult, Failure, RecipientResult, Scope
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline import outbound as pipeline
from mta.pipeline.deliver import Job
from mta.pipeline.outbound import Outbound
from mta.policy.route import Destination
from mta.policy.waiting import is_quiet, waits_too
from mta.ports import WaitingRecipient
from mta.queue.waiting import sort
from tests.unit.policy.world import NOW, configuration, mailbox

LIMITS = Limits(retry_min=100.0, retry_max=400.0, retry_jitter=0.0)
NOT_REACHED = Failure(Scope.SESSION, Word.CONNECT, "refused", Reply(450, "4.4.1"), permanent=False)
LANE = ("default", Destination("mx", "down.example"))


class Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return NOW + self.passed

    def monotonic(self) -> float:
        return self.passed


class World:
    """An outbound half whose deliveries come to what `reached` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *connectors: Connector) -> None:
        known = configuration(*connectors)
        known = replace(known, server=replace(known.server, limits=LIMITS))
        self.clock, self.defects = Clock(), list[Any]()
        log = SimpleNamespace(defect=lambda *told: self.defects.append(told), warning=self.tell, info=self.tell)
        contract = SimpleNamespace(configuration=known, index=ConnectorIndex(known), generation=1)
        self.site: Any = SimpleNamespace(contract=contract, clock=self.clock, log=log, random=Random(1))
        self.outbound = Outbound(self.site)
        self.tried: list[str] = []
        self.settled: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.reached: bool | None = False
        monkeypatch.setattr(pipeline, "deliver", self.deliver)
        monkeypatch.setattr(pipeline, "settle", self.settle)

    def tell(self, event: str, **_: Any) -> None:
        self.lines.append(event)

    async def deliver(self, _: Any, __: Any, job: Job, ___: Any) -> DeliveryResult:
        self.tried.append(job.message.id)
        failure = None if self.reached else NOT_REACHED
        results = tuple(RecipientResult(state.index, Reply(250), failure) for state in job.recipients)
        return DeliveryResult((), results, reached=self.reached)

    async def settle(self, _: Any, __: Any, job: Job, result: DeliveryResult) -> bool:
        failure = result.recipients[0].failure
        self.settled.append((job.message.id, failure.reason if failure else "delivered"))
        return False

    async def run(self, id_: str, domain: str = "down.example", tls: str = "") -> None:
        """One claimed message through its lane."""
        envelope = Envelope(None, (Recipient(mailbox(f"b@{domain}")),), tls=tls)
        states = (RecipientState(0, "default"),)
        message = QueuedMessage(id_, envelope, Content(1, b"x"), b"", NOW, "internal", states)
        shard: Any = SimpleNamespace(store=SimpleNamespace(spool=None, gate=lambda _: lambda: True))
        self.outbound.submit(shard, message)
        while self.outbound._tasks:
            for task in tuple(self.outbound._tasks):
                await task


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def waiting(seq: int = 1, **change: Any) -> WaitingRecipient:
    one = WaitingRecipient((seq, 0), NOW, "default", "down.example", 1, False, NOW, False, True)
    return replace(one, **change)


async def test_once_it_is_known_to_be_down_the_others_are_not_tried(world: World) -> None:
    for id_ in ("m1", "m2", "m3"):
        await world.run(id_)
    assert world.tried == ["m1"]
    assert world.settled[0] == ("m1", "connect: refused")
    assert [words for _, words in world.settled[1:]] == [
        "waits-for-destination: down.example is tried with message m1; the last time connect: refused"
    ] * 2


async def test_other_destinations_and_wishes_are_tried_all_the_same(world: World) -> None:
    await world.run("m1")
    await world.run("m2", domain="up.example")
    await world.run("m3", tls="required")
    assert world.tried == ["m1", "m2", "m3"]


async def test_when_it_is_time_one_is_tried_for_all(world: World) -> None:
    await world.run("m0")
    for turn in range(1, 5):
        world.clock.passed += LIMITS.retry_min - 1
        await world.run("early")
        assert len(world.tried) == turn
        world.clock.passed += 2
        await world.run("next")
        await world.run("after")
        assert len(world.tried) == turn + 1


@pytest.mark.parametrize("reached", [True, None])
async def test_a_host_that_speaks_ends_the_waiting_and_what_says_nothing_begins_none(
    world: World, reached: bool | None
) -> None:
    world.reached = reached
    await world.run("m1")
    assert not world.outbound.downs
    world.reached = False
    await world.run("m2")
    world.clock.passed += 101
    world.reached = True
    for id_ in ("m3", "m4"):
        await world.run(id_)
    assert world.tried == ["m1", "m2", "m3", "m4"]


async def test_an_attempt_that_is_out_and_dies_lets_another_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.run("m1")
    world.clock.passed += 101

    async def transform(*_: Any) -> Any:
        raise RuntimeError("a defect")

    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "transform", transform)
        await world.run("m2")
    await world.run("m3")
    assert world.tried == ["m1", "m3"]
    assert len(world.defects) == 1


async def test_what_nobody_sends_to_any_more_is_forgotten(world: World) -> None:
    await world.run("m1")
    world.clock.passed += 100 + LIMITS.retry_max + 100
    world.outbound.downs.forget_old()
    assert world.outbound.downs
    world.clock.passed += 100
    world.outbound.downs.forget_old()
    assert not world.outbound.downs


async def test_a_changed_contract_or_an_administrator_forgets_all_of_it(world: World) -> None:
    await world.run("m1")
    world.outbound.renew()
    await world.run("m2")
    assert world.tried == ["m1", "m2"]


async def test_those_that_are_due_wait_for_their_own_next_turn(world: World) -> None:
    await world.run("m1")
    seen = [waiting(seq, attempts=seq) for seq in range(1, 6)] + [waiting(9, domain="up.example")]
    found = sort(world.site, world.outbound, seen, NOW)
    assert (found.looked, found.free) == (6, 1)
    assert [one.waiting.place[0] for one in found.postponed] == [1, 2, 3, 4, 5]
    assert [one.due - NOW for one in found.postponed] == [200.0, 400.0, 400.0, 400.0, 400.0]
    assert all("is tried with message m1" in one.reason for one in found.postponed)


async def test_of_those_that_are_due_one_goes_to_see(world: World) -> None:
    await world.run("m1")
    world.clock.passed += 101
    found = sort(world.site, world.outbound, [waiting(1), waiting(2), waiting(3)], world.clock.now())
    assert found.free == 1
    assert [one.waiting.place[0] for one in found.postponed] == [2, 3]


async def test_who_must_be_told_of_is_claimed(world: World) -> None:
    await world.run("m1")
    late = waiting(1, received=NOW - LIMITS.lifetime - 1, attempts=3000, warned=True)
    to_warn = waiting(2, received=NOW - LIMITS.delay_warning - 1, attempts=100)
    odd = waiting(3, plain=False)
    assert sort(world.site, world.outbound, [late, to_warn, odd], NOW).free == 3


async def test_what_smime_demands_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Connector("secret", domains=("down.example",), outbound=Promised(smime=Smime(sign="always")))
    world = World(monkeypatch, secret)
    assert world.outbound.lane_of(waiting(connector="secret", attempts=0)) is None
    assert world.outbound.lane_of(waiting(connector="secret", attempts=1)) == ("secret", LANE[1])
    assert world.outbound.lane_of(waiting(connector="vanished")) is None


@pytest.mark.parametrize(
    ("change", "quiet"),
    [
        ({}, True),
        ({"received": NOW - 20_000, "attempts": 100}, False),  # a warning is due
        ({"received": NOW - 20_000, "attempts": 100, "warned": True}, True),
        ({"received": NOW - 500_000, "attempts": 3000, "warned": True}, False),  # its lifetime is over
        ({"received": NOW - 500_000, "attempts": 2, "warned": True}, True),  # it was hardly tried
        ({"received": NOW + 31_536_000, "attempts": 2}, True),
    ],
)
def test_time_goes_on_for_those_who_wait(change: dict[str, Any], quiet: bool) -> None:
    assert is_quiet(waiting(**change), LIMITS, NOW) is quiet


def test_waiting_is_a_temporary_failure_of_the_destination() -> None:
    down: Any = SimpleNamespace(story="waits")
    [result] = waits_too(down, (RecipientState(3, "default"),)).recipients
    assert result.index == 3
    assert result.failure
    assert (result.failure.scope, result.failure.permanent, result.failure.local) == (Scope.DESTINATION, False, True)
