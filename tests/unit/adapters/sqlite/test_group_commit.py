"""Many messages share one fsync; one alone waits for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mta.adapters.sqlite import SqliteQueueStore, Tuning, open_shard
from mta.errors import LocalProtocolError
from mta.ports import QueueFilter, RecipientFate
from tests.support.mail import NOW, queued, settlement
from tests.support.patience import PATIENCE

PATIENT = Tuning(window=5.0, patience=5.0)  # a test that waits for either fails by its time


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteQueueStore]:
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop())
    yield store
    await store.close()


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[SqliteQueueStore]:
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop(), tuning=PATIENT)
    yield store
    await store.close()


async def test_twenty_sessions_need_few_commits_settling_included(store: SqliteQueueStore) -> None:
    each = 10

    async def session(name: int) -> None:
        for number in range(each):
            store.expect(1)
            await asyncio.sleep(0)  # MAIL, RCPT, DATA
            await store.enqueue(queued(f"m{name}-{number}"), claim=True)
            store.expect(-1)
            deliveries.append(asyncio.ensure_future(store.settle(settlement(f"m{name}-{number}"))))

    deliveries: list[asyncio.Future[None]] = []
    await asyncio.gather(*(session(name) for name in range(20)))
    await asyncio.gather(*deliveries)
    assert (await store.counts()).states == {"delivered": 20 * each}
    assert store.commits <= 0.4 * 20 * each


@pytest.mark.parametrize("siblings", [0, 1])
async def test_a_session_alone_does_not_wait_for_company(patient: SqliteQueueStore, siblings: int) -> None:
    patient.expect(siblings)
    async with asyncio.timeout(PATIENCE):
        for number in range(3):
            await patient.enqueue(queued(f"m{number}"))
    assert patient.commits == 3


async def test_the_group_goes_as_soon_as_every_sibling_has_arrived(patient: SqliteQueueStore) -> None:
    patient.expect(3)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(patient.enqueue(queued(f"m{number}")) for number in range(3)))
    assert patient.commits == 1


async def test_siblings_that_do_not_arrive_are_waited_for_no_longer_than_the_window(tmp_path: Path) -> None:
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop(), tuning=Tuning(window=0.001, patience=5.0))
    settling = asyncio.ensure_future(store.settle(settlement("m1")))  # its timer is long, and runs already
    await asyncio.sleep(0)
    store.expect(20)
    async with asyncio.timeout(PATIENCE):
        await store.enqueue(queued("m1"))
    assert (await asyncio.gather(settling, return_exceptions=True)) != [None]
    await store.close()


async def test_a_settlement_travels_with_the_next_enqueue(patient: SqliteQueueStore) -> None:
    await patient.enqueue(queued("m1"))
    settling = asyncio.ensure_future(patient.settle(settlement("m1")))
    await asyncio.sleep(0.01)
    assert not settling.done()
    async with asyncio.timeout(PATIENCE):
        await patient.enqueue(queued("m2"))
        await settling
    assert patient.commits == 2


async def test_a_settlement_without_company_goes_by_itself(store: SqliteQueueStore) -> None:
    await store.enqueue(queued("m1"))
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        await store.settle(settlement("m1"))
    assert time.monotonic() - begun >= 0.9 * Tuning().patience
    assert store.commits == 2


async def test_a_job_that_fails_takes_only_itself_back(patient: SqliteQueueStore) -> None:
    await patient.enqueue(queued("taken"))
    patient.expect(3)
    async with asyncio.timeout(PATIENCE):
        good, bad, other = await asyncio.gather(
            patient.enqueue(queued("m1")),
            patient.enqueue(queued("taken", "x@y.example", "z@y.example")),
            patient.enqueue(queued("m2")),
            return_exceptions=True,
        )
    assert good is None
    assert other is None
    assert isinstance(bad, LocalProtocolError)
    assert patient.commits == 2
    assert (await patient.counts()).states == {"queued": 3}


async def test_a_job_that_fails_half_way_is_taken_back_whole(patient: SqliteQueueStore) -> None:
    await patient.enqueue(queued("taken"))
    bounced = settlement("taken", RecipientFate(0, "failed", "550"), notices=(queued("n1"), queued("taken")))
    settling = asyncio.ensure_future(patient.settle(bounced))
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await patient.enqueue(queued("m1"))
        with pytest.raises(LocalProtocolError):
            await settling
    assert (await patient.counts()).states == {"queued": 2}
    [record] = await patient.trace(QueueFilter(id="taken"))
    assert (record.message.states[0].state, record.events) == ("queued", ())
    assert [message.id for message in await patient.search(QueueFilter())] == ["taken", "m1"]


async def test_reading_does_not_wait_for_a_group_that_gathers(patient: SqliteQueueStore) -> None:
    await patient.enqueue(queued("m1"))
    settling = asyncio.ensure_future(patient.settle(settlement("m1")))
    async with asyncio.timeout(PATIENCE):
        assert await patient.next_due() == NOW
    assert not settling.done()


async def test_closing_hurries_what_waits(tmp_path: Path) -> None:
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop(), tuning=PATIENT)
    store.expect(20)
    enqueueing = asyncio.ensure_future(store.enqueue(queued("m1")))
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await store.close()
        await enqueueing


async def test_the_cost_of_claiming_does_not_depend_on_what_waits_behind(store: SqliteQueueStore) -> None:
    """Measured in steps of SQLite's machine, not in time: looking at 10 of 2000 costs as much as 10 of 20."""
    db = store._shard.db
    steps = []
    for number in range(2000):
        work = store.enqueue(queued(f"m{number:04}"))
        task = asyncio.ensure_future(work)
        if number in (19, 1999):
            await task
            steps.append(await _steps(store, db))
        elif number % 200 == 199:
            await task
    assert steps[1] <= 1.2 * steps[0]


async def _steps(store: SqliteQueueStore, db: object) -> int:
    count = 0

    def tick() -> bool:
        nonlocal count
        count += 1
        return False

    db.set_progress_handler(tick, 1)  # type: ignore[attr-defined]
    found = await store.claim(NOW, 10)
    await store.next_due()
    db.set_progress_handler(None)  # type: ignore[attr-defined]
    assert len(found) == 10
    for message in found:
        await store.release_claim(message.id)
    return count
