"""What left in several parts: a crash or a defect does not make us send it all again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mta.config.contract import Connector
from mta.model.attempt import DeliveryResult, Failure, RecipientResult, Scope
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.pipeline import outbound
from mta.pipeline.deliver import Job
from mta.pipeline.outbound import Outbound
from mta.pipeline.transform import Leaving, Part
from mta.policy.route import Destination
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
        for name in ("transform", "deliver", "settle"):
            monkeypatch.setattr(outbound, name, getattr(self, name))

    async def run(self) -> bool:
        site: Any = SimpleNamespace(log=SimpleNamespace(defect=lambda *told: self.defects.append(told)))
        shard: Any = SimpleNamespace(store=SimpleNamespace(spool=None))
        return await Outbound(site)._attempt(shard, JOB)

    async def transform(self, *_: Any) -> Leaving:
        return Leaving(tuple(Part(replace(JOB, recipients=(state,))) for state in STATES))

    async def deliver(self, _: Any, __: Any, part: Job) -> DeliveryResult:
        [state] = part.recipients
        if state.index in self.broken:
            raise RuntimeError("a defect")
        self.story.append(f"sent {state.index}")
        failure = Failure(Scope.RECIPIENT, Reply(450), "no", permanent=False) if state.index in self.refused else None
        return DeliveryResult((), (RecipientResult(state.index, Reply(250), failure),))

    async def settle(self, _: Any, __: Any, ___: Job, result: DeliveryResult) -> bool:
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
