"""The one way in which a content key leaves the vault: for pages, key server and command line alike.

The order is the promise: who asks is proven before -> the grant is judged -> the entry in the log is durable -> the
root key opens its share -> the vault's share -> the content key. If the log cannot be written, nothing opens.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from mta.errors import KeyAway, MtaError, NotOpened, TdfError, TdfTampered
from mta.model.protected import SHRED, Actor, Grant, Item, RootKey, SuperUser, VaultEvent
from mta.model.rights import Right
from mta.observe.vault_events import Operation, Result
from mta.policy.channel import is_enough
from mta.policy.reader import Asked, Permission, Refusal, judge
from mta.rfc.tdf.manifest import KeyAccess
from mta.rfc.tdf.policy import is_bound, policy_digest, read_policy
from mta.rfc.tdf.share import open_shares, read_two_shares
from mta.vault.foreign import foreign_item, remember_foreign
from mta.vault.seal import TWO_SHARES
from mta.vault.super_user import leave_of, tell_of_opening
from mta.vault.vault import Vault
from mta.vault.witnesses import settle


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """The key access and the policy's text as they stand in the file, and who wants what.

    `reader` is the proven address, as config/readers.reader_name gives it. `wants` must be among the rights. As
    `super_user` opens whoever holds a leave (vault/super_user.py): then `reader` is that person.
    """

    access: KeyAccess
    policy: str
    reader: str
    wants: Right
    operation: Operation
    actor: Actor
    super_user: bool = False
    proven_key: bool = False  # a program has proved that it owns its token and signed its request
    channels: tuple[str, ...] | None = ()  # second channels that were proved; None: a command of ours, on this machine


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A content key for this reader. `entry` is the number of the log's entry that was written for it."""

    content_key: bytes = field(repr=False)
    item: Item = field(repr=False)
    rights: frozenset[Right] = frozenset()
    entry: int = -1


@dataclass(frozen=True, slots=True)
class _Found:
    """What the wrapped key belongs to. `foreign`: it is asked for the first time, and is not remembered yet."""

    item: Item
    key: RootKey
    grants: tuple[Grant, ...]
    foreign: bool = False


async def open_key(vault: Vault, request: OpenRequest) -> OpenedKey:
    """The content key.

    Raises NotOpened for what may not be, TdfTampered for what was changed, KeyAway where the root key cannot be
    reached now and StorageError where the log cannot be written, or is contradicted: the last two mean `later`.
    """
    await settle(vault)
    leave = await leave_of(vault, request.reader) if request.super_user else None
    found, permission = await _permitted(vault, request, leave)
    call = vault.new_id()
    told = _event(vault, found, request, Result.PERMITTED, call=call, permission=permission)
    entry = await vault.store.record(told)
    try:
        if leave is not None:
            await tell_of_opening(vault, leave, found.item.id, entry)
        content_key = await _unwrap(vault, found, request, call)
        if found.foreign:
            await remember_foreign(vault, found.item, found.grants, request.actor)
    except MtaError as error:
        await vault.store.record(_event(vault, found, request, Result.FAILED, call=call, reason=_story(error)))
        raise
    return OpenedKey(content_key, found.item, permission.rights, entry)


async def permit_again(vault: Vault, request: OpenRequest) -> tuple[frozenset[Right], int]:
    """Leave to use a content key that is still at hand: judged anew, and written down as served from a cache.

    The rights, and the number of the entry. Raises NotOpened, StorageError.
    """
    found, permission = await _permitted(vault, request, None)
    told = _event(vault, found, request, Result.PERMITTED, permission=permission)
    entry = await vault.store.record(replace(told, detail={**told.detail, "cache": "yes"}))
    return permission.rights, entry


async def _permitted(vault: Vault, request: OpenRequest, leave: SuperUser | None) -> tuple[_Found, Permission]:
    """What is asked for, and by what leave. Raises NotOpened, once that is written down."""
    found = await _find(vault, request)
    if found is None:
        reason = "no item here was sealed with this wrapped key"
        raise await _refused(vault, None, request, Permission(refusal=Refusal.UNKNOWN_ITEM, reason=reason))
    permission = _judge(vault, found, request, leave)
    if not permission.allowed:
        raise await _refused(vault, found, request, permission)
    return found, permission


async def _find(vault: Vault, request: OpenRequest) -> _Found | None:
    known = await vault.store.asked_for(hashlib.sha256(request.access.wrapped).digest())
    if known is not None:
        item, grants, key = known
        return _Found(item, key, grants) if key else None
    foreign = await foreign_item(vault, request.access, request.policy, request.reader)
    if foreign is None:
        return None
    item, grants = foreign
    key = await vault.root_key(item.key)
    return _Found(item, key, grants, foreign=True) if key else None


def _judge(vault: Vault, found: _Found, request: OpenRequest, leave: SuperUser | None) -> Permission:
    if policy_digest(request.policy) != found.item.policy_digest:
        # Whoever opened the file once knows its content key and can bind a wider policy to it: not here.
        reason = "the policy is not the one the item was sealed with"
        return Permission(refusal=Refusal.CHANGED_POLICY, reason=reason)
    if request.access.kid != found.key.id + (TWO_SHARES if found.item.revocation == SHRED else ""):
        reason = f"the key id beside the wrapped key is another than that of {found.item.id}"
        return Permission(refusal=Refusal.UNKNOWN_ITEM, reason=reason)
    if request.super_user and leave is None:
        reason = f"{request.reader} holds no leave to open as super user now"
        return Permission(refusal=Refusal.NO_LEAVE, reason=reason)
    label = vault.protection.labels.get(found.item.label)
    if request.operation == Operation.REWRAP and label and label.demands_dpop and not request.proven_key:
        return Permission(refusal=Refusal.NOT_PROVEN, reason=f"the label {label.id} wants a proof of possession (DPoP)")
    if leave is None and request.channels is not None and not is_enough(label, request.channels):
        return Permission(refusal=Refusal.NOT_PROVEN, reason=f"the label {found.item.label} demands a second channel")
    asked = Asked(request.reader, request.wants, vault.clock.now(), leave is not None)
    return judge(found.item, found.grants, found.key.state, asked, vault.ours)


async def _unwrap(vault: Vault, found: _Found, request: OpenRequest, call: str) -> bytes:
    two = read_two_shares(request.access.wrapped) if request.access.kid.endswith(TWO_SHARES) else None
    opened = await vault.keys.unwrap(found.key, two.sealed_a if two else request.access.wrapped, call)
    if opened is None:
        raise TdfTampered("the root key does not open the wrapped key")
    if two is not None:
        share = await _own_share(vault, found.item)
        opened = open_shares(two, opened, share, read_policy(request.policy).uuid, request.policy)
    if not is_bound(opened, request.policy, request.access.binding):
        raise TdfTampered("the policy is not bound to the content key")
    return opened


async def _own_share(vault: Vault, item: Item) -> bytes:
    covered = await vault.store.share(item)
    share = vault.shares.uncover(covered) if covered is not None else None
    if share is None:
        raise NotOpened(Refusal.SHREDDED, f"the vault's share of {item.id} is gone")
    return share


async def _refused(vault: Vault, found: _Found | None, request: OpenRequest, permission: Permission) -> NotOpened:
    """The refusal, written down; if it cannot be written, nothing was opened all the same."""
    word = permission.refusal or Refusal.UNKNOWN_ITEM
    await vault.store.record(_event(vault, found, request, Result.REFUSED, reason=f"{word}: {permission.reason}"))
    return NotOpened(word, permission.reason)


def _story(error: MtaError) -> str:
    if isinstance(error, NotOpened):
        return f"{error.word}: {error}"
    word = "key-away" if isinstance(error, KeyAway) else "tampered" if isinstance(error, TdfError) else "failed"
    return f"{word}: {error}"


def _event(
    vault: Vault,
    found: _Found | None,
    request: OpenRequest,
    result: Result,
    *,
    call: str = "",
    reason: str = "",
    permission: Permission | None = None,
) -> VaultEvent:
    return VaultEvent(
        vault.clock.now(),
        Operation.SUPER_USER if request.super_user else request.operation,
        request.actor,
        result,
        reason=reason,
        item=found.item.id if found else "",
        grant=permission.grant.id if permission and permission.grant else "",
        key=found.key.id if found else request.access.kid[:100],
        call=call,
        detail={"reader": request.reader, "wants": request.wants.value},
    )
