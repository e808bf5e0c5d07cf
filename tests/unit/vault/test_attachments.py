"""Attachments are items of their own: sealed and logged one by one, open to whom their mail is open."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from mta.errors import NotOpened, UsageError
from mta.model.protected import ATTACHMENT, Item, ItemState
from mta.ports.mail_vault import Post
from mta.ports.vault import ItemFilter
from mta.vault.attachments import attachment_id, attachments
from mta.vault.expire import expire
from mta.vault.grants import extend, grant, hold, release, revoke, shred
from mta.vault.mail import SealedMail, protect_message
from tests.support.vault import ALICE, BOB, EVE, World, editor, vault_world

FILES = ("plan.txt", "a/b\u202e.pdf", "")


def message(names: tuple[str, ...] = FILES) -> bytes:
    parts = "".join(
        f"--m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename*=utf-8''{_quoted(name)}\r\n\r\n"
        f"file {number}\r\n"
        for number, name in enumerate(names)
    )
    head = "From: alice@contoso.example\r\nSubject: a 3/4 b\r\nMIME-Version: 1.0\r\n"
    return f'{head}Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\n\r\nHello.\r\n{parts}--m--\r\n'.encode()


def _quoted(name: str) -> str:
    return "".join(f"%{octet:02X}" for octet in name.encode())


async def protect(world: World, content: bytes, **changes: object) -> SealedMail:
    post = replace(Post("id-1", "confidential", ALICE, (BOB,), subject="a 3/4 b"), **changes)  # type: ignore[arg-type]
    return await protect_message(world.vault, post, lambda: io.BytesIO(content))


async def opened(world: World, item: Item, reader: str) -> bytes:
    with world.vault.containers.open(item.place) as file:
        world.containers[item.id] = file.read()
    return await world.read(item, reader)


async def test_each_is_an_item_with_a_log_of_its_own(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        store = world.vault.store
        mail = (await protect(world, message())).item
        found = await attachments(world.vault, mail)
        assert sorted(one.name for one in found) == ["b_.pdf", "file", "plan.txt"]
        assert all((one.kind, one.parent, one.owner) == (ATTACHMENT, mail.id, ALICE) for one in found)
        assert [item.id for item, _ in await store.find(ItemFilter())] == [mail.id]
        first = await store.item(attachment_id(mail.id, 0))
        assert first is not None
        assert await opened(world, first, BOB) == b"file 0"
        assert await opened(world, mail, BOB) == message()
        assert len(await store.entries_of(first.id, 10)) == 2  # sealed, opened
        assert dict(await store.find(ItemFilter(parent=mail.id)))[first] == 1


async def test_who_may_read_the_mail_may_read_them_and_nobody_else(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        mail = (await protect(world, message(), hidden=())).item
        first = await world.vault.store.item(attachment_id(mail.id, 0))
        assert first is not None
        with pytest.raises(NotOpened, match="no grant"):
            await opened(world, first, EVE)
        await grant(world.vault, mail, EVE, frozenset(world.vault.protection.labels["confidential"].rights), editor())
        assert await opened(world, first, EVE) == b"file 0"
        await revoke(world.vault, mail, editor(), BOB)
        with pytest.raises(NotOpened) as refused:
            await opened(world, first, BOB)
        assert refused.value.word == "revoked"
        for change in (
            grant(world.vault, first, EVE, frozenset(), editor()),
            revoke(world.vault, first, editor(), EVE),
            extend(world.vault, first, 1.0, editor(), EVE),
        ):
            with pytest.raises(UsageError, match=mail.id):
                await change


async def test_hold_shred_and_end_of_the_mail_are_theirs(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        store, mail = world.vault.store, (await protect(world, message())).item
        id = attachment_id(mail.id, 1)

        async def state() -> ItemState:
            found = await store.item(id)
            assert found is not None
            return found.state

        async def now() -> Item:
            found = await store.item(mail.id)
            assert found is not None
            return found

        await hold(world.vault, mail, editor(administrator=True))
        assert await state() == ItemState.HELD
        await release(world.vault, await now(), editor(administrator=True))
        assert await state() == ItemState.LIVE
        alone = await store.item(attachment_id(mail.id, 2))
        assert alone is not None
        await shred(world.vault, alone, editor())
        assert await opened(world, mail, BOB) == message()  # the mail itself still opens
        await shred(world.vault, await now(), editor())
        assert await state() == ItemState.SHREDDED
        for item in (mail, *await attachments(world.vault, mail)):
            assert await store.share(item) is None


async def test_they_expire_with_the_mail(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        store, mail = world.vault.store, (await protect(world, message())).item
        await extend(world.vault, mail, world.clock.now() + 10, editor())
        world.clock.at += 11
        assert await expire(world.vault) == 1 + len(FILES)
        found = await store.item(attachment_id(mail.id, 0))
        assert found is not None
        assert found.state == ItemState.EXPIRED
        assert await store.share(found) is None


@pytest.mark.parametrize("subject", ["a 3/4 b", "x" * 400, "tab\there", "..", "\u202e", "\U0001f600" * 100])
async def test_any_subject_can_be_sealed(tmp_path: Path, subject: str):
    async with vault_world(tmp_path) as world:
        mail = (await protect(world, message(()), subject=subject)).item
        assert mail.name == subject
        assert await opened(world, mail, BOB) == message(())
