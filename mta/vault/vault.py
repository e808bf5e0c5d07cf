"""What every use case of the vault works with."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from mta.contract.protection import Protection
from mta.errors import MtaError
from mta.model.protected import KeyState, RootKey
from mta.ports import Clock
from mta.ports.vault import Auditor, Containers, RootKeys, Shares, SigningKeys, VaultStore
from mta.ports.vault_log import Watch, WitnessDoor


@dataclass(slots=True)
class Standing:
    """What this process knows of the log's witnesses: whether they were asked, and which of them is left alone.

    `fresh`: an answer to another process of ours that is not older (seconds) is good enough to begin with.
    `rests`: by name, until when (monotonic seconds) and for how long (seconds). `untold`: answers nobody was told of.
    """

    fresh: float = 60.0
    settled: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rests: dict[str, tuple[float, float]] = field(default_factory=dict)
    untold: list[Watch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Vault:
    """The store, the keys and the settings. `url` is the key server's; `ours` are our own domains."""

    store: VaultStore
    shares: Shares
    keys: RootKeys
    signing: SigningKeys
    auditor: Auditor
    clock: Clock
    random: Callable[[int], bytes]
    protection: Protection
    url: str
    ours: frozenset[str]
    containers: Containers
    witnesses: WitnessDoor
    standing: Standing = field(default_factory=Standing)

    def new_id(self) -> str:
        """128 random bits in base32: 26 letters and digits."""
        return base64.b32encode(self.random(16)).decode("ascii").rstrip("=").lower()

    async def root_key(self, id: str) -> RootKey | None:
        """The root key of this id."""
        return next((key for key in await self.store.root_keys() if key.id == id), None)

    async def active_key(self) -> RootKey:
        """The root key that seals. Raises MtaError if there is none."""
        for key in await self.store.root_keys():
            if key.state == KeyState.ACTIVE:
                return key
        raise MtaError("no root key is active: `mta keys root create ID` makes the first, `activate` chooses another")
