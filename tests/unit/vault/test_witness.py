"""We countersign what a partner's log grew into, once, and no second history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mta.rfc.tlog.checkpoint import Checkpoint, cosigned_at, open_checkpoint
from mta.rfc.tlog.grow import Frontier, append
from mta.rfc.tlog.merkle import leaf_hash
from mta.rfc.tlog.note import Note, read_note, read_signatures, sign_note
from mta.rfc.tlog.witness import AddCheckpoint, Verdict, write_request
from mta.vault.log import checkpoint
from mta.vault.tree import log_key
from mta.vault.witness import answer, witness_key
from tests.support.vault import BOB, World, vault_world


@pytest.fixture
async def worlds(tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """We, and a partner whose log we know."""
    async with vault_world(tmp_path / "we") as we, vault_world(tmp_path / "partner") as partner:
        partner.vault = replace(partner.vault, url="https://portal.fabrikam.example/kas")
        protection = replace(we.vault.protection, witnessed_logs=(log_key(partner.vault),))
        we.vault = replace(we.vault, protection=protection)
        yield we, partner


def signed(world: World, leaves: int, salt: bytes = b"") -> tuple[str, Frontier]:
    """A checkpoint of a log with so many leaves."""
    tree, _ = append(Frontier(), [leaf_hash(b"%d" % n + salt) for n in range(leaves)])
    key = log_key(world.vault)
    text = Checkpoint(key.name, tree.size, tree.root()).text()
    return str(Note(text, (sign_note(text, key, world.vault.signing.log.sign),))), tree


async def add(we: World, old: int, note: str, proof: tuple[bytes, ...] = ()) -> Verdict:
    return await answer(we.vault, write_request(AddCheckpoint(old, proof, note.encode())))


async def test_a_first_checkpoint_is_cosigned_and_remembered(worlds: tuple[World, World]):
    we, partner = worlds
    await partner.key(await partner.seal(), BOB)
    note = await checkpoint(partner.vault)
    verdict = await add(we, 0, note)
    assert verdict.status == 200
    [signature] = read_signatures(verdict.body)
    assert cosigned_at(read_note(note.encode()).text, signature, witness_key(we.vault)) == int(we.clock.at)
    seen, _ = open_checkpoint(note.encode(), log_key(partner.vault))
    known = (await we.vault.store.witnessed())[seen.origin]
    assert known == (seen.size, seen.root)
    again = await add(we, 0, note)
    assert (again.status, again.body) == (409, f"{seen.size}\n")
    assert (await add(we, seen.size, note)).status == 200


async def test_another_history_gets_nothing_and_changes_nothing(worlds: tuple[World, World]):
    we, partner = worlds
    first, tree = signed(partner, 1)
    assert (await add(we, 0, first)).status == 200
    other, _ = signed(partner, 2, b"x")
    forged = await add(we, 1, other, (leaf_hash(b"1x"),))
    assert (forged.status, forged.body) == (422, "")
    same_size, _ = signed(partner, 1, b"x")
    assert (await add(we, 1, same_size)).status == 409
    assert [root for _, root in (await we.vault.store.witnessed()).values()] == [tree.root()]
    good, _ = signed(partner, 2)
    assert (await add(we, 1, good, (leaf_hash(b"1"),))).status == 200


async def test_of_two_at_once_one_goes_on(worlds: tuple[World, World]):
    we, partner = worlds
    one, _ = signed(partner, 1)
    two, _ = signed(partner, 1, b"x")
    verdicts = await asyncio.gather(add(we, 0, one), add(we, 0, two))
    assert sorted(verdict.status for verdict in verdicts) == [200, 409]


async def test_logs_that_nobody_named_and_what_is_no_request(worlds: tuple[World, World]):
    we, partner = worlds
    assert (await answer(we.vault, b"hello")).status == 400
    own = await checkpoint(we.vault)
    assert (await add(we, 0, own)).status == 404
    note, _ = signed(partner, 1)
    broken = note[:-8] + "AAAAAA=\n"
    assert (await add(we, 0, broken)).status in (400, 403)
    assert await we.vault.store.witnessed() == {}


async def test_the_key_for_cosignatures_is_no_other_and_stays(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        key = witness_key(world.vault)
        assert key.key != log_key(world.vault).key
    async with vault_world(tmp_path) as world:
        assert witness_key(world.vault) == key
