"""Commands on sets of messages: as fast as they may be, and from where they stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mta.adapters.sqlite import open_shard
from mta.cli.ask import octets_of, rate_of
from mta.cli.queue_summary import _merged
from mta.errors import UsageError
from mta.pipeline.site import Shard
from mta.queue.operations import answer
from tests.support.mail import NOW, queued


@pytest.mark.parametrize(
    ("rate", "steps", "pauses"), [(60, [1] * 5, [1.0] * 5), (180, [3, 2], [1.0, 2 / 3]), (0, [5], [])]
)
async def test_a_rate_makes_small_steps_with_pauses_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, steps: list[int], pauses: list[float]
) -> None:
    store, slept = open_shard(tmp_path, loop=asyncio.get_running_loop()), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    try:
        for number in range(5):
            await store.enqueue(queued(f"m{number}"))
        monkeypatch.setattr("mta.queue.operations.asyncio.sleep", sleep)
        request = {"command": "hold", "all": True, "rate": rate, "limit": 100}
        parts = [part async for part in answer([Shard(0, store)], request, NOW, lambda: None)]
        assert [len(part["changed"]) for part in parts if part["changed"]] == steps
        assert slept == pytest.approx(pauses)
    finally:
        await store.close()


@pytest.mark.parametrize(("text", "minute"), [("", 0), ("50/min", 50), ("5/s", 300), ("900/h", 15), ("1/h", 1)])
def test_a_rate_is_messages_a_minute(text: str, minute: int) -> None:
    assert rate_of(text) == minute


@pytest.mark.parametrize("text", ["50", "0/min", "-1/s", "x/min", "5/year"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--rate: expected"):
        rate_of(text)


@pytest.mark.parametrize(("text", "octets"), [("", 0), ("800", 800), ("200K", 204_800), ("5m", 5_242_880)])
def test_sizes_have_units_of_1024(text: str, octets: int) -> None:
    assert octets_of(text, "--larger") == octets


@pytest.mark.parametrize("text", ["K", "-5", "5T", "5 M"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--larger: expected"):
        octets_of(text, "--larger")


def test_a_summary_adds_up_windows_and_keeps_the_oldest_the_next_and_the_last_word() -> None:
    group = {"connector": "c", "domain": "d.example", "state": "queued", "age": 0, "recipients": 2}
    first = {**group, "oldest": 50.0, "due": 90.0, "attempts": 1, "reason": "451 busy"}
    second = {**group, "age": 3, "recipients": 1, "oldest": 10.0, "due": 95.0, "attempts": 4, "reason": "421 gone"}
    held = {**second, "state": "held", "due": 1.0, "attempts": 0, "reason": "quarantine"}
    [row] = _merged([first, second, held], "domain")
    assert (row["queued"], row["held"], row["by_age"][:4]) == (3, 1, [2, 0, 0, 2])
    assert (row["oldest"], row["due"], row["attempts"], row["reason"]) == (10.0, 90.0, 4, "421 gone")
