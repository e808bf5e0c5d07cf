"""The super user opens by leave of two persons, for a while, and never untold."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mta.errors import NotOpened, StorageError, UsageError
from mta.model.protected import Actor, SuperUser
from mta.model.rights import Right
from mta.observe.vault_events import Operation
from mta.policy.super_user import LONGEST, PATIENCE, Refused, approved, asked, ended, is_in_force, leave_of
from mta.rfc.tdf.open import read_protected
from mta.vault import super_user as use
from mta.vault.open import OpenRequest, open_key
from tests.support.vault import World, vault_world

CAROL, DAVE = Actor("carol", "console", agent="account carol"), Actor("dave", "console", agent="account dave")
LEAVE = SuperUser("leave", "carol", "an audit", 1000.0, 600.0)
BEGUN = approved(LEAVE, "dave", 1100.0)


@pytest.mark.parametrize(("begins", "reason"), [(0.0, ""), (0.0, "  "), (0, "x"), (-1, "x"), (LONGEST + 1, "x")])
def test_what_cannot_be_asked_for(begins: float, reason: str):
    with pytest.raises(Refused):
        asked(replace(LEAVE, reason=reason, lasts=begins))


@pytest.mark.parametrize(
    ("leave", "by", "now"),
    [
        (LEAVE, "carol", 1100.0),
        (LEAVE, "Carol", 1100.0),
        (LEAVE, "dave", 1000.0 + PATIENCE),
        (BEGUN, "erin", 1200.0),
        (ended(LEAVE, "dave", 1050.0), "dave", 1100.0),
    ],
)
def test_what_nobody_can_approve(leave: SuperUser, by: str, now: float):
    with pytest.raises(Refused):
        approved(leave, by, now)


@pytest.mark.parametrize(("now", "holds"), [(1099.9, False), (1100.0, True), (1699.9, True), (1700.0, False)])
def test_a_leave_is_in_force_from_its_approval_to_its_end(now: float, holds: bool):
    assert is_in_force(BEGUN, now) is holds
    assert leave_of([LEAVE, BEGUN], "carol", now) == (BEGUN if holds else None)
    assert leave_of([BEGUN], "dave", now) is None
    assert not is_in_force(ended(BEGUN, "erin", 1100.0), now)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with vault_world(tmp_path) as made:
        made.vault = replace(made.vault, protection=replace(made.vault.protection, super_user=True))
        yield made


async def opened(world: World, container: bytes, who: Actor = CAROL) -> bytes:
    manifest = read_protected(io.BytesIO(container)).manifest
    request = OpenRequest(manifest.keys[0], manifest.policy, who.subject, Right.VIEW, Operation.OPEN, who, True)
    return (await open_key(world.vault, request)).content_key


async def events(world: World) -> list[tuple[str, str, str]]:
    told = [json.loads(entry.story) for entry in await world.vault.store.entries(0, 100)]
    return [(one["op"], one["result"], one.get("reason", "")) for one in told]


async def test_two_persons_open_for_a_while_and_all_of_it_is_told(world: World):
    item = await world.seal()
    container = world.containers[item.id]
    with pytest.raises(NotOpened, match="no leave"):
        await opened(world, container)
    leave = await use.ask_for(world.vault, CAROL, "bob has left", 600.0)
    with pytest.raises(NotOpened):
        await opened(world, container)
    with pytest.raises(UsageError, match="second person"):
        await use.approve(world.vault, leave.id, CAROL)
    await use.approve(world.vault, leave.id[:6], DAVE)
    assert await opened(world, container)
    with pytest.raises(NotOpened):
        await opened(world, container, DAVE)
    assert [subject.split(" may ")[0].split(" opens ")[0] for subject, _ in world.auditor.told] == [
        "Super user: carol",
        "Super user: carol",
    ]
    assert item.id in world.auditor.told[1][1][0]
    world.clock.at += 600
    with pytest.raises(NotOpened):
        await opened(world, container)
    mine = [(result, reason.partition(":")[0]) for op, result, reason in await events(world) if op == "super-user"]
    assert mine == [
        ("refused", "no-leave"),
        ("done", "asked for"),
        ("refused", "no-leave"),
        ("done", "approved"),
        ("permitted", ""),
        ("refused", "no-leave"),
        ("refused", "no-leave"),
    ]


async def test_nothing_opens_while_the_auditor_cannot_be_told(world: World, monkeypatch: pytest.MonkeyPatch):
    item = await world.seal()
    leave = await use.ask_for(world.vault, CAROL, "bob has left", 600.0)
    world.auditor.away = True
    with pytest.raises(StorageError):
        await use.approve(world.vault, leave.id, DAVE)
    world.auditor.away = False
    await use.approve(world.vault, leave.id, DAVE)
    world.auditor.away = True

    async def used(*_: object) -> bytes:
        raise AssertionError("the root key was used")

    monkeypatch.setattr(world.vault.keys, "unwrap", used)
    with pytest.raises(StorageError):
        await opened(world, world.containers[item.id])
    assert (await events(world))[-1] == ("super-user", "failed", "failed: the queue is full")


async def test_a_leave_that_was_ended_or_switched_off_opens_nothing(world: World):
    item = await world.seal()
    container = world.containers[item.id]
    leave = await use.ask_for(world.vault, CAROL, "bob has left", 600.0)
    await use.approve(world.vault, leave.id, DAVE)
    await opened(world, container)
    on = world.vault
    world.vault = replace(on, protection=replace(on.protection, super_user=False))
    with pytest.raises(NotOpened):
        await opened(world, container)
    with pytest.raises(UsageError, match="off"):
        await use.ask_for(world.vault, CAROL, "again", 600.0)
    world.vault = on
    await use.end(world.vault, leave.id, DAVE)
    with pytest.raises(NotOpened):
        await opened(world, container)


async def test_shredded_is_gone_for_the_super_user_too(world: World):
    from mta.vault.grants import shred
    from tests.support.vault import editor

    item = await world.seal()
    leave = await use.ask_for(world.vault, CAROL, "bob has left", 600.0)
    await use.approve(world.vault, leave.id, DAVE)
    await shred(world.vault, item, editor())
    with pytest.raises(NotOpened, match="shredded"):
        await opened(world, world.containers[item.id])
