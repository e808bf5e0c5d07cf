"""What left in several parts: a defect in one does not make us send the others again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mta.config.contract import Connector
from mta.model.attempt import DeliveryResult, RecipientResult
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.pipeline import outbound
from mta.pipeline.deliver import Job
from mta.pipeline.outbound import Outbound
from mta.pipeline.transform import Leaving, Part
from mta.policy.route import Destination
from tests.unit.policy.world import NOW, mailbox


async def test_a_defect_in_one_part_leaves_the_others_as_they_were_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    states = tuple(RecipientState(place, "fabrikam") for place in range(3))
    to = Envelope(None, tuple(Recipient(mailbox(f"{place}@fabrikam.example")) for place in range(3)))
    message = QueuedMessage("m1", to, Content(1, b"x"), b"", NOW, "internal", states)
    job = Job(message, states, Connector("fabrikam"), Destination("mx", "fabrikam.example"))
    settled: list[DeliveryResult] = []

    async def in_parts(*_: Any) -> Leaving:
        return Leaving(tuple(Part(replace(job, recipients=(state,))) for state in states))

    async def deliver(_: Any, __: Any, part: Job) -> DeliveryResult:
        [state] = part.recipients
        if state.index == 1:
            raise RuntimeError("a defect")
        return DeliveryResult((), (RecipientResult(state.index, Reply(250)),))

    async def settle(_: Any, __: Any, ___: Job, result: DeliveryResult) -> bool:
        settled.append(result)
        return False

    for name, stand_in in (("transform", in_parts), ("deliver", deliver), ("settle", settle)):
        monkeypatch.setattr(outbound, name, stand_in)
    defects: list[object] = []
    site: Any = SimpleNamespace(log=SimpleNamespace(defect=lambda *told: defects.append(told)))
    shard: Any = SimpleNamespace(store=SimpleNamespace(spool=None))
    await Outbound(site)._attempt(shard, job)
    [result] = settled
    assert [(each.index, each.failure is None) for each in result.recipients] == [(0, True), (1, False), (2, True)]
    assert len(defects) == 1
