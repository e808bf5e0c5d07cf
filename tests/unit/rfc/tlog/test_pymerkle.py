"""The log's tree and its receipts, judged by an implementation that is not ours (pymerkle)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymerkle import InclusionProof, InmemoryTree
from pymerkle.proof import InvalidProof

from mta.rfc.tlog.checkpoint import open_checkpoint
from mta.rfc.tlog.merkle import leaf_hash
from mta.rfc.tlog.proof import read_receipt
from mta.vault.log import checkpoint, receipt
from mta.vault.tree import log_key
from tests.support.vault import BOB, World, vault_world


async def grown(world: World, size: int) -> InmemoryTree:
    """A log of this size, and theirs of the same entries."""
    item = await world.seal()  # the root key and the item are two entries
    while (await world.vault.store.head()).size < size:
        await world.key(item, BOB)
    theirs = InmemoryTree(algorithm="sha256")
    for entry in await world.vault.store.entries(0, size):
        theirs.append_entry(entry.leaf)
    return theirs


@pytest.mark.parametrize("size", [2, 3, 7, 8, 9, 40])
async def test_each_receipt_holds_for_them(tmp_path: Path, size: int):
    async with vault_world(tmp_path) as world:
        theirs = await grown(world, size)
        signed, _ = open_checkpoint((await checkpoint(world.vault)).encode(), log_key(world.vault))
        assert signed.size == size
        assert theirs.get_root(size) == signed.root
        for index, entry in enumerate(await world.vault.store.entries(0, size)):
            ours, leaf = read_receipt(await receipt(world.vault, index)), leaf_hash(entry.leaf)
            shape = theirs.prove_inclusion(index + 1, size)
            path = [leaf, *ours.proof]
            judged = InclusionProof("sha256", True, size, index + 1, shape.rule, path)
            judged.verify(leaf, signed.root)
            forged = [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]]
            with pytest.raises(InvalidProof):
                InclusionProof("sha256", True, size, index + 1, shape.rule, forged).verify(leaf, signed.root)


async def test_each_root_on_the_way_is_theirs(tmp_path: Path):
    async with vault_world(tmp_path) as world:
        theirs = await grown(world, 40)
        seen = {}
        item = await world.seal()
        while (size := (await world.vault.store.head()).size) < 70:
            seen[size] = (await world.vault.store.head()).root
            await world.key(item, BOB)
        for entry in (await world.vault.store.entries(0, 70))[40:]:
            theirs.append_entry(entry.leaf)
        assert seen
        assert {size: theirs.get_root(size) for size in seen} == seen
