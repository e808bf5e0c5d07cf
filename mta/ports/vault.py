"""Where protected items, their grants and the log are kept, and who holds the root keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from mta.model.protected import Credential, Epoch, Grant, Item, ItemState, RootKey, SuperUser, VaultEvent
from mta.ports.vault_log import LogStore


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items are meant; every condition that is set must hold. Empty strings are not set."""

    id: str = ""  # or its beginning
    owner: str = ""
    reader: str = ""
    label: str = ""
    state: str = ""
    parent: str = ""  # attachments of this mail; without it none are found, but by `id`
    after: str = ""  # ids of a listing go on behind this one
    limit: int = 1000
    newest_before: float = 0.0  # epoch seconds: what was sealed before then, the newest first


@dataclass(frozen=True, slots=True)
class Link:
    """The way of a reader to a grant. `token_hash` is the SHA-256 of the link's id, which nobody here remembers."""

    token_hash: bytes
    grant: str
    item: str
    created: float


@dataclass(frozen=True, slots=True)
class Part:
    """An attachment that becomes an item with its mail, under the mail's grants. `share` as `Shares` covers it."""

    item: Item
    share: bytes
    event: VaultEvent


@dataclass(frozen=True, slots=True)
class Posted:
    """What a mail's item has besides: links, attachments, and of which message it was made (`origin`)."""

    links: tuple[Link, ...] = ()
    origin: bytes = b""
    parts: tuple[Part, ...] = ()
    credentials: tuple[Credential, ...] = ()


NOT_POSTED = Posted()


@dataclass(frozen=True, slots=True)
class Change:
    """All that one command changes, written in one transaction with the events that tell of it.

    `items`: new states by id. `ends`: new `not_after` by id. Grants are replaced by id, or added.
    """

    events: tuple[VaultEvent, ...]
    grants: tuple[Grant, ...] = ()
    links: tuple[Link, ...] = ()
    items: tuple[tuple[str, ItemState], ...] = ()
    ends: tuple[tuple[str, float], ...] = ()
    keys: tuple[RootKey, ...] = ()
    epochs: tuple[Epoch, ...] = ()  # replaced by number, or added
    super_users: tuple[SuperUser, ...] = ()  # replaced by id, or added
    credentials: tuple[Credential, ...] = ()  # replaced by id, or added
    forgotten: tuple[str, ...] = ()  # ids of credentials that end
    shares_of: tuple[str, ...] = ()  # ids of items whose share is destroyed, when the rest is durable


class VaultStore(LogStore, Protocol):
    """What a vault remembers. When a coroutine that changes it returns, the change survives a power cut.

    Raises StorageError where it cannot write or read; then nothing was changed.
    """

    async def seal(
        self, item: Item, share: bytes, grants: tuple[Grant, ...], event: VaultEvent, posted: Posted = NOT_POSTED
    ) -> None:
        """A new item with its share (as `shares` covers it), its grants and the event, all or nothing.

        Raises StorageError if there is an item of this origin already.
        """
        ...

    async def put_links(self, *links: Link) -> None:
        """Further ways to grants that are there."""
        ...

    async def link(self, token_hash: bytes) -> Link | None:
        """The way whose id has this SHA-256."""
        ...

    async def of_origin(self, origin: bytes) -> Item | None:
        """The item that was made of this message before."""
        ...

    async def change(self, change: Change) -> None:
        """Write a change; shares that it destroys are in no file of the store any more when this returns."""
        ...

    async def by_wrapped(self, digest: bytes) -> Item | None:
        """The item whose wrapped key has this SHA-256."""
        ...

    async def asked_for(self, digest: bytes) -> tuple[Item, tuple[Grant, ...], RootKey | None] | None:
        """That item with the grants that hold for it (`Item.granted_as`) and its root key, as they stand together."""
        ...

    async def item(self, id: str) -> Item | None:
        """The item of this id, or the only one whose id begins so."""
        ...

    async def find(self, which: ItemFilter) -> list[tuple[Item, int]]:
        """Items, in the order of their ids, each with how often it was opened."""
        ...

    async def grants(self, item: str) -> tuple[Grant, ...]:
        """All grants of an item, revoked and expired ones too."""
        ...

    async def credentials(self, subject: str) -> tuple[Credential, ...]:
        """By what a reader (or the reader of a grant) proves who they are, the oldest first."""
        ...

    async def use_credential(self, before: Credential, after: Credential) -> bool:
        """Replace one that is still as it was; False, and nothing: somebody else was faster."""
        ...

    async def share(self, item: Item) -> bytes | None:
        """The vault's share of an item's key; None: it was destroyed, or there never was one."""
        ...

    async def due(self, now: float, limit: int, *, sealed_before: float = 0.0) -> list[Item]:
        """Live items whose time is over, or that were sealed before then; the longest first."""
        ...

    async def places(self) -> frozenset[str]:
        """Where the containers of items lie that are not at their end."""
        ...

    async def sweep(self, before: float) -> int:
        """Destroy shares of items at their end, and those from before `before` that belong to none; how many."""
        ...

    async def renew_shares(self, renew: Callable[[bytes], bytes | None]) -> None:
        """Cover every share anew; those for which `renew` gives None stay as they are."""
        ...

    async def root_keys(self) -> tuple[RootKey, ...]:
        """All root keys there ever were, destroyed ones too."""
        ...

    async def epochs(self) -> tuple[Epoch, ...]:
        """All epochs that were ever begun, the oldest first."""
        ...

    async def super_users(self) -> tuple[SuperUser, ...]:
        """All leaves that were ever asked for, the newest first."""
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        ...


class Containers(Protocol):
    """Where sealed containers lie. A `place` is a name within it (`Item.place`)."""

    def create(self, id: str) -> tuple[str, BinaryIO]:
        """A new, empty container for the item of this id: its place, and the file. Raises StorageError."""
        ...

    def keep(self, file: BinaryIO) -> None:
        """Close a container that was written; it survives a power cut when this returns. Raises StorageError."""
        ...

    def open(self, place: str) -> BinaryIO:
        """A container to read, seekable. Raises StorageError."""
        ...

    def places(self) -> Iterator[tuple[str, float]]:
        """All that lie there, each with when it was written, in epoch seconds. Raises StorageError."""
        ...

    def remove(self, place: str) -> None:
        """Forget one, if it is there. Raises StorageError."""
        ...


class Shares(Protocol):
    """Covers the vault's shares with the key of the running epoch, so that an old backup opens nothing."""

    def cover(self, share: bytes) -> bytes:
        """What is stored."""
        ...

    def uncover(self, covered: bytes) -> bytes | None:
        """The share; None if the key of its epoch is gone. Raises MtaError for what was changed."""
        ...

    def current(self) -> int:
        """The number of the epoch that covers."""
        ...

    def numbers(self) -> list[int]:
        """All epochs whose key is there, the oldest first."""
        ...

    def begin(self) -> int:
        """Begin the next epoch, which covers from now on; its number."""
        ...

    def renew(self, covered: bytes) -> bytes | None:
        """The share under the running epoch; None if it is there already, or its epoch is gone."""
        ...

    def end(self, number: int) -> None:
        """Destroy the key of an epoch, if it is there."""
        ...


class Auditor(Protocol):
    """Whoever watches over the super user."""

    async def tell(self, subject: str, paragraphs: tuple[str, ...]) -> None:
        """Have a mail to the auditor queued; when this returns it is durable. Raises MtaError if it is not."""
        ...


class RootKeys(Protocol):
    """Opens with the private halves of root keys, which stay where they are."""

    async def unwrap(self, key: RootKey, wrapped: bytes, call: str) -> bytes | None:
        """RSA-OAEP (SHA-1, as every TDF reader and SoftHSM have it); None: it was not wrapped to this key.

        `call` names this use in the token's own log. Raises KeyAway if the key cannot be reached now.
        """
        ...

    async def close(self) -> None:
        """End what serves the keys."""
        ...


class IssuerKeys(Protocol):
    """The keys by which other organisations' issuers sign tokens."""

    async def keys(self, issuer: str, *, renewed: bool = False) -> tuple[Any, ...]:
        """Each a rfc.jose.jwk.Jwk; `renewed`: ask again, if that was not done just now. Raises IssuerAway."""
        ...


@dataclass(frozen=True, slots=True)
class IssuerPlaces:
    """Where an issuer signs people in and hands out tokens; `basic`: our secret goes into `Authorization`."""

    authorization: str
    token: str
    basic: bool = True


class IssuerSignIn(IssuerKeys, Protocol):
    """Other organisations' issuers, as a sign-in needs them."""

    async def places(self, issuer: str) -> IssuerPlaces:
        """From its discovery document. Raises IssuerAway."""
        ...

    async def exchange(self, issuer: str, fields: dict[str, str], client: tuple[str, str]) -> str:
        """The ID token for a code; `client` are our id and secret. Raises IssuerAway; NotOpened if it refuses."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What signs in our name: `policy` (ECDSA P-256) policies and access tokens, `log` (Ed25519) checkpoints."""

    policy: Any
    log: Any
    id: str  # of the policy key: the beginning of its thumbprint (RFC 7638)
    witness: Any  # Ed25519, for cosignatures on partners' checkpoints
