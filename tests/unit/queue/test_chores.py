"""Chores go on, whatever one of their turns comes to."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from mta.errors import MtaError
from mta.observe.log import EventLog
from mta.queue import chores
from mta.queue.chores import Chore, keep, repeat
from tests.support.patience import PATIENCE


class _Turns:
    """A chore that fails in the ways it is told to and says when all of them are over."""

    def __init__(self, *ends: Exception | None) -> None:
        self._ends = list(ends)
        self.over = asyncio.Event()

    async def run(self) -> None:
        end = self._ends.pop(0) if self._ends else None
        if not self._ends:
            self.over.set()
        if end is not None:
            raise end


async def _repeat_until_over(turns: _Turns, tmp_path: object, **wishes: bool) -> list[dict[str, object]]:
    output = open(f"{tmp_path}/log", "w+b", buffering=0)  # noqa: SIM115
    task = asyncio.create_task(repeat(Chore("sweep", 0.001, turns.run, **wishes), EventLog(output.fileno(), "json")))
    await asyncio.wait_for(turns.over.wait(), PATIENCE)
    task.cancel()
    output.seek(0)
    return [json.loads(line) for line in io.TextIOWrapper(output)]


async def test_trouble_and_defects_are_logged_and_the_chore_goes_on(tmp_path: object) -> None:
    turns = _Turns(MtaError("the disk is full"), ValueError("a slip of ours"), None)
    told = await _repeat_until_over(turns, tmp_path)
    assert [(line["event"], line["level"]) for line in told] == [("housekeeping", "warning"), ("defect", "error")]
    assert told[0]["chore"] == "sweep"
    assert told[0]["error"] == "the disk is full"
    assert "sweep" in str(told[1])


async def test_the_first_turn_waits_unless_it_is_wanted_at_once() -> None:
    waits, hastens = _Turns(None), _Turns(None)
    log = EventLog(2, "json")
    tasks = [
        asyncio.create_task(repeat(Chore("waits", 3600, waits.run), log)),
        asyncio.create_task(repeat(Chore("hastens", 3600, hastens.run, at_once=True), log)),
    ]
    await asyncio.wait_for(hastens.over.wait(), PATIENCE)
    assert not waits.over.is_set()
    for task in tasks:
        task.cancel()


async def test_what_never_ends_is_begun_again_whatever_ends_it(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "FIRST_PAUSE", 0.001)
    turns = _Turns(ValueError("a slip of ours"), None, MtaError("trouble"), None)
    output = open(f"{tmp_path}/log", "w+b", buffering=0)  # noqa: SIM115
    task = asyncio.create_task(keep("scheduler 0", turns.run, EventLog(output.fileno(), "json")))
    await asyncio.wait_for(turns.over.wait(), PATIENCE)
    task.cancel()
    output.seek(0)
    told = [json.loads(line) for line in io.TextIOWrapper(output)]
    assert [(line["event"], line["where"]) for line in told[:3]] == [("defect", "scheduler 0")] * 3
    assert "it never should" in told[1]["error"]


async def test_a_log_that_is_broken_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(EventLog, "defect", lambda *_: 1 / 0)
    turns = _Turns(ValueError("a slip of ours"), None)
    task = asyncio.create_task(keep("scheduler 0", turns.run, EventLog(2, "json")))
    await asyncio.wait_for(turns.over.wait(), PATIENCE)
    task.cancel()
