"""What left in several parts: a crash or a defect does not make us send it all again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.connectors import Connector
from mta.contract.limits import Limits
from mta.errors import StorageError
from mta.model.attempt import DeliveryResult, Failure, RecipientResult, Scope
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline import outbound
from mta.pipeline import settle as pipeline_settle
from mta.pipeline.deliver import Job
from mta.pipeline.hop import CONTRACT_CHANGED
from mta.pipeline.outbound import Outbound
from mta.pipeline.transform import Leaving, Part
from mta.policy.route import Destination
from mta.ports import Settlement
from tests.unit.policy.world import NOW, mailbox

STATES = tuple(RecipientState(place, "fabrikam") for place in range(3))
TO = Envelope(None, tuple(Recipient(mailbox(f"{place}@fabrikam.example")) for place in range(3)))
MESSAGE = QueuedMessage("m1", TO, Content(1, b"x"), b"", NOW, "internal", STATES)
JOB = Job(MESSAGE, STATES, Connector("fabrikam"), Destination("mx", "fabrikam.example"))


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch) -> Attempt:
    return Attempt(monkeypatch)


class Attempt:
    """One message in three parts; what became of each, in `story`. `broken` and `refused` are places."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story: list[str] = []
        self.settled: list[DeliveryResult] = []
        self.defects: list[object] = []
        self.broken: set[int] = set()
        self.refused: set[int] = set()
        self.outdated: set[int] = set()
        self.parts: tuple[tuple[int, ...], ...] = ((0,), (1,), (2,))
        self.trouble: list[Exception] = []  # of the next settlements
        self.routed: list[int] = []
        for name in ("transform", "deliver", "settle"):
            monkeypatch.setattr(outbound, name, getattr(self, name))

    async def run(self) -> bool:
        log = SimpleNamespace(defect=lambda *told: self.defects.append(told), info=lambda *_, **__: None)
        server = SimpleNamespace(limits=Limits())
        contract = SimpleNamespace(configuration=SimpleNamespace(server=server))
        site: Any = SimpleNamespace(log=log, contract=contract, clock=SimpleNamespace(now=lambda: NOW))
        shard: Any = SimpleNamespace(store=SimpleNamespace(spool=None, settle=self.write))
        self.outbound = Outbound(site)
        self.outbound._open["m1"] = 1
        self.outbound._route = lambda _, __, states: self.routed.extend(s.index for s in states)  # type: ignore[method-assign]
        return await self.outbound._attempt(shard, JOB)

    async def write(self, settlement: Settlement) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.story.append("wrote " + " ".join(f"{fate.index} {fate.state}" for fate in settlement.fates))

    async def transform(self, *_: Any) -> Leaving:
        return Leaving(tuple(Part(replace(JOB, recipients=tuple(STATES[i] for i in part))) for part in self.parts))

    async def deliver(self, _: Any, __: Any, part: Job, ___: Any) -> DeliveryResult:
        if self.broken.intersection(state.index for state in part.recipients):
            raise RuntimeError("a defect")
        self.story.append("sent " + " ".join(str(state.index) for state in part.recipients))
        return DeliveryResult((), tuple(self.outcome(state.index) for state in part.recipients))

    def outcome(self, place: int) -> RecipientResult:
        if place in self.outdated:
            return RecipientResult(place, CONTRACT_CHANGED.reply, CONTRACT_CHANGED)
        failure = Failure(Scope.RECIPIENT, Word.REFUSED, "no", Reply(450), False) if place in self.refused else None
        return RecipientResult(place, Reply(250), failure)

    async def settle(self, _: Any, __: Any, ___: Job, result: DeliveryResult) -> bool:
        if self.trouble:
            raise self.trouble.pop(0)
        self.settled.append(result)
        self.story.append("settled " + " ".join(str(each.index) for each in result.recipients))
        return any(each.failure for each in result.recipients)


async def test_what_has_left_is_settled_before_the_next_part_leaves(attempt: Attempt) -> None:
    assert not await attempt.run()
    assert attempt.story == ["sent 0", "settled 0", "sent 1", "settled 1", "sent 2", "settled 2"]


async def test_what_fails_is_settled_together(attempt: Attempt) -> None:
    attempt.refused = {0, 2}
    assert await attempt.run()
    assert attempt.story == ["sent 0", "sent 1", "settled 1", "sent 2", "settled 0 2"]


async def test_a_defect_in_one_part_leaves_the_others_as_they_were_settled(attempt: Attempt) -> None:
    attempt.broken = {1}
    assert await attempt.run()
    results = [each for result in attempt.settled for each in result.recipients]
    assert [(each.index, each.failure is None) for each in results] == [(0, True), (1, False), (2, True)]
    assert len(attempt.defects) == 1


async def test_of_a_part_with_a_refusal_the_others_are_settled_before_the_next_part_leaves(attempt: Attempt) -> None:
    attempt.parts, attempt.refused = ((0, 1), (2,)), {1}
    assert await attempt.run()
    assert attempt.story == ["sent 0 1", "settled 0", "sent 2", "settled 1 2"]


async def test_what_a_reload_came_between_is_settled_by_nobody_and_routed_anew(attempt: Attempt) -> None:
    attempt.outdated = {1, 2}
    assert not await attempt.run()
    assert attempt.story == ["sent 0", "settled 0", "sent 1", "sent 2"]
    assert attempt.routed == [1, 2]


async def test_a_settlement_that_a_defect_is_in_the_way_of_is_written_behind_the_lane(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_settle, "_AGAIN_AFTER", 0.001)
    attempt.parts, attempt.refused = ((0, 1, 2),), {1}
    attempt.trouble = [RuntimeError("of the report"), ValueError("of the store"), StorageError("no disk")]
    await attempt.run()
    assert attempt.story == ["sent 0 1 2"]  # the lane is free
    await asyncio.wait_for(asyncio.gather(*attempt.outbound._tasks), 10)
    assert attempt.story[1:] == ["wrote 0 delivered 1 queued 2 delivered"]
    assert attempt.outbound._open == {"m1": 1}
