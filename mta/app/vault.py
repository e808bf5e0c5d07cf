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
async def open_vault(configuration: Configuration, token_log: str = "") -> AsyncIterator[Vault]:
    """The vault, for as long as the context lasts. Raises UsageError without `protection`, StorageError, MtaError.

    `token_log`: the form of the log lines that token processes write (EventLog); empty: none.
    """
    from mta.adapters.epochs import Epochs
    from mta.adapters.signing_keys import signing_keys
    from mta.adapters.vault_sqlite import FolderContainers
    from mta.adapters.vault_sqlite import open_vault as open_store

    protection = protection_of(configuration)
    folder = Path(protection.store)
    keys = _root_keys(configuration, token_log)
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


def places_of(configuration: Configuration) -> dict[str, str]:
    """Where the configuration has its root keys, by id."""
    protection = configuration.protection
    return {one.id: one.place for one in protection.root_keys} if protection else {}


def _root_keys(configuration: Configuration, token_log: str) -> RootKeys:
    """In their places; what reaches tokens is loaded where there is one."""
    from mta.adapters.root_keys import PlacedRootKeys

    token = configuration.server.pkcs11
    if token is None:
        return PlacedRootKeys(places_of(configuration))
    from mta.adapters.root_tokens import RootTokens
    from mta.adapters.token_pool.member import MemberSettings
    from mta.adapters.token_pool.pool import PoolSettings

    member = MemberSettings(token.module, token.pin, log=token_log)
    pool = PoolSettings(member, processes=token.processes)
    return PlacedRootKeys(places_of(configuration), RootTokens(pool))
