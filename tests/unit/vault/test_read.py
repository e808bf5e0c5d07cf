"""A proven reader reads: every page judged anew and written down before a key is used."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mta.errors import NotOpened, StorageError
from mta.model.protected import Actor
from mta.model.rights import Right, expand
from mta.observe.vault_events import Operation
from mta.ports.mail_vault import Post
from mta.vault.grants import grant, revoke
from mta.vault.history import history
from mta.vault.mail import protect_message
from mta.vault.read import KEPT, Readings, Wish
from mta.vault.sessions import Proven
from tests.support.vault import ALICE, BOB, EVE, LABEL, World, editor, vault_world

TEXT = b"Subject: s\r\n\r\nsecret\r\n"


class Reader:
    """Bob, who has proved it, in a session."""

    def __init__(self, world: World, item: str, grant: str, reader: str = BOB) -> None:
        self.world, self.readings = world, Readings(world.vault)
        self.who = Proven(item, grant, reader)

    def wish(self, operation: Operation, wants: Right = Right.VIEW, session: str = "s") -> Wish:
        return Wish(self.who, session, operation, wants, Actor(self.who.reader, "code"))

    async def read(self, operation: Operation = Operation.READ, wants: Right = Right.VIEW, session: str = "s") -> bytes:
        return (await self.readings.read(self.wish(operation, wants, session))).data

    async def told(self) -> list[tuple[str, str, str]]:
        events = await history(self.world.vault, self.who.item)
        return [(e["op"], e["result"], e.get("cache", "")) for e in events if e["op"] not in ("protect", "revoke")]


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[Reader]:
    async with vault_world(tmp_path) as world:
        post = Post("m", LABEL.id, ALICE, (BOB,), (EVE,), "s")
        sealed = await protect_message(world.vault, post, lambda: io.BytesIO(TEXT))
        mine = next(one for one in await world.vault.store.grants(sealed.item.id) if one.reader == BOB)
        yield Reader(world, sealed.item.id, mine.id)


async def test_a_key_is_used_once_for_a_session_and_what_it_serves_says_so(bob: Reader):
    assert await bob.read(Operation.OPEN) == TEXT
    assert await bob.read() == TEXT
    assert await bob.read(session="other") == TEXT
    assert await bob.told() == [("open", "permitted", ""), ("read", "permitted", "yes"), ("read", "permitted", "")]


async def test_a_key_is_let_go(bob: Reader, monkeypatch: pytest.MonkeyPatch):
    assert KEPT <= 300
    monkeypatch.setattr("mta.vault.read.KEPT", 0.0)
    await bob.read(Operation.OPEN)
    import asyncio

    await asyncio.sleep(0.01)
    assert not bob.readings._keys
    monkeypatch.setattr("mta.vault.read.KEPT", 60.0)
    await bob.read(Operation.OPEN)
    bob.readings.forget("other")
    assert bob.readings._keys
    bob.readings.forget("s")
    assert not bob.readings._keys


async def test_revoked_in_the_middle(bob: Reader):
    await bob.read(Operation.OPEN)
    item = await bob.world.vault.store.item(bob.who.item)
    assert item
    await revoke(bob.world.vault, item, editor(), BOB)
    with pytest.raises(NotOpened) as refused:
        await bob.read()
    assert refused.value.word == "revoked"
    assert (await bob.told())[-1] == ("read", "refused", "")


async def test_a_narrower_right_holds_for_a_key_at_hand(bob: Reader):
    await bob.read(Operation.DOWNLOAD, Right.EXPORT)
    item = await bob.world.vault.store.item(bob.who.item)
    assert item
    await grant(bob.world.vault, item, BOB, expand("viewer"), editor())
    assert await bob.read() == TEXT
    with pytest.raises(NotOpened) as refused:
        await bob.read(Operation.DOWNLOAD, Right.EXPORT)
    assert refused.value.word == "no-right"


async def test_nothing_is_read_when_the_log_cannot_be_written(bob: Reader, monkeypatch: pytest.MonkeyPatch):
    await bob.read(Operation.OPEN)

    async def fail(*events: Any) -> int:
        raise StorageError("full")

    monkeypatch.setattr(type(bob.world.vault.store), "record", lambda self, *events: fail(*events))
    for operation in (Operation.READ, Operation.OPEN, Operation.DOWNLOAD):
        with pytest.raises(StorageError):
            await bob.read(operation)
    with pytest.raises(StorageError):
        await bob.readings.tell(bob.wish(Operation.REPLY))


async def test_blind_copies_are_seen_by_nobody_else(bob: Reader):
    standing = await bob.readings.standing(bob.who)
    assert standing.others == ()
    eve = await bob.readings.standing(replace(bob.who, reader=EVE))
    assert eve.others == (BOB,)


async def test_the_own_log_holds_ones_own(bob: Reader):
    await bob.read(Operation.OPEN)
    bob.who = replace(bob.who, reader=EVE)
    await bob.read(Operation.OPEN)
    mine = await bob.readings.own_log(bob.who)
    assert {event["subject"] for event in mine} == {EVE}
    assert (await bob.readings.own_receipt(bob.who, mine[0]["seq"])).startswith(b"c2sp.org/tlog-proof@v1")
    with pytest.raises(NotOpened):
        await bob.readings.own_receipt(bob.who, mine[0]["seq"] - 1)
