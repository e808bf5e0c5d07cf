"""Facts of protected mail and files: items, grants, root keys and the events of the log (docs/protected.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mta.model.rights import Right


class ItemState(StrEnum):
    """What has become of an item."""

    LIVE = "live"
    HELD = "held"  # nobody opens it, nothing of it is destroyed
    EXPIRED = "expired"  # its time is over and the vault's share is gone
    SHREDDED = "shredded"  # revoked for all: the vault's share is gone


class KeyState(StrEnum):
    """What a root key is used for."""

    ACTIVE = "active"  # seals and opens; there is one
    ARCHIVED = "archived"  # opens what it sealed
    HELD = "held"  # does nothing until it is released
    DESTROYED = "destroyed"  # for good


ATTACHMENT = "attachment"  # kind of an item: a file of a mail, sealed beside it
REFUSE, SHRED = "refuse", "shred"  # what revoking can do: refuse from now on, or destroy the vault's share


@dataclass(frozen=True, slots=True)
class Item:
    """One sealed mail, attachment or file. Times are epoch seconds; `not_after` 0: it does not expire.

    It is found by the SHA-256 of the wrapped key, which the file carries unseen by every reader; `policy_digest` is
    the SHA-256 of the policy that belongs to it: another one under the same key is a forgery.
    """

    id: str  # 128 bits in base32
    wrapped_digest: bytes
    policy_digest: bytes
    uuid: str
    kind: str  # file, mail, attachment, reply, or foreign: sealed by another program to our public key
    label: str
    owner: str  # an address
    name: str  # of the file, or the subject
    key: str  # id of the root key
    created: float
    not_after: float = 0.0
    state: ItemState = ItemState.LIVE
    revocation: str = SHRED  # or `refuse`, for what another program sealed: there is no share of ours in it
    size: int = 0  # octets of content
    parent: str = ""  # the item it came with
    place: str = ""  # of the sealed container in the vault; empty: it was handed out
    signed_policy: str = ""

    @property
    def granted_as(self) -> str:
        """The item whose grants say who may open this one: an attachment goes with its mail."""
        return self.parent if self.kind == ATTACHMENT else self.id


@dataclass(frozen=True, slots=True)
class Grant:
    """What one reader may do with an item.

    `reader` is an address, `@domain` for a whole domain, or `internal`. `not_after` 0: as long as the item.
    """

    id: str
    item: str
    reader: str
    rights: frozenset[Right]
    granted_by: str
    granted_at: float
    not_after: float = 0.0
    revoked_at: float = 0.0
    hidden: bool = False  # a blind copy: other readers do not see it


@dataclass(frozen=True, slots=True)
class Credential:
    """By what a reader proves once more who they are. `subject` is an address, or for a phrase the id of a grant.

    `data` is JSON, of which only vault/channels.py knows the form; secrets in it are sealed.
    """

    id: str
    subject: str
    kind: str  # policy/channel.py
    data: str
    created: float
    used: float = 0.0


@dataclass(frozen=True, slots=True)
class RootKey:
    """A root key as the vault knows it. `spki` is its public half, DER; sealing needs no more."""

    id: str
    place: str  # a file, or a pkcs11: URI
    spki: bytes
    bits: int
    state: KeyState
    created: float
    changed: float
    destroy_after: float = 0.0  # set when its end was asked for
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A key that covers the vault's shares: begun, replaced by the next one, destroyed. Epoch seconds; 0: not yet."""

    number: int
    begun: float
    replaced: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class SuperUser:
    """Leave to open what is not for one: asked for by one person, approved by another, over at `ends`.

    `lasts` in seconds from the approval on; `begins` 0: nobody has approved it yet.
    """

    id: str
    asked_by: str
    reason: str
    asked_at: float
    lasts: float
    approved_by: str = ""
    begins: float = 0.0
    ends: float = 0.0
    ended_by: str = ""
    ended_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: `subject` an address or an account, `method` how it was proven, and from where."""

    subject: str
    method: str  # code, oidc, passkey, client, certificate, console, system
    ip: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class VaultEvent:
    """One entry of the log; `number` is given when it is written. `detail` holds texts only."""

    at: float
    operation: str  # observe/vault_events.py
    actor: Actor
    result: str  # permitted, refused, done, failed
    reason: str = ""
    item: str = ""
    grant: str = ""
    key: str = ""  # id of the root key
    call: str = ""  # id of the token call, also in the token processes' log
    detail: dict[str, str] = field(default_factory=dict)
    number: int = -1
