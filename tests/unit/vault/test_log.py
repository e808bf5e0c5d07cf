"""The log is whole, or says what is not; receipts hold without us."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import apsw
import pytest

from mta.errors import StorageError, TlogError
from mta.model.protected import VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.rfc.tlog.checkpoint import open_checkpoint
from mta.rfc.tlog.event import SALT
from mta.rfc.tlog.merkle import verify_consistency
from mta.rfc.tlog.proof import read_receipt, verify_receipt
from mta.vault import log
from mta.vault.tree import consistency, log_key
from tests.support.vault import BOB, World, actor, vault_world


async def fill(world: World, opens: int) -> None:
    item = await world.seal()
    for _ in range(opens):
        await world.key(item, BOB)


async def test_a_whole_log_is_good_and_its_checkpoint_signed(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        await fill(world, 3)
        note = await log.checkpoint(world.vault)
        signed, _ = open_checkpoint(note.encode(), log_key(world.vault))
        assert (signed.size, signed.origin) == (5, "portal.contoso.example/log")
        assert await log.checkpoint(world.vault) == note  # it has not grown
        await fill(world, 1)
        assert (await log.verify(world.vault)).faults == ()


TAMPERINGS = [
    ("UPDATE event SET story = x'7b7d' WHERE number = 2", "does not tell"),
    ("DELETE FROM event WHERE number = 3", "is missing"),
    ("UPDATE event SET leaf = zeroblob(32), story = x'', salt = x'' WHERE number = 2", "others in the tiles"),
    ("UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND n = 1", "others in the tiles"),
    ("UPDATE log SET frontier = zeroblob(length(frontier))", "root is not that"),
]


@pytest.mark.parametrize(("sql", "fault"), TAMPERINGS, ids=[fault for _, fault in TAMPERINGS])
async def test_what_was_changed_behind_our_back_is_told(tmp_path: Path, sql: str, fault: str):
    async with vault_world(tmp_path) as world:
        await fill(world, 3)
        await log.checkpoint(world.vault)
    db = apsw.Connection(str(tmp_path / "vault.db"))
    db.execute(sql)
    assert db.changes() == 1
    db.close()
    async with vault_world(tmp_path) as world:
        assert any(fault in told for told in (await log.verify(world.vault)).faults)


async def test_a_log_from_an_old_backup_signs_nothing(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        await fill(world, 3)
        await log.checkpoint(world.vault)
    db = apsw.Connection(str(tmp_path / "vault.db"))
    db.execute("INSERT INTO checkpoint SELECT size + 10, note FROM checkpoint")  # of a later day
    db.close()
    async with vault_world(tmp_path) as world:
        await fill(world, 1)
        with pytest.raises((TlogError, StorageError)):
            await log.checkpoint(world.vault)


@pytest.mark.parametrize("number", [0, 1, 255, 256, 300])
async def test_a_receipt_holds_for_who_has_the_logs_key_alone(tmp_path: Path, number: int):
    async with vault_world(tmp_path) as world:
        await fill(world, 0)
        await world.vault.store.record(*[_event(world)] * 320)
        receipt = read_receipt(await log.receipt(world.vault, number))
        salt, story = receipt.extra[:SALT], receipt.extra[SALT:]
        entry = hashlib.sha256(salt + story).digest()
        proven = verify_receipt(receipt, entry, log_key(world.vault))
        assert (proven.checkpoint.size, json.loads(story)["seq"]) == (322, number)
        with pytest.raises(TlogError):
            verify_receipt(receipt, hashlib.sha256(salt + story + b" ").digest(), log_key(world.vault))


def _event(world: World) -> VaultEvent:
    return VaultEvent(world.clock.now(), Operation.CONFIGURATION, actor(), Result.DONE)


async def test_a_later_log_is_proven_to_continue_an_earlier_one(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        await world.vault.store.record(*[_event(world)] * 100)
        before = await world.vault.store.head()
        await world.vault.store.record(*[_event(world)] * 300)
        after = await world.vault.store.head()
        proof = await consistency(world.vault, before.size, after.size)
        verify_consistency(before.size, before.root, after.size, after.root, proof)
        with pytest.raises(TlogError):
            verify_consistency(before.size, after.root, after.size, after.root, proof)
