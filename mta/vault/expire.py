"""What time does to items: those that are over lose the vault's share; what a crash left over is finished."""

from __future__ import annotations

import asyncio

from mta.model.protected import SHRED, Actor, Item, ItemState, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.vault import Change
from mta.vault.vault import Vault

BATCH = 500
_ORPHAN_AFTER = 3600.0  # seconds: a share this old whose item never came was left by a crash

SYSTEM = Actor("mta", "system")


async def expire(vault: Vault) -> int:
    """Expire what is due, a batch at a time; how many items it were."""
    count, now = 0, vault.clock.now()
    oldest = now - vault.protection.retention if vault.protection.retention else 0.0
    while due := await vault.store.due(now, BATCH, sealed_before=oldest):
        await vault.store.change(_expired(vault, due))
        count += len(due)
    return count


def _expired(vault: Vault, due: list[Item]) -> Change:
    now = vault.clock.now()
    events = tuple(
        VaultEvent(now, Operation.EXPIRE, SYSTEM, Result.DONE, item.revocation, item.id, key=item.key) for item in due
    )
    ended = tuple((item.id, ItemState.EXPIRED) for item in due)
    return Change(events, items=ended, shares_of=tuple(item.id for item in due if item.revocation == SHRED))


async def sweep_containers(vault: Vault) -> int:
    """Remove containers that nobody can open any more, and those that a crash left without an item; how many.

    Looked at first, asked for afterwards: what is sealed meanwhile is not among them.
    """
    before = vault.clock.now() - _ORPHAN_AFTER
    lying = await asyncio.to_thread(lambda: [place for place, at in vault.containers.places() if at < before])
    needed = await vault.store.places() if lying else frozenset()
    gone = [place for place in lying if place not in needed]
    for place in gone:
        await asyncio.to_thread(vault.containers.remove, place)
    return len(gone)


async def sweep(vault: Vault) -> int:
    """Destroy the shares that a crash left over: of items that are at their end, and of items that never came."""
    return await vault.store.sweep(vault.clock.now() - _ORPHAN_AFTER)
