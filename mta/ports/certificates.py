"""Certificates: judges of paths, and where those of recipients are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from mta.model.address import Mailbox
from mta.model.directory import DirectoryAnswer, Harvest, SourceAnswer, TrustRung
from mta.model.seen import Memory
from mta.model.tls import CertificateFacts, PathVerdict, TrustAnchors


class ChainVerifier(Protocol):
    """Judges a certificate chain. Deterministic for the same arguments; does no IO once an anchor set was seen."""

    def verify(self, chain: Sequence[CertificateFacts], anchors: TrustAnchors, now: float) -> PathVerdict:
        """Whether `chain` (leaf first, as the peer sent it) leads to one of `anchors` at epoch second `now`."""
        ...


class CertificateJudge(Protocol):
    """Judges certificates of S/MIME: path, usage and revocation. Asks the network only where it may."""

    async def judge(
        self, certificate: bytes, others: Sequence[bytes], purpose: Literal["sign", "encrypt"], now: float
    ) -> PathVerdict:
        """Whether `certificate` leads to an anchor at epoch second `now`, `others` lying by, and may do `purpose`.

        Never raises for what is wrong with certificates: that is data. A fault that may heal by itself is `temporary`.
        """
        ...


class CertificateSource(Protocol):
    """One place where recipients' certificates may be. Never raises: a source that is down says so."""

    @property
    def name(self) -> str:
        """What people read: the type, and which one where there are several."""
        ...

    @property
    def rung(self) -> TrustRung:
        """The highest rung that its certificates can reach."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether its answers may be kept for a while; not where it watches its own store."""
        ...

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """Every certificate it has for this mailbox or for its whole domain."""
        ...

    async def refresh(self) -> None:
        """Look after the store, so that no look-up has to wait for that. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of threads and files."""
        ...


class CertificateMemory(Protocol):
    """Where certificates learned from signed mail are kept."""

    async def remember(self, harvest: Harvest, certificate: bytes) -> None:
        """Keep `certificate`, which came with `harvest`. Never raises."""
        ...


class CertificateDirectory(Protocol):
    """Where recipients' certificates are looked up."""

    async def lookup(self, mailbox: Mailbox, *, thorough: bool = False) -> DirectoryAnswer:
        """The certificate to encrypt to for this mailbox; `thorough`: hear every source, for people."""
        ...

    async def learn(self, harvest: Harvest) -> None:
        """Remember the certificate of a signer. Never raises: what cannot be kept is not needed today."""
        ...

    async def refresh(self) -> None:
        """Let the sources look after their stores. Never raises."""
        ...

    async def close(self) -> None:
        """Let go of the sources."""
        ...


class SeenStore(Protocol):
    """What was seen of partners' hosts, from one round of probing to the next; small, and read and written whole."""

    def read(self) -> Memory:
        """What was written last; nothing where there is none that can be read."""
        ...

    def write(self, memory: Memory) -> None:
        """Replace it, durably. Raises StorageError."""
        ...
