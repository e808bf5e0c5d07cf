"""The keys that sign mail of our domains, and the one that seals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A DKIM signing key of one of our domains, in use from epoch second `since` on. `key` is the path of its PEM.

    `service` is `email`, or `tlsrpt` for a key that signs TLS reports and nothing else (RFC 8460 §3).
    """

    selector: str
    key: str
    since: float = 0.0
    algorithm: str = "rsa-sha256"  # or ed25519-sha256, by the key
    until: float = 0.0  # 0: no end
    service: str = "email"


@dataclass(frozen=True, slots=True)
class SealingKey:
    """What seals mail with ARC, in the name of `domain`; `key` has no times."""

    domain: str
    key: DkimKey


def in_force(keys: Iterable[DkimKey], now: float) -> tuple[DkimKey, ...]:
    """The keys that sign at epoch second `now`: of each algorithm and service the one that began last."""
    valid = [key for key in keys if key.since <= now and (not key.until or now < key.until)]
    latest: dict[tuple[str, str], DkimKey] = {}
    for key in valid:
        kind = (key.algorithm, key.service)
        if kind not in latest or key.since >= latest[kind].since:
            latest[kind] = key
    return tuple(key for key in valid if latest[key.algorithm, key.service] is key)
