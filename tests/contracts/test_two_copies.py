"""Mail that must be durable on two machines: no standby, no `250`; and no answer that a cancelled wait would give."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from mta.adapters.postgres import Database, Identity, Settings, open_queue, writer
from mta.adapters.postgres.store import PostgresQueueStore
from mta.errors import StorageError
from mta.ports import QueueFilter
from tests.support.mail import queued
from tests.support.patience import patient
from tests.support.postgres import Server, make_server, needs_postgres, own_folder, stop_server

pytestmark = [pytest.mark.peer, needs_postgres(), pytest.mark.xdist_group("two_copies")]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of its own: which standbys are waited for is said for all of it."""
    with tempfile.TemporaryDirectory(prefix="pg2") as folder:
        Path(folder).chmod(0o755)
        server = make_server(own_folder(Path(folder) / "s"))
        yield server
        stop_server(server.folder, "immediate")


class World:
    """A store that demands two copies, and the server's word on standbys."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    async def store(self, copies: int) -> PostgresQueueStore:
        database = Database(self.server.dsn(), copies, patience=patient(2.0))
        return await open_queue(Settings(database, self.folder, Identity("host", 0, "1", "digest", 1)))

    async def ask(self, *statements: str) -> list[asyncpg.Record]:
        db = await asyncpg.connect(self.server.dsn())
        try:
            await db.execute("SET synchronous_commit = local")
            return [row for statement in statements for row in await db.fetch(statement)]
        finally:
            await db.close()

    async def wait_for_standby(self, name: str) -> None:
        """From now on every COMMIT waits for a standby of this name; empty: for none."""
        await self.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "SELECT pg_reload_conf()")
        while (await self.ask("SHOW synchronous_standby_names"))[0][0] != name:
            pass

    async def waiting(self) -> list[int]:
        """Backends that wait for the standby."""
        rows = await self.ask("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return [row["pid"] for row in rows]


@pytest.fixture
async def world(server: Server, tmp_path: Path) -> World:
    world = World(server, tmp_path / "node")
    await world.wait_for_standby("")
    return world


async def test_without_a_standby_no_mail_is_taken(world: World) -> None:
    store = await world.store(copies=2)
    with pytest.raises(StorageError, match="waits for no standby"):
        await store.enqueue(queued("m1"))
    assert await store.trace(QueueFilter()) == []
    await store.close()


async def test_a_wait_for_the_standby_that_is_cancelled_is_no_success(world: World) -> None:
    """The server answers such a COMMIT with success and a warning."""
    store = await world.store(copies=1)
    await world.wait_for_standby("ghost")
    taking = asyncio.ensure_future(store.enqueue(queued("m1"), claim=True))
    for _ in range(2):
        while not (pids := await world.waiting()):
            assert not taking.done()
        for pid in pids:
            await world.ask(f"SELECT pg_cancel_backend({pid})")
        while set(pids) & set(await world.waiting()):
            await asyncio.sleep(0)
        assert not taking.done(), "what only one machine has was acknowledged"
    await world.wait_for_standby("")
    await taking
    assert [message.id for message in await store.search(QueueFilter())] == ["m1"]
    await store.close()


async def test_what_was_written_though_its_client_heard_451_is_withdrawn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_UNKNOWN", 0.0)
    store = await world.store(copies=1)
    await world.wait_for_standby("ghost")
    with pytest.raises(StorageError):
        await store.enqueue(queued("stray"), claim=True)
    await world.wait_for_standby("")
    while await world.ask("SELECT 1 FROM message WHERE id = 'stray'"):
        await asyncio.sleep(0.01)
    assert await store.search(QueueFilter(id="stray")) == []
    await store.close()
