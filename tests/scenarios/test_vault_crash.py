"""The vault's process is killed at any instant: no item without its grants, no content key without its entry."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from mta.adapters.vault_sqlite import SqliteVault, committer
from mta.errors import NotOpened, StorageError
from mta.model.protected import ItemState
from mta.ports.vault import ItemFilter
from mta.rfc.tdf.open import read_protected, unlock
from mta.vault.expire import sweep
from mta.vault.log import checkpoint, verify
from tests.support.patience import PATIENCE
from tests.support.vault import BOB, World, vault_world

ROUNDS = 6


@dataclass
class Told:
    """What a process had said is done when it was killed."""

    sealed: dict[str, bytes] = field(default_factory=dict)
    opened: dict[int, str] = field(default_factory=dict)
    shredded: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        word, *rest = line.split()
        if word == "sealed":
            self.sealed[rest[0]] = bytes.fromhex(rest[1])
        elif word == "opened":
            self.opened[int(rest[1])] = rest[0]
        elif word == "shredded":
            self.shredded.add(rest[0])


def killed_after(folder: Path, acts: int, more: float, told: Told) -> None:
    """Run the loop until it has done so many acts, and a little longer; then kill -9."""
    command = [sys.executable, "-m", "tests.support.vault_loop", str(folder)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if len(lines) == acts:
                time.sleep(more)  # the instant is random: that is the point
                process.kill()
        watchdog.cancel()
    assert len(lines) >= acts, "the loop ended by itself"
    for line in lines:
        if line.endswith("\n"):
            told.take(line)


async def entries(world: World) -> dict[int, dict[str, str]]:
    found, start = {}, 0
    while page := await world.vault.store.entries(start, 1000):
        found.update({entry.number: json.loads(entry.story) for entry in page})
        start = page[-1].number + 1
    return found


async def is_whole(world: World, told: Told) -> None:
    """All that was said to be done is there, and nothing is half done."""
    log = await entries(world)
    items = {item.id: item for item, _ in await world.vault.store.find(ItemFilter(limit=100_000))}
    assert set(told.sealed) <= set(items)
    protected = {event["item"] for event in log.values() if event["op"] == "protect"}
    assert protected == set(items)
    for item in items.values():
        assert {grant.reader for grant in await world.vault.store.grants(item.id)} == {item.owner, BOB}
    for entry, id in told.opened.items():
        assert (log[entry]["op"], log[entry]["result"], log[entry]["item"]) == ("open", "permitted", id)
    assert not (await verify(world.vault)).faults
    await sweep(world.vault)
    for id, item in items.items():
        share = await world.vault.store.share(item)
        assert (share is None) == (item.state == ItemState.SHREDDED)
        assert id not in told.shredded or share is None


async def test_killed_at_any_instant_nothing_is_half_done(tmp_path: Path):
    told, chance = Told(), random.Random(11)
    async with vault_world(tmp_path):
        pass  # so that the loop finds its keys
    for _ in range(ROUNDS):
        killed_after(tmp_path, chance.randint(5, 60), chance.uniform(0, 0.02), told)
        async with vault_world(tmp_path) as world:
            await is_whole(world, told)
            await checkpoint(world.vault)
            id = next(reversed(told.sealed))
            container = told.sealed[id]
            item = await world.vault.store.item(id)
            assert item is not None
            if item.state == ItemState.LIVE:
                key = (await world.ask(container, BOB)).content_key
                opened = unlock(read_protected(io.BytesIO(container)), key)
                assert b"/" in b"".join(opened.chunks())
    with apsw.Connection(str(tmp_path / "shares.db")) as shares:
        orphans = shares.execute("SELECT count(*) FROM share").get
    async with vault_world(tmp_path) as world:
        live = [item for item, _ in await world.vault.store.find(ItemFilter(limit=100_000)) if item.state == "live"]
        assert orphans >= len(live)
        world.clock.at += 86_400  # what belongs to no item is old by now
        await sweep(world.vault)
    with apsw.Connection(str(tmp_path / "shares.db")) as shares:
        assert shares.execute("SELECT count(*) FROM share").get == len(live)


@pytest.mark.parametrize("fault", [apsw.FullError("database or disk is full"), OSError(errno.ENOSPC, "no space")])
async def test_between_the_two_commits_a_fault_leaves_a_share_that_is_swept(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
):
    async with vault_world(tmp_path) as world:
        before = await world.seal(b"before")
        does = committer._attempt

        def failing(db: apsw.Connection, job: object, work: object) -> None:
            if db.filename.endswith("vault.db"):
                raise fault
            does(db, job, work)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(committer, "_attempt", failing)
            with pytest.raises(StorageError):
                await world.seal(b"lost")
            with pytest.raises(StorageError):
                await world.key(before, BOB)  # the entry cannot be written, so nothing opens
        assert [item.id for item, _ in await world.vault.store.find(ItemFilter())] == [before.id]
        assert await sweep(world.vault) == 0
        world.clock.at += 7200
        assert await sweep(world.vault) == 1
        assert await world.read(before, BOB) == b"before"
        assert not (await verify(world.vault)).faults


@pytest.mark.parametrize("way", ["file system", "database"])
async def test_a_full_disk_says_later_and_leaves_nothing_half_done(tmp_path: Path, way: str):
    with room(tmp_path / "small", way) as small:
        async with vault_world(small) as world:
            first = await world.seal(b"first")
            grow = narrowed(world, small, way)
            sealed = [first.id]

            async def seal_on() -> None:
                while len(sealed) < 500:
                    sealed.append((await world.seal(b"more")).id)

            async def open_on() -> None:
                for _ in range(500):
                    await world.key(first, BOB)

            for going_on in (seal_on, open_on):
                with pytest.raises(StorageError):
                    await going_on()
            grow()
            found = {item.id for item, _ in await world.vault.store.find(ItemFilter(limit=10_000))}
            assert found == set(sealed)
            assert await world.read(first, BOB) == b"first"
            with pytest.raises(NotOpened):
                await world.key(first, "eve@tailspin.example")
            assert not (await verify(world.vault)).faults


@contextlib.contextmanager
def room(folder: Path, way: str) -> Iterator[Path]:
    """A small file system, where we may mount one; else a folder."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    small = way == "file system" and os.geteuid() == 0
    mounted = small and not subprocess.run(["mount", *options], capture_output=True).returncode
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def narrowed(world: World, folder: Path, way: str) -> Callable[[], None]:
    """Leave hardly any room, on the disk or for the database; the answer makes room again."""
    if way == "file system" and os.path.ismount(folder):
        (folder / "filler").write_bytes(b"x" * fill(folder))
        return (folder / "filler").unlink
    store = world.vault.store
    assert isinstance(store, SqliteVault)
    db = store._writing[1]
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').get + 10}")
    return lambda: db.execute("PRAGMA max_page_count = 1000000").fetchall() and None


def fill(folder: Path) -> int:
    """All but a little of the room that is left."""
    found = os.statvfs(folder)
    return max(0, found.f_bavail * found.f_frsize - 40_000)
