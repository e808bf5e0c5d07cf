"""Fetches of links: by scanners, mostly. They open nothing; the log tells them from readers."""

from __future__ import annotations

from mta.model.protected import Actor, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.vault.mail import token_hash
from mta.vault.vault import Vault

NOBODY = "nobody"  # who fetches a link has proved nothing


async def note_visit(vault: Vault, link: str, actor: Actor) -> None:
    """Write down that a link was fetched, if it is one. Raises StorageError."""
    found = await vault.store.link(token_hash(link))
    if found is not None:
        now = vault.clock.now()
        await vault.store.record(
            VaultEvent(now, Operation.VISIT, actor, Result.DONE, item=found.item, grant=found.grant)
        )
