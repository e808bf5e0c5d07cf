"""The DNS tree walk of RFC 9989 §4.10: which names are asked, and what the records found there mean."""

from __future__ import annotations

from dataclasses import dataclass

from mta.rfc.dmarc.parse import DmarcRecord

MAX_QUERIES = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A valid policy record and the domain that published it."""

    domain: str
    record: DmarcRecord


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk from `start` found, longest name first. `error`: why it could not be finished."""

    start: str
    found: tuple[Found, ...] = ()
    error: str = ""

    @property
    def own(self) -> Found | None:
        """The record of the start itself."""
        return self.found[0] if self.found and self.found[0].domain == self.start else None

    @property
    def organizational_domain(self) -> str:
        """RFC 9989 §4.10.2, of a finished walk."""
        for policy in self.found:
            if policy.record.psd == "n":
                return policy.domain
            if policy.record.psd == "y" and policy.domain != self.start:
                return one_below(policy.domain, self.start)
        return self.found[-1].domain if self.found else self.start

    @property
    def policy(self) -> Found | None:
        """RFC 9989 §4.10.1: the record of the author, else of the organization, else of the public suffix."""
        if self.own is not None:
            return self.own
        organization = self.organizational_domain
        of_organization = next((policy for policy in self.found if policy.domain == organization), None)
        return of_organization or (self.found[-1] if self.found else None)


def names(domain: str) -> tuple[str, ...]:
    """The domains that a walk from `domain` asks about, at most eight (RFC 9989 §4.10, steps 3 to 7)."""
    labels = domain.split(".")
    count = len(labels)
    # RFC 9989 §4.10: from eight labels on, the next name has seven
    following = range(min(count - 1, MAX_QUERIES - 1), 0, -1)
    return (domain, *(".".join(labels[count - kept :]) for kept in following))


def one_below(suffix: str, domain: str) -> str:
    """The domain one label below `suffix` on the way to `domain`."""
    labels = domain.split(".")
    return ".".join(labels[-(suffix.count(".") + 2) :])


def ends_walk(record: DmarcRecord | None) -> bool:
    """RFC 9989 §4.10, steps 2 and 6: a record that says what its domain is."""
    return record is not None and record.psd in ("y", "n")
