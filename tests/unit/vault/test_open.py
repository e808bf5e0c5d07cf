"""Who opens what, in which order, and what the log tells of it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mta.errors import KeyAway, NotOpened, StorageError, TdfTampered
from mta.model.protected import KeyState, VaultEvent
from mta.model.rights import Right, expand
from mta.policy.reader import Refusal
from mta.ports.vault import Change
from mta.rfc.tdf.open import read_protected
from mta.rfc.tdf.policy import bind, read_policy, write_policy
from mta.vault.grants import extend, grant, hold, release, revoke, shred
from tests.support.vault import ALICE, BOB, EVE, LABEL, World, editor, vault_world


async def stories(world: World) -> list[dict[str, str]]:
    """The log, told."""
    return [json.loads(entry.story) for entry in await world.vault.store.entries(0, 1000)]


async def test_a_reader_and_the_owner_open_and_nobody_else(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal(b"the plan")
        assert await world.read(item, BOB) == b"the plan"
        assert await world.read(item, ALICE) == b"the plan"
        with pytest.raises(NotOpened) as refused:
            await world.key(item, EVE)
        assert refused.value.word == Refusal.NO_GRANT
        told = [(s["op"], s["result"], s.get("subject")) for s in await stories(world)][2:]
        assert told == [("open", "permitted", BOB), ("open", "permitted", ALICE), ("open", "refused", EVE)]


READERS = [
    ("@fabrikam.example", BOB, True),
    ("@fabrikam.example", EVE, False),
    ("internal", "carol@contoso.example", True),
    ("internal", BOB, False),
    (BOB, "Bob@fabrikam.example", False),  # the local part is compared exactly
]


@pytest.mark.parametrize(("grantee", "reader", "opens"), READERS)
async def test_domains_and_internal_are_readers(tmp_path: Path, grantee: str, reader: str, opens: bool):
    async with vault_world(tmp_path) as world:
        item = await world.seal(b"x", [grantee])
        if opens:
            assert await world.read(item, reader) == b"x"
        else:
            with pytest.raises(NotOpened):
                await world.key(item, reader)


async def test_a_right_that_was_not_granted_is_refused(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        label = replace(LABEL, rights=expand("do-not-forward"))
        item = await world.seal(label=label)
        assert Right.EXPORT not in (await world.key(item, BOB)).rights
        with pytest.raises(NotOpened) as refused:
            await world.key(item, BOB, Right.EXPORT)
        assert refused.value.word == Refusal.NO_RIGHT


async def test_a_policy_that_was_bound_anew_is_refused(tmp_path: Path):
    """An insider who has the content key widens the policy and binds it: the reference key server opens that."""
    async with vault_world(tmp_path) as world:
        item = await world.seal()
        content_key = (await world.key(item, BOB)).content_key
        protected = read_protected(io.BytesIO(world.containers[item.id]))
        told = read_policy(protected.manifest.policy)
        wider = write_policy(replace(told, readers=(*told.readers, EVE)))
        access = replace(protected.manifest.keys[0], binding=base64.b64decode(bind(content_key, wider)))
        with pytest.raises(NotOpened) as refused:
            await world.key(item, BOB, policy=wider)
        assert refused.value.word == Refusal.CHANGED_POLICY
        assert access.binding != protected.manifest.keys[0].binding


async def test_a_binding_of_another_key_is_tampering_and_told(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item, other = await world.seal(), await world.seal()
        mine = read_protected(io.BytesIO(world.containers[item.id])).manifest
        theirs = read_protected(io.BytesIO(world.containers[other.id])).manifest
        from mta.vault.open import OpenRequest, open_key
        from tests.support.vault import Actor, Operation

        crossed = replace(mine.keys[0], binding=theirs.keys[0].binding)
        request = OpenRequest(crossed, mine.policy, BOB, Right.VIEW, Operation.OPEN, Actor(BOB, "code"))
        with pytest.raises(TdfTampered):
            await open_key(world.vault, request)
        assert [s["result"] for s in await stories(world)][-2:] == ["permitted", "failed"]


async def test_revoking_one_reader_leaves_the_others(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal(b"x", [BOB, EVE])
        await revoke(world.vault, item, editor(), EVE)
        assert await world.read(item, BOB) == b"x"
        with pytest.raises(NotOpened) as refused:
            await world.key(item, EVE)
        assert refused.value.word == Refusal.REVOKED


def octets_of(folder: Path) -> bytes:
    """Every octet of every file of a vault."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".key")


async def test_what_was_shredded_is_in_no_file_of_the_vault(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal(b"x" * 100)
        covered = await world.vault.store.share(item)
        assert covered is not None
        share = world.vault.shares.uncover(covered)
        content_key = (await world.key(item, BOB)).content_key
        assert covered in octets_of(tmp_path)  # so that the search is known to find it
        await shred(world.vault, item, editor())
        left = octets_of(tmp_path)
        assert share is not None
        for secret in (covered, covered[16:], share, content_key):
            assert secret not in left
        with pytest.raises(NotOpened) as refused:
            await world.key(item, BOB)
        assert refused.value.word == Refusal.SHREDDED


async def test_an_old_backup_opens_nothing_when_its_epoch_is_gone(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item, kept = await world.seal(), await world.seal(b"kept")
        backup = await world.vault.store.share(item)
        await shred(world.vault, item, editor())
        epochs = world.vault.shares
        old = epochs.current()
        epochs.begin()
        await world.vault.store.renew_shares(epochs.renew)
        epochs.end(old)
        assert await world.read(kept, BOB) == b"kept"
        assert backup is not None
        assert epochs.uncover(backup) is None


async def test_expiry_of_item_and_grant(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal(label=replace(LABEL, expires=100.0), readers=[BOB, EVE])
        await extend(world.vault, item, world.clock.at + 50, editor(), EVE)
        world.clock.at += 60
        assert await world.read(item, BOB) == b"secret"
        with pytest.raises(NotOpened) as refused:
            await world.key(item, EVE)
        assert refused.value.word == Refusal.EXPIRED
        world.clock.at += 40
        with pytest.raises(NotOpened):
            await world.key(item, BOB)


async def test_what_is_held_does_not_open_and_is_not_shredded(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal()
        await hold(world.vault, item, editor("admin", administrator=True))
        held = await world.vault.store.item(item.id)
        assert held is not None
        with pytest.raises(NotOpened):
            await world.key(item, BOB)
        with pytest.raises(NotOpened):
            await shred(world.vault, held, editor())
        await release(world.vault, held, editor("admin", administrator=True))
        assert await world.read(item, BOB) == b"secret"


async def test_only_the_owner_widens(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        label = replace(LABEL, rights=expand(["VIEW", "EDITRIGHTSDATA"]))
        item = await world.seal(readers=[BOB, EVE], label=label)
        with pytest.raises(NotOpened):
            await grant(world.vault, item, BOB, expand(["OWNER"]), editor(BOB))
        with pytest.raises(NotOpened):
            await grant(world.vault, item, "new@tailspin.example", expand(["VIEW"]), editor(BOB))
        with pytest.raises(NotOpened):
            await shred(world.vault, item, editor(BOB))
        await grant(world.vault, item, EVE, expand(["VIEW"]), editor(BOB))  # less than before
        await grant(world.vault, item, "new@tailspin.example", expand(["VIEW"]), editor(ALICE))
        assert await world.read(item, "new@tailspin.example") == b"secret"


async def test_old_items_open_after_a_rotation_and_not_while_their_key_is_held(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        old = await world.seal(b"old")
        first = await world.vault.root_key("r1")
        assert first is not None
        await world.add_key("r2", 2, KeyState.ACTIVE)
        await world.vault.store.change(Change((event(world),), keys=(replace(first, state=KeyState.ARCHIVED),)))
        new = await world.seal(b"new")
        assert (old.key, new.key) == ("r1", "r2")
        assert (await world.read(old, BOB), await world.read(new, BOB)) == (b"old", b"new")
        await world.vault.store.change(Change((event(world),), keys=(replace(first, state=KeyState.HELD),)))
        with pytest.raises(NotOpened) as refused:
            await world.key(old, BOB)
        assert refused.value.word == Refusal.KEY_HELD
        assert await world.read(new, BOB) == b"new"


def event(world: World) -> VaultEvent:
    from mta.observe.vault_events import Operation, Result
    from tests.support.vault import actor

    return VaultEvent(world.clock.now(), Operation.KEY_ARCHIVE, actor(), Result.DONE)


async def test_sealing_needs_no_private_key_and_opening_waits_for_it(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        (tmp_path / "r1.key").rename(tmp_path / "away")
        item = await world.seal()
        with pytest.raises(KeyAway):
            await world.key(item, BOB)
        assert (await stories(world))[-1]["reason"].startswith("key-away")
        (tmp_path / "away").rename(tmp_path / "r1.key")
        assert await world.read(item, BOB) == b"secret"


async def test_a_key_file_that_others_can_read_opens_nothing(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal()
        (tmp_path / "r1.key").chmod(0o644)
        with pytest.raises(KeyAway, match="chmod 600"):
            await world.key(item, BOB)


async def test_nothing_opens_while_the_log_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with vault_world(tmp_path) as world:
        item = await world.seal()
        asked: list[str] = []

        async def record(*_: VaultEvent) -> int:
            raise StorageError("the disk is full")

        async def unwrap(*_: object) -> bytes | None:
            asked.append("token")
            return None

        monkeypatch.setattr(type(world.vault.store), "record", record)
        monkeypatch.setattr(type(world.vault.keys), "unwrap", unwrap)
        with pytest.raises(StorageError):
            await world.key(item, BOB)
        assert asked == []


async def test_every_open_stands_in_the_log_with_its_key_and_call(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        item = await world.seal()
        opened = await world.key(item, BOB)
        entry = (await world.vault.store.entries(opened.entry, 1))[0]
        story = json.loads(entry.story)
        assert hashlib.sha256(entry.salt + entry.story).digest() == entry.leaf
        assert (story["kid"], story["item"], story["subject"], story["seq"]) == ("r1", item.id, BOB, opened.entry)
        assert story["call"]
