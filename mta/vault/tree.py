"""The log as a tree: whose it is, its tiles, what it signs, and that a later one continues an earlier one."""

from __future__ import annotations

import asyncio

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.rfc.tlog.checkpoint import Checkpoint
from mta.rfc.tlog.merkle import Node, prove_consistency
from mta.rfc.tlog.note import Note, VerifierKey, sign_note
from mta.rfc.tlog.tiles import WIDTH, Tile, nodes
from mta.vault.vault import Vault


def log_key(vault: Vault) -> VerifierKey:
    """The key by which the log's checkpoints are believed; its name is the log's origin."""
    public = vault.signing.log.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return VerifierKey(origin(vault), public)


def origin(vault: Vault) -> str:
    """The log's name: where it is served, without a scheme (C2SP tlog-checkpoint)."""
    return vault.url.partition("://")[2].removesuffix("/kas") + "/log"


def signed(vault: Vault, size: int, root: bytes) -> str:
    """A checkpoint under our signature. Only a tree that continues everything that was signed before may get here."""
    text = Checkpoint(origin(vault), size, root).text()
    return str(Note(text, (sign_note(text, log_key(vault), vault.signing.log.sign),)))


async def tile_of(vault: Vault, tile: Tile) -> bytes:
    """The hashes of a tile."""
    return b"".join(await vault.store.hashes(tile.level, tile.index * WIDTH, tile.width))


async def consistency(vault: Vault, old: int, size: int) -> list[bytes]:
    """That the log of `size` only adds to that of `old`."""
    return await asyncio.to_thread(prove_consistency, old, size, reader(vault, size))


def reader(vault: Vault, size: int) -> Node:
    """Nodes of the tree out of tiles, for a thread: the tree's own walk is no coroutine, the store is the loop's."""
    loop = asyncio.get_running_loop()

    def read(tile: Tile) -> bytes:
        return asyncio.run_coroutine_threadsafe(tile_of(vault, tile), loop).result()

    return nodes(size, read)
