"""What is kept of the log of every use of keys: its entries, its tree, its checkpoints, and who witnesses what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mta.model.protected import VaultEvent
from mta.model.tls import TrustAnchors

Seen = tuple[int, bytes]  # size and root of a partner's log


@dataclass(frozen=True, slots=True)
class LogHead:
    """How long the log is, its root (RFC 6962 §2.1) and the last signed checkpoint, empty before the first."""

    size: int
    root: bytes
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event as it stands in the log: its leaf is SHA-256 over salt and story; both are gone when it was redacted."""

    number: int
    leaf: bytes
    salt: bytes = b""
    story: bytes = b""  # canonical JSON


@dataclass(frozen=True, slots=True)
class Watch:
    """What a witness of our log has answered. Times in epoch seconds, 0: never.

    `size`: of the largest checkpoint that it cosigned, at `cosigned`. `heard`: when it last answered at all. `fault`:
    why it did not, the last time. `refusal`: it knows another log than this one, and says so.
    """

    name: str
    size: int = 0
    cosigned: float = 0.0
    heard: float = 0.0
    fault: str = ""
    refusal: str = ""


class LogStore(Protocol):
    """The log's part of a VaultStore, and of what it promises."""

    async def record(self, *events: VaultEvent) -> int:
        """Write events; the number of the first. Nothing may be opened before this has returned.

        Raises LogRefused for an opening while a witness knows another log.
        """
        ...

    async def head(self) -> LogHead:
        """The log as it stands."""
        ...

    async def put_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint of this size; the signatures of one that is there are kept beside its own.

        Raises StorageError if a larger one was kept already, or another one of this size; LogRefused while a witness
        knows another log.
        """
        ...

    async def witnessed(self) -> dict[str, Seen]:
        """The newest checkpoints of partners' logs that we cosigned, by origin."""
        ...

    async def put_witnessed(self, origin: str, before: Seen | None, after: Seen) -> bool:
        """Remember a checkpoint before it is cosigned; False, and nothing, if `before` is no longer the newest.

        None: there is none yet.
        """
        ...

    async def entries(self, start: int, limit: int) -> list[LogEntry]:
        """The log from number `start`."""
        ...

    async def entries_of(self, item: str, limit: int) -> list[LogEntry]:
        """The first `limit` entries of an item; redacted ones belong to none."""
        ...

    async def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Hashes of the tiles' level `level` (C2SP tlog-tiles): level 0 are leaf hashes, each level is of 256 below."""
        ...

    async def redact(self, number: int, event: VaultEvent) -> None:
        """Erase salt and story of an entry and write that this was done; its leaf stays."""
        ...

    async def checkpoints(self, above: int, limit: int) -> list[str]:
        """The newest checkpoints of more than `above` entries, the largest first."""
        ...

    async def watches(self) -> dict[str, Watch]:
        """What is known of our log's witnesses, by the text of their keys."""
        ...

    async def put_watch(self, key: str, watch: Watch | None) -> None:
        """Remember what a witness answered; None forgets the witness, and what it held against the log."""
        ...


@dataclass(frozen=True, slots=True)
class WitnessAnswer:
    """What a witness said: the HTTP status, the type of the body and the body."""

    status: int
    content_type: str = ""
    body: bytes = b""


class WitnessDoor(Protocol):
    """The way to witnesses of our log."""

    async def ask(self, url: str, ca: TrustAnchors | None, request: bytes) -> WitnessAnswer:
        """POST `request`; `ca` vouches for the host (None: the system's). Raises WitnessAway."""
        ...
