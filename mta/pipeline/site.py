"""What every step stands on: the contract in force, and the ports of the outside world."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from mta.contract.configuration import Configuration
from mta.contract.index import ConnectorIndex
from mta.errors import TokenNotGiven
from mta.model.auth import AuthenticationFacts
from mta.observe.log import EventLog
from mta.pipeline.counts import ReportCounts
from mta.pipeline.directory import NoDirectory, NoJudge
from mta.ports import (
    AccessGrant,
    AccessTokens,
    CertificateDirectory,
    CertificateJudge,
    ChainVerifier,
    Clock,
    Dialer,
    KeyProvider,
    KeyRing,
    NoPolicies,
    OwnCertificate,
    QueueStore,
    Resolver,
    StsPolicies,
)
from mta.ports.mail_vault import MailVault


@dataclass(frozen=True, slots=True)
class Contract:
    """One configuration with its look-up tables. A reload makes a new one; what runs under another is judged anew."""

    configuration: Configuration
    index: ConnectorIndex
    generation: int

    @property
    def own_names(self) -> frozenset[str]:
        """The names under which we would recognise ourselves among MX hosts."""
        return frozenset({self.configuration.server.hostname.lower()})


class MessageIds:
    """Ids that sort by time and never meet: milliseconds, the process, a counter, in hexadecimal."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counter = itertools.count()
        self._process = os.urandom(2).hex()

    def next(self) -> str:
        """A new id: 19 characters."""
        return f"{int(self._clock.now() * 1000):011x}{self._process}{next(self._counter) & 0xFFFF:04x}"


class NoKeyRing:
    """ports.KeyRing where no domain has certificates."""

    def for_signing(self, domain: str, address: str, now: float, *, whose: str) -> OwnCertificate | None:
        """Nobody's."""
        return None

    def for_decrypting(self, domain: str, address: str) -> tuple[OwnCertificate, ...]:
        """None."""
        return ()


class NoAccessTokens:
    """ports.AccessTokens where nobody asks issuers."""

    async def token(self, grant: AccessGrant) -> str:
        """Never."""
        raise TokenNotGiven(f"{grant.url}: nothing here asks for tokens")

    def refused(self, grant: AccessGrant, token: str) -> None:
        """There was none."""


@dataclass(slots=True)
class Site:
    """One worker's surroundings. A reload exchanges `contract` and the ports that know it, all between two awaits."""

    contract: Contract
    clock: Clock
    verifier: ChainVerifier
    resolver: Resolver
    dialer: Dialer
    log: EventLog
    random: Random
    ids: MessageIds
    keys: KeyProvider
    reports: ReportCounts = field(default_factory=ReportCounts)
    arrivals: Callable[[bytes], None] | None = None  # takes messages that bring reports of others
    second_opinion: Callable[[str, bytes, AuthenticationFacts], None] | None = None  # may have others judge a message
    directory: CertificateDirectory = field(default_factory=NoDirectory)
    judge: CertificateJudge = field(default_factory=NoJudge)
    policies: StsPolicies = field(default_factory=NoPolicies)
    key_ring: KeyRing = field(default_factory=NoKeyRing)
    access_tokens: AccessTokens = field(default_factory=NoAccessTokens)
    mail_vault: MailVault | None = None  # None: nothing is protected


@dataclass(frozen=True, slots=True)
class Shard:
    """A queue file this worker owns. `number` is its place among the shards."""

    number: int
    store: QueueStore
