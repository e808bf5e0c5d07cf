"""Policies of MTA-STS: looked up, fetched, remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mta.model.sts import StsAnswer


class StsPolicies(Protocol):
    """MTA-STS policies (RFC 8461) of other domains, fetched when they are needed and remembered until they expire."""

    async def policy(self, domain: str) -> StsAnswer:
        """The policy of `domain` (A-labels) that is in force now; never raises for what is merely wrong with it."""
        ...

    async def renew(self) -> None:
        """Fetch anew, ahead of their time, the policies that are in use."""
        ...


@dataclass(frozen=True, slots=True)
class KeptPolicy:
    """A policy as it is remembered; `used`: when mail last asked for it (epoch seconds)."""

    domain: str
    answer: StsAnswer
    used: float


class PolicyMemory(Protocol):
    """Where policies outlive restarts, shared by all workers. Never raises: what is lost is fetched again."""

    def read(self, domain: str) -> KeptPolicy | None:
        """The policy of `domain` that was written last, expired or not."""
        ...

    def write(self, kept: KeptPolicy) -> None:
        """Remember it in place of the one before."""
        ...

    def forget(self, domain: str) -> None:
        """It is needed no more."""
        ...

    def all(self) -> Iterator[KeptPolicy]:
        """Every policy that is remembered."""
        ...


class PolicyFetcher(Protocol):
    """HTTPS to the policy hosts of other domains (RFC 8461 §3.3)."""

    async def fetch(self, domain: str) -> bytes:
        """The policy file of `domain`. Raises PolicyNotFetched."""
        ...


class NoPolicies:
    """StsPolicies of somebody who knows none."""

    async def policy(self, domain: str) -> StsAnswer:
        """No domain has one."""
        return StsAnswer()

    async def renew(self) -> None:
        """There is nothing to renew."""
