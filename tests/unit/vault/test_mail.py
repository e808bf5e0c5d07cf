"""A mail in the vault: one item for a message, a grant and a link for each reader, whatever comes twice."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest

from mta.errors import MtaError, StorageError, StorageFull
from mta.model.rights import Right
from mta.ports.mail_vault import Post
from mta.ports.vault import ItemFilter
from mta.vault.grants import grant, revoke
from mta.vault.mail import SealedMail, protect_message, reference, token_hash
from tests.support.vault import ALICE, BOB, EVE, World, editor, vault_world

CONTENT = b"From: alice@contoso.example\r\n\r\nthe plan\r\n"
POST = Post("id-1", "confidential", ALICE, (BOB,), subject="Plans", size=len(CONTENT))


async def protect(world: World, **changes: object) -> SealedMail:
    post = replace(POST, **changes)  # type: ignore[arg-type]
    return await protect_message(world.vault, post, lambda: io.BytesIO(CONTENT))


async def read(world: World, sealed: SealedMail, reader: str) -> bytes:
    with world.vault.containers.open(sealed.item.place) as file:
        world.containers[sealed.item.id] = file.read()
    return await world.read(sealed.item, reader)


async def test_reader_owner_and_blind_copy_open_it_by_links_of_their_own(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        sealed = await protect(world, hidden=(EVE,))
        for reader in (ALICE, BOB, EVE):
            assert await read(world, sealed, reader) == CONTENT
        assert sorted(sealed.links) == sorted([BOB, EVE])
        grants = {one.reader: one for one in await world.vault.store.grants(sealed.item.id)}
        assert grants[EVE].hidden
        assert not grants[BOB].hidden
        for reader, link in sealed.links.items():
            assert len(link) == 26
            found = await world.vault.store.link(token_hash(link))
            assert found is not None
            assert (found.grant, found.item) == (grants[reader].id, sealed.item.id)
        assert await world.vault.store.link(token_hash("a" * 26)) is None
        files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert not any(link.encode() in files for link in sealed.links.values())
        assert b"the plan" not in files
        assert (sealed.item.kind, sealed.item.name, sealed.item.owner) == ("mail", "Plans", ALICE)
        assert Right.FORWARD in grants[BOB].rights


async def test_again_makes_no_second_item_and_a_new_link(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        first = await protect(world)
        again = await protect(world)
        assert again.item.id == first.item.id
        assert again.links != first.links
        assert len(await world.vault.store.find(ItemFilter())) == 1
        assert len(await world.vault.store.grants(first.item.id)) == 2
        assert len(list((tmp_path / "items").iterdir())) == 1
        assert await world.vault.store.link(token_hash(first.links[BOB]))  # a notice that is on its way already


async def test_at_once_and_for_others_it_is_one_item(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        made = await asyncio.gather(*(protect(world, readers=(reader,)) for reader in (BOB, EVE, BOB)))
        assert len({one.item.id for one in made}) == 1
        assert len(list((tmp_path / "items").iterdir())) == 1
        grants = await world.vault.store.grants(made[0].item.id)
        assert sorted(one.reader for one in grants) == sorted([ALICE, BOB, EVE])


async def test_another_label_or_message_is_another_item(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        assert (await protect(world)).item.id != (await protect(world, message_id="id-2")).item.id
        with pytest.raises(MtaError):
            await protect(world, label="gone")


async def test_who_was_revoked_gets_no_link(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        sealed = await protect(world)
        await grant(world.vault, sealed.item, BOB, frozenset({Right.VIEW}), editor())  # its links stay
        await revoke(world.vault, sealed.item, editor(), BOB)
        assert (await protect(world)).links == {}


async def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with vault_world(tmp_path) as world:

        def full(_: object) -> None:
            raise StorageFull("the vault is full")

        monkeypatch.setattr(world.vault.containers, "keep", full)
        with pytest.raises(StorageError):
            await protect(world)
        assert await world.vault.store.find(ItemFilter()) == []
        assert list((tmp_path / "items").iterdir()) == []


async def test_the_owner_is_no_reader_twice(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        sealed = await protect(world, readers=(ALICE, BOB))
        assert len(await world.vault.store.grants(sealed.item.id)) == 2
        assert sorted(sealed.links) == sorted([ALICE, BOB])


def test_a_reference_is_four_letters():
    assert len(reference("x")) == 4
    assert reference("x").isalpha()
