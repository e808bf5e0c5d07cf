"""The vault of a configuration: its store, its shares, where its root keys are."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from mta.app.auditor import QueuedAuditor
from mta.app.outside import SystemClock
from mta.config.contract import Configuration
from mta.config.contract_protection import Protection
from mta.errors import UsageError
from mta.ports.vault import RootKeys
from mta.vault.vault import Vault


@contextlib.asynccontextmanager
async def open_vault(configuration: Configuration) -> AsyncIterator[Vault]:
    """The vault, for as long as the context lasts. Raises UsageError without `protection`, StorageError, MtaError."""
    from mta.adapters.epochs import Epochs
    from mta.adapters.signing_keys import signing_keys
    from mta.adapters.vault_sqlite import FolderContainers
    from mta.adapters.vault_sqlite import open_vault as open_store

    protection = protection_of(configuration)
    folder = Path(protection.store)
    keys = _root_keys(configuration)
    store = open_store(folder)
    try:
        yield Vault(
            store=store,
            shares=Epochs(folder / "epochs", secrets.token_bytes),
            keys=keys,
            signing=signing_keys(Path(protection.signing_key)),
            auditor=QueuedAuditor(configuration, protection.auditor),
            clock=SystemClock(),
            random=secrets.token_bytes,
            protection=protection,
            url=key_server_url(configuration),
            ours=frozenset(configuration.domains),
            containers=FolderContainers(folder),
        )
    finally:
        await keys.close()
        await store.close()


def protection_of(configuration: Configuration) -> Protection:
    """The `protection` object. Raises UsageError if there is none."""
    if configuration.protection is None:
        raise UsageError(f"{configuration.path} protects nothing: write `protection` (docs/protected.md)")
    return configuration.protection


def key_server_url(configuration: Configuration) -> str:
    """Where readers' programs ask for keys: it stands in every file, so it must not change."""
    portal = configuration.server.portal
    return f"{portal.url if portal else f'https://{configuration.server.hostname}'}/kas"


def _root_keys(configuration: Configuration) -> RootKeys:
    from mta.adapters.root_keys import PlacedRootKeys

    return PlacedRootKeys()
