"""Epochs are renewed by the clock, and a backup brings back what it may and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import apsw
import pytest

from mta.adapters.epochs import Epochs
from mta.errors import NotOpened
from mta.vault.epochs import LIFE, keep_epochs
from mta.vault.grants import shred
from tests.support.vault import BOB, World, editor, vault_world

WINDOW = 7 * 86_400.0


async def told(world: World) -> list[tuple[str, str]]:
    stories = [json.loads(entry.story) for entry in await world.vault.store.entries(0, 1000)]
    return [(one["reason"], one["epoch"]) for one in stories if one["op"] == "epoch"]


def keys(world: World) -> list[int]:
    shares = world.vault.shares
    assert isinstance(shares, Epochs)
    return shares.numbers()


async def test_a_month_a_window_and_the_old_key_is_gone(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal(b"one")
        await keep_epochs(world.vault)
        before = await world.vault.store.share(item)
        world.clock.at += LIFE - 1
        await keep_epochs(world.vault)
        assert keys(world) == [1]
        world.clock.at += 1
        await keep_epochs(world.vault)
        assert keys(world) == [1, 2]
        assert await world.vault.store.share(item) != before
        world.clock.at += WINDOW - 1
        await keep_epochs(world.vault)
        assert keys(world) == [1, 2]
        world.clock.at += 1
        await keep_epochs(world.vault)
        assert keys(world) == [2]
        assert await world.read(item, BOB) == b"one"
        assert await told(world) == [("begun", "1"), ("begun", "2"), ("replaced", "1"), ("destroyed", "1")]
        await keep_epochs(world.vault)
        assert len(await told(world)) == 4


async def test_a_share_that_was_covered_before_and_written_after_is_not_lost(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        await keep_epochs(world.vault)
        cover = world.vault.shares.cover
        late = cover(b"s" * 32)
        world.clock.at += LIFE
        await keep_epochs(world.vault)
        item = await world.seal(b"two")
        share = apsw.Connection(str(tmp_path / "shares.db"))
        share.execute("UPDATE share SET covered = ? WHERE wrapped = ?", (late, item.wrapped_digest))
        share.close()
        world.clock.at += WINDOW
        await keep_epochs(world.vault)
        assert keys(world) == [2]
        covered = await world.vault.store.share(item)
        assert covered is not None
        assert world.vault.shares.uncover(covered) == b"s" * 32


@pytest.mark.parametrize("moment", ["begin", "end"])
async def test_a_crash_after_the_key_file_is_made_up_for(tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch):
    async with vault_world(tmp_path) as world:
        item = await world.seal(b"three")
        await keep_epochs(world.vault)
        world.clock.at += LIFE
        if moment == "end":
            await keep_epochs(world.vault)
            world.clock.at += WINDOW
        does = getattr(Epochs, moment)

        def crashing(*given: object) -> None:
            does(*given)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Epochs, moment, crashing)
            with pytest.raises(KeyboardInterrupt):
                await keep_epochs(world.vault)
        for _ in range(2):
            await keep_epochs(world.vault)
            world.clock.at += WINDOW
        await keep_epochs(world.vault)
        assert keys(world) == [2]
        assert await world.read(item, BOB) == b"three"


def backup(folder: Path, to: Path) -> None:
    """As docs/protected.md says: shares first, while the vault runs."""
    to.mkdir()
    for name in ("shares.db", "vault.db"):
        source, target = apsw.Connection(str(folder / name)), apsw.Connection(str(to / name))
        with target.backup("main", source, "main") as copy:
            while not copy.done:
                copy.step(100)
        source.close()
        target.close()
    shutil.copy(folder / "policy.key", to / "policy.key")
    shutil.copy(folder / "r1.key", to / "r1.key")


async def test_a_backup_opens_what_was_sealed_and_within_the_window_what_was_shredded(tmp_path: Path):
    async with vault_world(tmp_path / "live") as world:
        kept, gone = await world.seal(b"kept"), await world.seal(b"gone")
        await keep_epochs(world.vault)
        backup(tmp_path / "live", tmp_path / "old")
        shutil.copytree(tmp_path / "live" / "epochs", tmp_path / "keys")
        await shred(world.vault, gone, editor())
        containers = dict(world.containers)
        world.clock.at += LIFE
        await keep_epochs(world.vault)
        world.clock.at += WINDOW
        await keep_epochs(world.vault)
        backup(tmp_path / "live", tmp_path / "new")
        for folder in ("old", "new"):  # keys of epochs come from where the vault runs
            shutil.copytree(tmp_path / "live" / "epochs", tmp_path / folder / "epochs")
    shutil.copytree(tmp_path / "keys", tmp_path / "old-with-keys" / "epochs")
    for name in ("shares.db", "vault.db", "policy.key", "r1.key"):
        shutil.copy(tmp_path / "old" / name, tmp_path / "old-with-keys" / name)
    opened = {}
    for folder in ("old", "new", "old-with-keys"):
        async with vault_world(tmp_path / folder) as world:
            world.containers.update(containers)
            for name, item in (("kept", kept), ("gone", gone)):
                try:
                    opened[folder, name] = await world.read(item, BOB) == name.encode()
                except NotOpened:
                    opened[folder, name] = False
    assert opened == {
        ("old", "kept"): False,  # a backup older than the window is of no use: that is the promise
        ("old", "gone"): False,
        ("new", "kept"): True,
        ("new", "gone"): False,
        ("old-with-keys", "kept"): True,
        ("old-with-keys", "gone"): True,  # so whoever keeps old keys beside old backups breaks it
    }


def test_two_processes_that_begin_the_first_epoch_at_once_have_one(tmp_path: Path):
    other = Epochs(tmp_path, lambda size: b"o" * size)

    def late(size: int) -> bytes:
        """The other process is faster by a moment."""
        assert other.current() == 1
        return b"s" * size

    assert Epochs(tmp_path, late).current() == 1
    assert other.numbers() == [1]
