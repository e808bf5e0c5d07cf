"""Two stores on one database: what each may do with the mail of the other, alive or dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from mta.adapters.postgres import Database, Identity, Settings, open_queue
from mta.adapters.postgres.reaper import reap, sweep
from mta.adapters.postgres.store import PostgresQueueStore
from mta.model.lease import CRASH_LOOP, Terms
from mta.model.message import Content, NewForm
from mta.ports import QueueCommand, QueueFilter, RecipientFate
from tests.support.mail import NOW, queued, settlement
from tests.support.postgres import database, emptied, needs_postgres

pytestmark = [pytest.mark.peer, needs_postgres()]

LATER = NOW + 1000


@pytest.fixture(scope="module")
def dsn(worker_id: str) -> Iterator[str]:
    with database(f"two_nodes_{worker_id}") as dsn:
        yield dsn


class Nodes:
    """Two nodes, and the database looked at from beside them."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn = dsn
        self._folder = folder
        self._open: list[PostgresQueueStore] = []
        self.told: list[str] = []

    async def join(self, generation: int = 1) -> PostgresQueueStore:
        number = len(self._open)
        identity = Identity("host", number, "1", "digest", generation)
        settings = Settings(
            Database(self._dsn),
            self._folder / str(number),
            identity,
            Terms(delay=0.0),
            tell=lambda event, **_: self.told.append(event),
        )
        store = await open_queue(settings)
        self._open.append(store)
        return store

    async def ask(self, sql: str, *values: object) -> list[asyncpg.Record]:
        db = await asyncpg.connect(self._dsn)
        try:
            return await db.fetch(sql, *values)
        finally:
            await db.close()

    async def vanish(self, store: PostgresQueueStore) -> None:
        """For the others, its lease has passed."""
        await self.ask("UPDATE node SET expires = clock_timestamp() - interval '1 hour' WHERE id = $1", store.place[1])

    async def reap(self, store: PostgresQueueStore) -> tuple[list[int], int]:
        """`store` looks for dead nodes, having been connected for long."""
        store._lease.trust.since -= 1000.0
        db = await asyncpg.connect(self._dsn)
        try:
            return await reap(db, store._lease, look=False)
        finally:
            await db.close()

    async def close(self) -> None:
        for store in self._open:
            await store.close()


@pytest.fixture
async def nodes(dsn: str, tmp_path: Path) -> AsyncIterator[Nodes]:
    await emptied(dsn)
    nodes = Nodes(dsn, tmp_path)
    yield nodes
    await nodes.close()


async def test_two_nodes_that_claim_at_once_never_get_the_same(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await asyncio.gather(*(one.enqueue(queued(f"m{n}", "a@x.example", "b@x.example")) for n in range(40)))
    shares = await asyncio.gather(*(store.claim(NOW, 7) for store in (one, two) * 10))
    places = [(message.id, state.index) for share in shares for message in share for state in message.states]
    assert sorted(places) == sorted((f"m{n}", index) for n in range(40) for index in (0, 1))


async def test_mail_that_its_taker_delivers_is_nobody_elses(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    assert await two.claim(LATER, 10) == []
    await one.settle(settlement("m1", RecipientFate(0, "queued", "450", due=NOW + 5)))
    [found] = await two.claim(NOW + 5, 10)
    assert found.states[0].attempts == 1
    await two.settle(settlement("m1"))
    assert (await one.counts()).states == {"delivered": 1}


async def test_a_node_that_leaves_gives_its_mail_back_at_once(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    await one.close()
    assert [message.id for message in await two.claim(NOW, 10)] == ["m1"]


async def test_mail_of_a_node_whose_lease_has_passed_is_taken_over(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    assert await nodes.reap(two) == ([], 0)
    await nodes.vanish(one)
    assert await nodes.reap(two) == ([one.place[1]], 1)
    [found] = await two.claim(LATER, 10)
    [record] = await two.trace(QueueFilter(id="m1"))
    assert (found.id, [event.name for event in record.events]) == ("m1", ["node.taken-over"])


async def test_who_was_not_connected_for_a_whole_lease_buries_nobody(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await nodes.vanish(one)
    db = await asyncpg.connect(nodes._dsn)
    try:
        assert await reap(db, two._lease, look=True) == ([], 0)
    finally:
        await db.close()


async def test_a_settlement_that_comes_after_somebody_elses_claim_changes_nothing_and_is_told(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    await nodes.vanish(one)
    await nodes.reap(two)
    assert len(await two.claim(LATER, 10)) == 1
    await one.settle(settlement("m1", RecipientFate(0, "failed", "550")))
    assert (await two.counts()).states == {"queued": 1}
    [record] = await two.trace(QueueFilter(id="m1"))
    assert [event.name for event in record.events][-1] == "settlement.superseded"
    assert record.events[-1].detail["node"] == one.place[1]
    assert "settlement.superseded" in nodes.told
    await two.settle(settlement("m1"))
    assert (await one.counts()).states == {"delivered": 1}


async def test_a_late_settlement_of_what_nobody_has_claimed_since_is_true(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    await nodes.vanish(one)
    await nodes.reap(two)
    await one.settle(settlement("m1"))
    assert await two.claim(LATER, 10) == []
    assert (await two.counts()).states == {"delivered": 1}
    assert "settlement.superseded" not in nodes.told


async def test_the_gate_closes_for_good_when_others_have_declared_a_node_dead(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    gate = one.gate("m1")
    assert gate()
    await nodes.vanish(one)
    await nodes.reap(two)
    await one._read.use(one._pulse._beat, "beat")
    assert "node.lost" in nodes.told
    assert not gate()
    assert one._lease.held, "it is a node again, another one"
    assert one._lease.id != one.place[1]


async def test_what_was_begun_as_a_dead_incarnation_is_not_begun_again_beside_it(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    await nodes.vanish(one)
    await nodes.reap(two)
    await one._read.use(one._pulse._beat, "beat")
    assert await one.claim(LATER, 10) == []
    await one.settle(settlement("m1", RecipientFate(0, "queued", "450", due=LATER)))
    assert [message.id for message in await one.claim(LATER, 10)] == ["m1"]


async def test_mail_whose_nodes_vanish_again_and_again_is_held(nodes: Nodes) -> None:
    keeper = await nodes.join()
    await keeper.enqueue(queued("m1"))
    for _ in range(CRASH_LOOP):
        victim = await nodes.join()
        assert len(await victim.claim(LATER, 10)) == 1
        await nodes.vanish(victim)
        await nodes.reap(keeper)
    assert (await keeper.counts()).states == {"held": 1}
    [found] = await keeper.search(QueueFilter())
    assert (found.states[0].word, found.states[0].reason[:11]) == ("crash-loop", "crash-loop:")


async def test_no_node_claims_what_is_newer_than_its_own_configuration(nodes: Nodes) -> None:
    old, new = await nodes.join(generation=1), await nodes.join(generation=2)
    await new.enqueue(queued("m1"))
    assert await old.waiting(LATER, 10) == []
    assert await old.claim(LATER, 10) == []
    assert await old.next_due() is None
    assert len(await new.claim(LATER, 10)) == 1


async def test_a_message_ends_once_though_two_nodes_end_its_recipients(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    for number in range(10):
        identity = f"m{number}"
        await one.enqueue(queued(identity, "a@x.example", "b@x.example"))
        [found] = await one.claim(NOW, 1)
        await one.settle(settlement(identity, RecipientFate(1, "queued", "450", due=NOW)))
        [other] = await two.claim(NOW, 1)
        assert (found.id, [state.index for state in other.states]) == (identity, [1])
        await asyncio.gather(
            one.settle(settlement(identity, RecipientFate(0, "delivered", "250"))),
            two.settle(settlement(identity, RecipientFate(1, "delivered", "250"))),
        )
    assert await nodes.ask("SELECT * FROM content") == []
    assert (await two.counts()).octets == 0
    assert await two.purge(LATER) == 10


async def test_a_command_reaches_the_mail_that_another_node_has_in_hand(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    await one.enqueue(queued("m1"), claim=True)
    hold = QueueCommand(QueueFilter(), "message.held", "held", ("queued",), NOW, "by hand")
    assert [name async for window in two.change(hold) for name in window] == ["m1"]
    await one.settle(settlement("m1", RecipientFate(0, "queued", "450", due=NOW)))
    assert (await two.counts()).states == {"held": 1}


async def test_a_large_message_and_its_form_reach_another_node(nodes: Nodes) -> None:
    one, two = await nodes.join(), await nodes.join()
    body, sealed = b"Subject: a\r\n\r\n" + b"x" * 1_700_000, b"Subject: a\r\n\r\n" + b"s" * 1_600_000
    spool = one.spool()
    await spool.write(body)
    await one.enqueue(queued("m1", content=spool.content(body[:14])), claim=True)
    form = NewForm((0,), Content(len(sealed), data=sealed), {"encrypted": True})
    await one.settle(settlement("m1", RecipientFate(0, "queued", "450", due=NOW), forms=(form,)))
    [found] = await two.claim(NOW, 1)
    assert b"".join([piece async for piece in two.read(found.content)]) == body
    assert b"".join([piece async for piece in two.read(found.forms[0].content)]) == sealed
    await two.settle(settlement("m1"))
    assert await nodes.ask("SELECT * FROM content") == []


async def test_what_never_became_mail_is_swept_away_and_what_did_is_not(nodes: Nodes) -> None:
    one = await nodes.join()
    await one.spool().write(b"x" * 600_000)
    await one.enqueue(queued("m1"))
    db = await asyncpg.connect(nodes._dsn)
    try:
        assert await sweep(db, 0.0) == 0, "it may still be arriving"
        assert await sweep(db, 3.5e9) == 2
    finally:
        await db.close()
    assert len(await one.claim(NOW, 1)) == 1


async def test_a_damaged_message_is_held_and_stops_nobody(nodes: Nodes) -> None:
    one = await nodes.join()
    for name in ("bad", "good"):
        await one.enqueue(queued(name))
    await nodes.ask("UPDATE content SET data = 'other' WHERE body = (SELECT seq FROM message WHERE id = 'bad')")
    assert [message.id for message in await one.claim(NOW, 10)] == ["good"]
    [held] = await one.search(QueueFilter(state="held"))
    assert held.states[0].reason.startswith("damaged: the content is damaged")
    assert "shard.alarm" in nodes.told
