"""Seals a file or a message: no private key is on the way, and the item is remembered before anybody can have it."""

from __future__ import annotations

import asyncio
import hashlib
import io
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from isal import isal_zlib

from mta.contract.protection import Label
from mta.model.protected import SHRED, Actor, Grant, Item, RootKey, VaultEvent
from mta.model.rights import ALL, Right
from mta.observe.vault_events import Operation, Result
from mta.rfc.jose.algorithms import ALGORITHMS, signer
from mta.rfc.jose.jws import sign_jws
from mta.rfc.json.canonical import canonical
from mta.rfc.mime.file_name import line_name
from mta.rfc.tdf.policy import Policy, policy_digest, write_policy
from mta.rfc.tdf.seal import SealOrder, Spelling, WrappedKey, seal
from mta.rfc.tdf.share import Shares, seal_shares
from mta.vault.vault import Vault

_SMALL = 256 * 1024  # octets that are sealed sooner than a thread is woken for them
TWO_SHARES = "+s"  # behind the root key's id in the file: there is a share of the vault's


@dataclass(frozen=True, slots=True)
class SealRequest:
    """What is to be sealed and for whom. `readers` and `hidden` are as contract/readers.reader_name gives them.

    `hidden` are readers whom the others do not see. `not_after` 0: the label's expiry. `size` in octets, if known.
    """

    label: Label
    owner: str
    readers: tuple[str, ...]
    actor: Actor
    name: str = ""
    mime_type: str = "application/octet-stream"
    kind: str = "file"
    hidden: tuple[str, ...] = ()
    not_after: float = 0.0
    size: int | None = None
    parent: str = ""
    place: str = ""
    spelling: Spelling = Spelling.V4_3
    id: str = ""  # of the item, if it has one already


@dataclass(frozen=True, slots=True)
class _Secrets:
    """All that is random about one item."""

    content_key: bytes
    shares: Shares
    nonce: bytes
    uuid: UUID


@dataclass(frozen=True, slots=True)
class Sealed:
    """An item whose container is written, and that nobody remembers yet. `share` is covered."""

    item: Item
    share: bytes
    grants: tuple[Grant, ...]
    event: VaultEvent


async def seal_item(vault: Vault, request: SealRequest, source: BinaryIO, out: BinaryIO) -> Item:
    """Write the container to `out`, then remember the item, its grants and the event, all or nothing.

    Raises MtaError if no root key is active, StorageError if it cannot be remembered: `out` is worth nothing then.
    """
    made = await write_sealed(vault, request, source, out)
    await vault.store.seal(made.item, made.share, made.grants, made.event)
    return made.item


async def write_sealed(vault: Vault, request: SealRequest, source: BinaryIO, out: BinaryIO) -> Sealed:
    """Write the container to `out`. It opens for nobody until `VaultStore.seal` remembers it.

    Raises MtaError if no root key is active.
    """
    key, now = await vault.active_key(), vault.clock.now()
    secrets = _secrets(vault)
    policy = write_policy(_policy(vault, request, secrets.uuid))
    wrapped = seal_shares(_public(key), secrets.shares, secrets.content_key, secrets.uuid, policy)
    end = _end(vault, request, now)
    token = _policy_token(vault, request, (policy, wrapped), now, end)
    order = _order(request, secrets, WrappedKey(vault.url, key.id + TWO_SHARES, wrapped), policy, token)
    what = (source, out, order, request.size, isal_zlib.crc32)
    small = request.size is not None and request.size <= _SMALL
    sealed = seal(*what) if small else await asyncio.to_thread(seal, *what)
    item = Item(
        id=request.id or vault.new_id(),
        wrapped_digest=hashlib.sha256(wrapped).digest(),
        policy_digest=policy_digest(policy),
        uuid=str(secrets.uuid),
        kind=request.kind,
        label=request.label.id,
        owner=request.owner,
        name=request.name,
        key=key.id,
        created=now,
        not_after=end,
        revocation=SHRED,
        size=sealed.size,
        parent=request.parent,
        place=request.place,
        signed_policy=token,
    )
    event = VaultEvent(now, Operation.PROTECT, request.actor, Result.DONE, item=item.id, key=key.id)
    return Sealed(item, vault.shares.cover(secrets.shares.b), _grants(vault, request, item), event)


def _end(vault: Vault, request: SealRequest, now: float) -> float:
    """When it ends: as the request or its label says, at the latest when nothing is retained any longer."""
    wished = request.not_after or (now + request.label.expires if request.label.expires else 0.0)
    latest = now + vault.protection.retention if vault.protection.retention else 0.0
    return min((end for end in (wished, latest) if end), default=0.0)


def _order(request: SealRequest, secrets: _Secrets, key: WrappedKey, policy: str, token: str) -> SealOrder:
    return SealOrder(
        content_key=secrets.content_key,
        nonce=secrets.nonce,
        policy=policy,
        key=key,
        name=line_name(request.name),  # a subject, for one, is no name of a file
        mime_type=request.mime_type,
        policy_token=token,
        spelling=request.spelling,
    )


def _secrets(vault: Vault) -> _Secrets:
    octets = io.BytesIO(vault.random(32 + 32 + 32 + 12 + 12 + 16))
    return _Secrets(
        content_key=octets.read(32),
        shares=Shares(octets.read(32), octets.read(32), octets.read(12)),
        nonce=octets.read(12),
        uuid=UUID(bytes=octets.read(16), version=4),
    )


def _public(key: RootKey) -> RSAPublicKey:
    public = load_der_public_key(key.spki)
    assert isinstance(public, RSAPublicKey)  # as it was made or imported
    return public


def _policy(vault: Vault, request: SealRequest, uuid: UUID) -> Policy:
    """What every reader of the file sees: who may read, and label and rights as attributes."""
    host = vault.url.partition("://")[2].partition("/")[0]
    base = f"https://{host}/attr"
    rights = (f"{base}/right/value/{right.value.lower()}" for right in Right if right in request.label.rights)
    return Policy(uuid, request.readers, (f"{base}/classification/value/{request.label.id}", *rights))


def _policy_token(vault: Vault, request: SealRequest, sealed: tuple[str, bytes], now: float, end: float) -> str:
    """Our signature over the policy: it holds away from the server, and against who has the content key."""
    policy, wrapped = sealed
    rights = sorted(request.label.rights)
    claims = {
        "policy": policy_digest(policy).hex(),
        "wrapped": hashlib.sha256(wrapped).hexdigest(),
        "label": request.label.id,
        "owner": request.owner,
        "readers": dict.fromkeys(request.readers, rights),
        "iat": int(now),
        **({"exp": int(end)} if end else {}),
    }
    header = {"alg": "ES256", "kid": vault.signing.id}
    return sign_jws(header, canonical(claims), signer(ALGORITHMS["ES256"], vault.signing.policy))


def _grants(vault: Vault, request: SealRequest, item: Item) -> tuple[Grant, ...]:
    """One for the owner, who may everything, and one for each reader."""

    def grant(reader: str, rights: frozenset[Right], hidden: bool = False) -> Grant:
        by, at = request.actor.subject, item.created
        return Grant(vault.new_id(), item.id, reader, rights, by, at, hidden=hidden)

    owner = grant(request.owner, ALL)
    shown = (grant(reader, request.label.rights) for reader in request.readers)
    return (owner, *shown, *(grant(reader, request.label.rights, True) for reader in request.hidden))
