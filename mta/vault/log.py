"""The log of every use of keys: its signed checkpoints, its tiles, receipts for single entries, and its proof."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.errors import TlogError, UsageError
from mta.ports.vault import LogEntry
from mta.rfc.tlog.checkpoint import Checkpoint, open_checkpoint
from mta.rfc.tlog.grow import Frontier, append
from mta.rfc.tlog.merkle import Node, leaf_hash, prove_consistency, prove_inclusion
from mta.rfc.tlog.note import Note, VerifierKey, sign_note
from mta.rfc.tlog.proof import Receipt, write_receipt
from mta.rfc.tlog.tiles import WIDTH, Tile, nodes
from mta.vault.vault import Vault

_PAGE = 1000  # entries read at a time


def log_key(vault: Vault) -> VerifierKey:
    """The key by which the log's checkpoints are believed; its name is the log's origin."""
    public = vault.signing.log.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return VerifierKey(origin(vault), public)


def origin(vault: Vault) -> str:
    """The log's name: where it is served, without a scheme (C2SP tlog-checkpoint)."""
    return vault.url.partition("://")[2].removesuffix("/kas") + "/log"


async def checkpoint(vault: Vault) -> str:
    """The signed checkpoint of the log as it stands; a new one is made and kept where the log has grown.

    A log that is shorter than what was signed came from an old backup: nothing is signed, for two logs of one name
    would exist. Raises TlogError.
    """
    head = await vault.store.head()
    if head.checkpoint:
        signed, _ = open_checkpoint(head.checkpoint.encode(), log_key(vault))
        if signed.size == head.size and signed.root == head.root:
            return head.checkpoint
        if signed.size >= head.size:
            raise TlogError(f"a checkpoint of {signed.size} entries was signed, and the log has {head.size}")
    text = Checkpoint(origin(vault), head.size, head.root).text()
    note = str(Note(text, (sign_note(text, log_key(vault), vault.signing.log.sign),)))
    await vault.store.put_checkpoint(head.size, note)
    return note


async def tile_of(vault: Vault, tile: Tile) -> bytes:
    """The hashes of a tile."""
    return b"".join(await vault.store.hashes(tile.level, tile.index * WIDTH, tile.width))


async def receipt(vault: Vault, number: int) -> bytes:
    """A tlog-proof of an entry, with its salt and story as `extra`: who has it needs nobody to check it.

    Raises UsageError for an entry that there is not.
    """
    note = await checkpoint(vault)
    size = open_checkpoint(note.encode(), log_key(vault))[0].size
    entries = await vault.store.entries(number, 1)
    if not 0 <= number < size or not entries:
        raise UsageError(f"the log has the entries 0 to {size - 1}, and no {number}")
    proof = await asyncio.to_thread(prove_inclusion, number, size, _reader(vault, size))
    extra = entries[0].salt + entries[0].story
    return write_receipt(Receipt(number, tuple(proof), note.encode(), extra))


async def consistency(vault: Vault, old: int, size: int) -> list[bytes]:
    """That the log of `size` only adds to that of `old`."""
    return await asyncio.to_thread(prove_consistency, old, size, _reader(vault, size))


def _reader(vault: Vault, size: int) -> Node:
    """Nodes of the tree out of tiles, for a thread: the tree's own walk is no coroutine, the store is the loop's."""
    loop = asyncio.get_running_loop()

    def read(tile: Tile) -> bytes:
        return asyncio.run_coroutine_threadsafe(tile_of(vault, tile), loop).result()

    return nodes(size, read)


@dataclass(frozen=True, slots=True)
class Proven:
    """What verifying the log came to: `faults` is empty where it holds."""

    size: int
    root: bytes
    redacted: int
    faults: tuple[str, ...]


async def verify(vault: Vault) -> Proven:
    """Rebuild the tree from the entries, and hold it to root, tiles and checkpoint."""
    head = await vault.store.head()
    tree, redacted, faults = Frontier(), 0, list[str]()
    signed = open_checkpoint(head.checkpoint.encode(), log_key(vault))[0] if head.checkpoint else None
    at_signed = b""
    async for page in _pages(vault, head.size):
        for entry in page:
            fault = _fault(entry, tree.size)
            redacted += not entry.story
            faults += [fault] if fault else []
            tree, _ = append(tree, [leaf_hash(entry.leaf)])
            if signed and tree.size == signed.size:
                at_signed = tree.root()
        if await _tiles_differ(vault, page):
            faults.append(f"the hashes of the entries {page[0].number} to {page[-1].number} are others in the tiles")
    if tree.size != head.size or tree.root() != head.root:
        faults.append(f"the entries make a tree of {tree.size} whose root is not that of the log of {head.size}")
    if signed and signed.size and at_signed != signed.root:
        faults.append(f"the signed checkpoint of {signed.size} entries is of another log")
    return Proven(tree.size, tree.root(), redacted, tuple(faults))


async def _pages(vault: Vault, size: int) -> AsyncIterator[list[LogEntry]]:
    start = 0
    while start < size:
        page = await vault.store.entries(start, min(_PAGE, size - start))
        if not page:
            return
        yield page
        start = page[-1].number + 1


def _fault(entry: LogEntry, number: int) -> str:
    if entry.number != number:
        return f"entry {number} is missing: {entry.number} follows"
    if entry.story and hashlib.sha256(entry.salt + entry.story).digest() != entry.leaf:
        return f"entry {number} does not tell what was logged"
    return ""


async def _tiles_differ(vault: Vault, page: list[LogEntry]) -> bool:
    found = await vault.store.hashes(0, page[0].number, len(page))
    return found != [leaf_hash(entry.leaf) for entry in page]
