"""The vault of a configuration: its store, its shares, where its root keys are."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from mta.app.auditor import QueuedAuditor
from mta.app.outside import SystemClock, resolver
from mta.contract.configuration import Configuration
from mta.contract.protection import Protection
from mta.errors import MtaError, UsageError
from mta.ports.mail_vault import Deposited, MailVault, Post
from mta.ports.vault import RootKeys
from mta.vault.mail import protect_message
from mta.vault.notice import Notice, compose_notice
from mta.vault.vault import Vault

_IDLE = 30.0  # seconds without mail until the vault's files are let go of


@contextlib.asynccontextmanager
async def open_vault(configuration: Configuration, token_log: str = "") -> AsyncIterator[Vault]:
    """The vault, for as long as the context lasts. Raises UsageError without `protection`, StorageError, MtaError.

    `token_log`: the form of the log lines that token processes write (EventLog); empty: none.
    """
    from mta.adapters.epochs import Epochs
    from mta.adapters.signing_keys import signing_keys
    from mta.adapters.vault_sqlite import FolderContainers
    from mta.adapters.vault_sqlite import open_vault as open_store
    from mta.adapters.witness_door import HttpsWitnesses

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
            witnesses=HttpsWitnesses(lambda: resolver(configuration)),
        )
    finally:
        await keys.close()
        await store.close()


class PortalMail:
    """ports.vault.MailVault: the vault is opened with the first mail, and closed when no mail has come for a while."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._opening = asyncio.Lock()
        self._open: contextlib.AsyncExitStack | None = None
        self._vault: Vault | None = None
        self._users = 0
        self._closing: asyncio.TimerHandle | None = None
        self._closers: set[asyncio.Task[None]] = set()

    async def deposit(self, post: Post, source: Callable[[], BinaryIO]) -> Deposited:
        """Seal a mail and write its notices."""
        portal = self._configuration.server.portal
        if portal is None:
            raise MtaError("there is no server.portal any more")
        async with self._used() as vault:
            sealed = await protect_message(vault, post, source)
            label = vault.protection.labels[post.label]
            notices = {
                one.id: compose_notice(Notice(post, sealed.item, label, one, sealed.links[one.reader], portal.url))
                for one in post.invitations
                if one.reader in sealed.links
            }
            return Deposited(sealed.item.id, notices)

    @contextlib.asynccontextmanager
    async def _used(self) -> AsyncIterator[Vault]:
        self._users += 1
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        try:
            yield await self._opened()
        finally:
            self._users -= 1
            if not self._users:
                self._closing = asyncio.get_running_loop().call_later(_IDLE, self._end)

    async def _opened(self) -> Vault:
        async with self._opening:
            if self._vault is None:
                stack = contextlib.AsyncExitStack()
                self._vault = await stack.enter_async_context(open_vault(self._configuration))
                self._open = stack
            return self._vault

    def _end(self) -> None:
        stack, self._open, self._vault, self._closing = self._open, None, None, None
        if stack is not None:
            task = asyncio.get_running_loop().create_task(stack.aclose())
            self._closers.add(task)
            task.add_done_callback(self._closers.discard)


def portal_mail(configuration: Configuration) -> MailVault | None:
    """Where mail for the portal goes; None where nothing is protected."""
    return PortalMail(configuration) if configuration.protection is not None else None


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
