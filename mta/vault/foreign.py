"""Items that another program sealed straight to our public key: known from the first time somebody asks for one.

There is no share of the vault's in them, so revoking one means to refuse it. Whoever holds a content key can wrap it
anew, so the writer is nobody we know: the item is called `foreign` wherever it is shown.
"""

from __future__ import annotations

import hashlib

from mta.contract.readers import is_meant, reader_name
from mta.errors import StorageError, TdfError
from mta.model.protected import REFUSE, Actor, Grant, Item, VaultEvent
from mta.model.rights import ALL, SETS
from mta.observe.vault_events import Operation, Result
from mta.rfc.smtp.address import AddressError
from mta.rfc.tdf.manifest import KeyAccess
from mta.rfc.tdf.policy import Policy, policy_digest, read_policy
from mta.rfc.tdf.share import read_two_shares
from mta.vault.vault import Vault

READER = SETS["co-author"]  # its writer knows no rights of ours; programs need the content key, so EXPORT is in it
_MOST_READERS = 1000


async def foreign_item(
    vault: Vault, access: KeyAccess, policy: str, reader: str
) -> tuple[Item, tuple[Grant, ...]] | None:
    """What another program sealed to a root key of ours, as it would be remembered; None if there is no such key.

    The policy's readers get their grants. One that names nobody is its writer's own affair: it belongs to whoever asks
    first, and that must be one of us, or a program of ours.
    """
    key = await vault.root_key(access.kid)
    if key is None or read_two_shares(access.wrapped):
        return None
    try:
        told = read_policy(policy)
        readers = _readers(told)
    except (TdfError, AddressError):
        return None
    owner = reader if not readers and _is_ours(vault, reader) else ""
    item = Item(
        id=vault.new_id(),
        wrapped_digest=hashlib.sha256(access.wrapped).digest(),
        policy_digest=policy_digest(policy),
        uuid=str(told.uuid),
        kind="foreign",
        label="",
        owner=owner,
        name="",
        key=key.id,
        created=vault.clock.now(),
        revocation=REFUSE,
    )
    return item, _grants(vault, item, readers)


async def remember_foreign(vault: Vault, item: Item, grants: tuple[Grant, ...], actor: Actor) -> None:
    """Pin the policy to the wrapped key, once the binding has proved that they belong together."""
    event = VaultEvent(
        item.created, Operation.PROTECT, actor, Result.DONE, "foreign: first seen", item.id, key=item.key
    )
    try:
        await vault.store.seal(item, b"", grants, event)
    except StorageError:
        pinned = await vault.store.by_wrapped(item.wrapped_digest)  # somebody may have asked in the same moment
        if pinned is None or pinned.policy_digest != item.policy_digest:
            raise


def _readers(policy: Policy) -> tuple[str, ...]:
    if len(policy.readers) > _MOST_READERS:
        raise TdfError(f"the policy names {len(policy.readers)} readers, at most {_MOST_READERS} are taken")
    return tuple(dict.fromkeys(reader_name(one) for one in policy.readers))


def _is_ours(vault: Vault, reader: str) -> bool:
    programs = (client.address for client in vault.protection.clients)
    return is_meant("internal", reader, vault.ours) or reader in programs


def _grants(vault: Vault, item: Item, readers: tuple[str, ...]) -> tuple[Grant, ...]:
    wanted = [(item.owner, ALL)] if item.owner else [(reader, READER) for reader in readers]
    return tuple(Grant(vault.new_id(), item.id, who, rights, "foreign", item.created) for who, rights in wanted)
