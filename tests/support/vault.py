"""A vault in a temporary folder: the real store, root keys in files, a clock that stands still."""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from mta.adapters.epochs import Epochs
from mta.adapters.root_keys import PlacedRootKeys, new_root_key
from mta.adapters.signing_keys import signing_keys
from mta.adapters.vault_sqlite import FolderContainers, open_vault
from mta.contract.protection import Client, Label, Protection
from mta.errors import StorageError, WitnessAway
from mta.model.protected import Actor, Item, KeyState, RootKey, VaultEvent
from mta.model.rights import Right, expand
from mta.model.tls import TrustAnchors
from mta.observe.vault_events import Operation, Result
from mta.ports.vault import Change
from mta.ports.vault_log import WitnessAnswer, WitnessDoor
from mta.rfc.tdf.open import read_protected, unlock
from mta.vault.grants import Editor
from mta.vault.open import OpenedKey, OpenRequest, open_key
from mta.vault.seal import SealRequest, seal_item
from mta.vault.vault import Vault

ALICE, BOB, EVE = "alice@contoso.example", "bob@fabrikam.example", "eve@tailspin.example"
OURS = frozenset({"contoso.example"})
LABEL = Label("confidential", rights=expand("co-author"))
BEGIN = 1_700_000_000.0


@dataclass(slots=True)
class Clock:
    """Moves when it is told to."""

    at: float = BEGIN

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@lru_cache(8)
def root_key_pair(number: int) -> tuple[bytes, bytes]:
    """An RSA key of this run, PEM and SPKI; making one takes a while."""
    return new_root_key(2048)


def put_key(folder: Path, id: str, number: int, state: KeyState, at: float = BEGIN) -> RootKey:
    """A root key in a file of `folder`."""
    pem, spki = root_key_pair(number)
    path = folder / f"{id}.key"
    path.write_bytes(pem)
    path.chmod(0o600)
    return RootKey(id, str(path), spki, 2048, state, at, at)


def actor(subject: str = ALICE) -> Actor:
    return Actor(subject, "console")


def editor(subject: str = ALICE, *, administrator: bool = False) -> Editor:
    return Editor(actor(subject), administrator)


@dataclass(slots=True)
class Auditor:
    """Remembers what it is told, or cannot be reached."""

    told: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    away: bool = False

    async def tell(self, subject: str, paragraphs: tuple[str, ...]) -> None:
        if self.away:
            raise StorageError("the queue is full")
        self.told.append((subject, paragraphs))


class NoWitnesses:
    """Nobody answers."""

    async def ask(self, url: str, ca: TrustAnchors | None, request: bytes) -> WitnessAnswer:
        raise WitnessAway("nobody is asked here")


@dataclass(slots=True)
class World:
    """A vault with one root key, and what was sealed."""

    vault: Vault
    clock: Clock
    folder: Path
    auditor: Auditor
    containers: dict[str, bytes] = field(default_factory=dict)

    async def seal(self, content: bytes = b"secret", readers: Sequence[str] = (BOB,), **more: object) -> Item:
        """Seal as Alice; the container is kept by the item's id."""
        label = more.pop("label", LABEL)
        assert isinstance(label, Label)
        request = SealRequest(label, ALICE, tuple(readers), actor(), size=len(content))
        out = io.BytesIO()
        item = await seal_item(self.vault, replace(request, **more), io.BytesIO(content), out)  # type: ignore[arg-type]
        self.containers[item.id] = out.getvalue()
        return item

    async def key(self, item: Item, reader: str, wants: Right = Right.VIEW, policy: str = "") -> OpenedKey:
        """Ask for the content key of a container."""
        return await self.ask(self.containers[item.id], reader, wants, policy)

    async def ask(self, container: bytes, reader: str, wants: Right = Right.VIEW, policy: str = "") -> OpenedKey:
        """Ask for the content key of any container."""
        manifest = read_protected(io.BytesIO(container)).manifest
        request = OpenRequest(
            manifest.keys[0], policy or manifest.policy, reader, wants, Operation.OPEN, Actor(reader, "code")
        )
        return await open_key(self.vault, request)

    async def read(self, item: Item, reader: str) -> bytes:
        """What the reader reads."""
        opened = unlock(
            read_protected(io.BytesIO(self.containers[item.id])), (await self.key(item, reader)).content_key
        )
        return b"".join(opened.chunks())

    async def add_key(self, id: str, number: int, state: KeyState) -> RootKey:
        """Another root key."""
        key = put_key(self.folder, id, number, state, self.clock.now())
        event = VaultEvent(self.clock.now(), Operation.KEY_CREATE, actor(), Result.DONE, key=id)
        await self.vault.store.change(Change((event,), keys=(key,)))
        return key


@contextlib.asynccontextmanager
async def vault_world(
    folder: Path, *, clients: tuple[Client, ...] = (), witnesses: WitnessDoor | None = None
) -> AsyncIterator[World]:
    """A vault whose root key r1 is active."""
    clock, auditor = Clock(), Auditor()
    protection = Protection(str(folder), labels={LABEL.id: LABEL}, clients=clients)
    vault = Vault(
        store=open_vault(folder),
        shares=Epochs(folder / "epochs", secrets.token_bytes),
        keys=PlacedRootKeys(),
        signing=signing_keys(folder / "policy.key"),
        auditor=auditor,
        clock=clock,
        random=secrets.token_bytes,
        protection=protection,
        url="https://portal.contoso.example/kas",
        ours=OURS,
        containers=FolderContainers(folder),
        witnesses=witnesses or NoWitnesses(),
    )
    world = World(vault, clock, folder, auditor)
    if not await vault.store.root_keys():
        await world.add_key("r1", 1, KeyState.ACTIVE)
    try:
        yield world
    finally:
        await vault.store.close()
