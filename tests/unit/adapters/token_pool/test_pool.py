"""The pool with processes that do as they are told: deadlines, a full queue, hung and dead processes, a wrong PIN."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mta.adapters.token_pool.pool import AHEAD, PoolSettings, TokenPool, TokenRefused
from mta.errors import KeyAway
from tests.support.patience import PATIENCE
from tests.support.token_processes import Told


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@contextlib.asynccontextmanager
async def pool_of(settings: PoolSettings) -> AsyncIterator[TokenPool]:
    pool = TokenPool(settings)
    try:
        yield pool
    finally:
        await pool.close()


async def outcome(work: Awaitable[Any]) -> str:
    try:
        return f"done {await work}"
    except KeyAway as error:
        return str(error)


async def again(pool: TokenPool, wish: Any) -> Any:
    """Until the token has rested."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await pool.do(wish)
        except KeyAway:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_requests_are_spread_over_the_processes_and_each_gets_its_own_answer(told: Told) -> None:
    async with pool_of(told.settings(processes=2)) as pool:
        wishes = [told.wish("echo", f"{n:04x}", call=f"c{n}") for n in range(40)]
        assert await asyncio.gather(*map(pool.do, wishes)) == [f"{n:04x}" for n in range(40)]
    assert {call for _, do, call in told.asked if do == "echo"} == {f"c{n}" for n in range(40)}
    assert len({pid for pid, _, _ in told.asked}) == 2
    assert told.logins() == 2


async def test_a_process_is_started_when_it_is_needed_and_logs_in_once(told: Told) -> None:
    async with pool_of(told.settings(processes=4)) as pool:
        assert told.asked == []
        for _ in range(3):
            await pool.do(told.wish("echo", "00"))
        assert told.logins() == 1
        await pool.do(told.wish("echo", "00", token="other"))
        assert told.logins() == 2
        assert len({pid for pid, _, _ in told.asked}) == 1


async def test_a_full_queue_is_told_at_once(told: Told) -> None:
    async with pool_of(told.settings(processes=1, waiting=3)) as pool:
        await pool.do(told.wish("echo", "00"))
        [(pid, _, _), *_] = told.asked
        os.kill(pid, signal.SIGSTOP)
        count = AHEAD + 3  # those that are with the process, and those that wait
        waiting = [asyncio.ensure_future(pool.do(told.wish("echo", f"0{n}"))) for n in range(count)]
        await asyncio.sleep(0)
        begin = time.monotonic()
        with pytest.raises(KeyAway, match="is busy: 3 requests wait already; try again"):
            await pool.do(told.wish("echo", "09"))
        assert time.monotonic() - begin < PATIENCE / 4
        os.kill(pid, signal.SIGCONT)
        assert await asyncio.gather(*waiting) == [f"0{n}" for n in range(count)]


async def test_a_hung_process_is_killed_and_the_token_rests_and_is_used_again(told: Told) -> None:
    async with pool_of(told.settings(processes=1, patience=0.3, pause=0.2)) as pool:
        first = await pool.do(told.wish("pid"))
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(KeyAway, match=r"does not answer within 0\.3 s"):
            await pool.do(told.wish("pid"))
        with pytest.raises(KeyAway, match="the next try is in"):
            await pool.do(told.wish("pid"))
        assert await again(pool, told.wish("pid")) != first
        assert not alive(first)


async def test_a_token_that_hangs_holds_up_no_other(told: Told) -> None:
    async with pool_of(told.settings(processes=2, patience=0.4)) as pool:
        hung = asyncio.ensure_future(outcome(pool.do(told.wish("hang"))))
        for _ in range(20):
            assert await pool.do(told.wish("echo", "00", token="other")) == "00"
        assert "does not answer" in await hung


async def test_of_a_hung_token_one_process_at_a_time_is_lost(told: Told) -> None:
    async with pool_of(told.settings(processes=3, patience=0.3, pause=0.01)) as pool:
        await outcome(pool.do(told.wish("hang")))
        await asyncio.sleep(0.02)
        results = await asyncio.gather(*(outcome(pool.do(told.wish("hang"))) for _ in range(3)))
    assert sum("does not answer within" in text and "tried" not in text for text in results) == 1
    assert sum("being tried just now" in text for text in results) == 2


@pytest.mark.parametrize("how", ["die", "away"])
async def test_a_process_that_ends_is_told_and_replaced(told: Told, how: str) -> None:
    async with pool_of(told.settings(processes=1, pause=0.01)) as pool:
        first = await pool.do(told.wish("pid"))
        with pytest.raises(KeyAway):
            await pool.do(told.wish(how))
        assert await again(pool, told.wish("pid")) != first


async def test_a_process_that_ended_while_idle_costs_no_request(told: Told) -> None:
    async with pool_of(told.settings(processes=1)) as pool:
        first = await pool.do(told.wish("pid"))
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + PATIENCE
        while not next(iter(pool._members)).lost:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert await pool.do(told.wish("pid")) != first


@pytest.mark.parametrize("how", ["die", "away", "hang"])
async def test_what_was_sent_behind_a_request_that_ends_its_process_is_asked_anew(told: Told, how: str) -> None:
    async with pool_of(told.settings(processes=1, patience=0.4, pause=0.01)) as pool:
        await pool.do(told.wish("echo", "00", token="other"))
        ended = asyncio.ensure_future(outcome(pool.do(told.wish(how))))
        await asyncio.sleep(0)
        assert await pool.do(told.wish("echo", "bb", token="other")) == "bb"
        assert "done" not in await ended


async def test_of_what_was_sent_behind_a_request_to_a_token_that_hangs_nothing_hangs_again(told: Told) -> None:
    async with pool_of(told.settings(processes=1, patience=0.3, pause=60)) as pool:
        await pool.do(told.wish("echo", "00"))
        results = await asyncio.gather(*(outcome(pool.do(told.wish("hang"))) for _ in range(2)))
    assert all("does not answer within" in text for text in results)
    assert sum(do == "hang" for _, do, _ in told.asked) == 1


async def test_a_lost_session_is_opened_anew_and_the_request_asked_once_more(told: Told) -> None:
    async with pool_of(told.settings(processes=1)) as pool:
        await pool.do(told.wish("lost"))
    assert [do for _, do, _ in told.asked] == ["login", "lost", "login", "lost"]


async def test_a_refusal_is_no_failure_of_the_token(told: Told) -> None:
    async with pool_of(told.settings(processes=1)) as pool:
        for _ in range(3):
            with pytest.raises(TokenRefused, match="it will not"):
                await pool.do(told.wish("refuse"))
        assert await pool.do(told.wish("echo", "00")) == "00"


async def test_a_wrong_pin_is_tried_once_whoever_asks(told: Told) -> None:
    told.rule("pin")
    async with pool_of(told.settings(processes=4, pause=0.01)) as pool:
        results = await asyncio.gather(*(outcome(pool.do(told.wish("echo", "00"))) for _ in range(8)))
        assert all("refuses the PIN" in text for text in results)
        told.rule("pin", holds=False)
        await asyncio.sleep(0.05)
        assert "it is not tried again" in await outcome(pool.do(told.wish("echo", "00")))
    assert told.logins() == 1


async def test_a_token_away_is_told_and_works_when_it_is_back(told: Told) -> None:
    async with pool_of(told.settings(processes=2, pause=0.02, longest=0.1)) as pool:
        await pool.do(told.wish("echo", "00"))
        told.rule("away")
        for _ in range(5):
            with pytest.raises(KeyAway, match="the token is not there"):
                await pool.do(told.wish("echo", "01"))
        told.rule("away", holds=False)
        assert await again(pool, told.wish("echo", "02")) == "02"


async def test_whoever_leaves_takes_no_answer_of_another_along(told: Told) -> None:
    async with pool_of(told.settings(processes=1)) as pool:
        await pool.do(told.wish("echo", "00"))
        left = asyncio.ensure_future(pool.do(told.wish("echo", "aa")))
        await asyncio.sleep(0)
        left.cancel()
        assert await pool.do(told.wish("echo", "bb")) == "bb"
        assert left.cancelled()


async def test_closing_ends_processes_and_requests(told: Told) -> None:
    pool = TokenPool(told.settings(processes=2))
    pid = await pool.do(told.wish("pid"))
    hung = asyncio.ensure_future(outcome(pool.do(told.wish("hang"))))
    await asyncio.sleep(0)
    await pool.close()
    assert "has ended" in await hung
    assert not alive(pid)
    with pytest.raises(KeyAway):
        await pool.do(told.wish("pid"))


async def test_a_program_that_cannot_be_started_is_a_token_away(told: Told) -> None:
    for program in (("/nonexistent",), (sys.executable, "-c", "")):
        settings = told.settings(processes=1)
        object.__setattr__(settings.member, "program", program)
        async with pool_of(settings) as pool:
            with pytest.raises(KeyAway, match="can be started"):
                await pool.do(told.wish("pid"))


def test_it_works_on_the_loop_of_uvloop(told: Told) -> None:
    async def work() -> Any:
        async with pool_of(told.settings(processes=1)) as pool:
            return await pool.do(told.wish("echo", "aa"))

    assert uvloop.run(work()) == "aa"
