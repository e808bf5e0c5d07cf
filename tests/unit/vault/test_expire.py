"""What time does to items: their end, the longest that anything is retained, and the containers that nobody needs."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mta.contract.protection import Label, Protection
from mta.errors import UsageError
from mta.model.protected import ItemState
from mta.model.rights import expand
from mta.ports.mail_vault import Post
from mta.vault.expire import expire, sweep_containers
from mta.vault.grants import extend, hold, shred
from mta.vault.mail import protect_message
from tests.support.vault import ALICE, BOB, World, editor, vault_world

DAY = 86_400.0
LABEL = Label("confidential", rights=expand("co-author"), expires=10 * DAY)
NEVER = Label("never", rights=expand("co-author"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with vault_world(tmp_path) as made:
        yield made


def retaining(world: World, retention: float) -> None:
    world.vault = replace(
        world.vault,
        protection=Protection("x", labels={"confidential": LABEL, "never": NEVER}, retention=retention),
    )


@pytest.mark.parametrize(
    ("label", "retention", "ends"),
    [(LABEL, 0.0, 10 * DAY), (LABEL, 5 * DAY, 5 * DAY), (LABEL, 50 * DAY, 10 * DAY), (NEVER, 5 * DAY, 5 * DAY)],
    ids=["as long as its label", "shorter", "longer", "without an end"],
)
async def test_nothing_is_sealed_for_longer_than_it_is_retained(
    world: World, label: Label, retention: float, ends: float
):
    retaining(world, retention)
    item = await world.seal(label=label)
    assert item.not_after == item.created + ends


async def test_nothing_is_extended_beyond_it_and_what_is_older_ends(world: World):
    old, held = await world.seal(label=NEVER), await world.seal(label=NEVER)
    await hold(world.vault, held, editor(administrator=True))
    retaining(world, 30 * DAY)
    fresh = await world.seal(label=LABEL)
    await extend(world.vault, fresh, fresh.created + 29 * DAY, editor())
    for end in (0.0, fresh.created + 31 * DAY):
        with pytest.raises(UsageError, match="retention"):
            await extend(world.vault, fresh, end, editor())
    assert await expire(world.vault) == 0
    world.clock.at += 29 * DAY + 1
    assert await expire(world.vault) == 1  # the fresh one, at its own end
    world.clock.at += DAY
    assert await expire(world.vault) == 1
    states = {id: found.state for id in (old.id, held.id, fresh.id) if (found := await world.vault.store.item(id))}
    assert states == {old.id: ItemState.EXPIRED, fresh.id: ItemState.EXPIRED, held.id: ItemState.HELD}


async def test_containers_that_nobody_can_open_are_removed(world: World):
    posts = [Post(f"m{number}", "confidential", ALICE, (BOB,)) for number in range(3)]
    live, gone, held = [(await protect_message(world.vault, one, lambda: io.BytesIO(b"x"))).item for one in posts]
    await shred(world.vault, gone, editor())
    await hold(world.vault, held, editor(administrator=True))
    orphan, young = world.folder / "items" / f"{'o' * 26}.tdf", world.folder / "items" / f"{'y' * 26}.tdf"
    orphan.write_bytes(b"left by a crash")
    for path in world.folder.glob("items/*"):
        os.utime(path, (world.clock.at - 7200, world.clock.at - 7200))
    young.write_bytes(b"being written")
    os.utime(young, (world.clock.at, world.clock.at))
    assert await sweep_containers(world.vault) == 2
    left = {path.name for path in world.folder.glob("items/*")}
    assert left == {f"{live.id}.tdf", f"{held.id}.tdf", young.name}
    assert await sweep_containers(world.vault) == 0
