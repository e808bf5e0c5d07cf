"""The keys that cover the vault's shares are renewed every month, so that an old backup opens what is live, or nothing.

A share that was destroyed may stand in a backup of shares.db. It opens there as long as the key of its epoch lives,
which is `protection.backup_window` longer than the epoch itself.
"""

from __future__ import annotations

from dataclasses import replace

from mta.model.protected import Actor, Epoch, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.vault import Change
from mta.vault.vault import Vault

LIFE = 30 * 86_400.0  # seconds in which one key covers
SYSTEM = Actor("mta", "system")


async def keep_epochs(vault: Vault) -> None:
    """Begin, complete and end what is due. A crash anywhere in it is made up for by the next turn."""
    known = {one.number: one for one in await vault.store.epochs()}
    now, number = vault.clock.now(), vault.shares.current()
    if number not in known:  # the first one, or one whose beginning a crash kept from the log
        known[number] = await _keep(vault, Epoch(number, now), "begun")
    if now - known[number].begun >= LIFE:
        number = vault.shares.begin()
        known[number] = await _keep(vault, Epoch(number, now), "begun")
    for old in sorted(set(vault.shares.numbers()) - {number}):
        await _retire(vault, known.get(old, Epoch(old, now)))


async def _retire(vault: Vault, epoch: Epoch) -> None:
    """Bring what it covers under the running key; when no backup needs it any more, destroy it."""
    if not epoch.replaced:
        await vault.store.renew_shares(vault.shares.renew)
        await _keep(vault, replace(epoch, replaced=vault.clock.now()), "replaced")
    elif vault.clock.now() - epoch.replaced >= vault.protection.backup_window:
        # Once more: a share may have been covered just before the new key began, and been written after it.
        await vault.store.renew_shares(vault.shares.renew)
        vault.shares.end(epoch.number)
        await _keep(vault, replace(epoch, ended=vault.clock.now()), "destroyed")


async def _keep(vault: Vault, epoch: Epoch, what: str) -> Epoch:
    event = VaultEvent(
        vault.clock.now(), Operation.EPOCH, SYSTEM, Result.DONE, what, detail={"epoch": str(epoch.number)}
    )
    await vault.store.change(Change((event,), epochs=(epoch,)))
    return epoch
