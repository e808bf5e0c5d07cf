"""The log of every use of keys: its signed checkpoints, its tiles, receipts for single entries, and its proof."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from mta.errors import TlogError, UsageError
from mta.ports.vault_log import LogEntry
from mta.rfc.tlog.checkpoint import cosignatures, open_checkpoint
from mta.rfc.tlog.grow import Frontier, append
from mta.rfc.tlog.merkle import leaf_hash, prove_inclusion
from mta.rfc.tlog.note import read_note
from mta.rfc.tlog.proof import Receipt, write_receipt
from mta.vault.tree import log_key, reader, signed
from mta.vault.vault import Vault
from mta.vault.watched import Watched, watched
from mta.vault.witnesses import settle

_PAGE = 1000  # entries read at a time
_RECENT = 50  # checkpoints among which a receipt chooses


async def checkpoint(vault: Vault) -> str:
    """The signed checkpoint of the log as it stands; a new one is made and kept where the log has grown.

    A log that is shorter than what was signed, or than what a witness has seen, came from an old backup: nothing is
    signed, for two logs of one name would exist. Raises TlogError, LogRefused.
    """
    head = await vault.store.head()
    if head.checkpoint:
        last, _ = open_checkpoint(head.checkpoint.encode(), log_key(vault))
        if last.size == head.size and last.root == head.root:
            return head.checkpoint
        if last.size >= head.size:
            raise TlogError(f"a checkpoint of {last.size} entries was signed, and the log has {head.size}")
    await settle(vault)
    note = signed(vault, head.size, head.root)
    await vault.store.put_checkpoint(head.size, note)
    return note


async def receipt(vault: Vault, number: int) -> bytes:
    """A tlog-proof of an entry, with its salt and story as `extra`: who has it needs nobody to check it.

    Raises UsageError for an entry that there is not.
    """
    note = await _best_checkpoint(vault, number)
    size = open_checkpoint(note.encode(), log_key(vault))[0].size
    entries = await vault.store.entries(number, 1)
    if not 0 <= number < size or not entries:
        raise UsageError(f"the log has the entries 0 to {size - 1}, and no {number}")
    proof = await asyncio.to_thread(prove_inclusion, number, size, reader(vault, size))
    extra = entries[0].salt + entries[0].story
    return write_receipt(Receipt(number, tuple(proof), note.encode(), extra))


async def _best_checkpoint(vault: Vault, number: int) -> str:
    """Of the newest checkpoints with this entry the one that most witnesses have seen."""
    newest = await checkpoint(vault)
    keys = [witness.key for witness in vault.protection.witnesses]
    notes = await vault.store.checkpoints(number, _RECENT) if keys else []
    return max(notes, key=lambda note: len(cosignatures(read_note(note.encode()), keys)), default=newest)


@dataclass(frozen=True, slots=True)
class Proven:
    """What verifying the log came to: `faults` is empty where it holds."""

    size: int
    root: bytes
    redacted: int
    faults: tuple[str, ...]
    witnesses: tuple[Watched, ...] = ()


async def verify(vault: Vault) -> Proven:
    """Rebuild the tree from the entries, and hold it to root, tiles, checkpoint and what witnesses countersigned."""
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
    witnesses, contradictions = await watched(vault)
    return Proven(tree.size, tree.root(), redacted, (*faults, *contradictions), tuple(witnesses))


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
