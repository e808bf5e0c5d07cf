"""Small objects of `server`: how policies are fetched, partners looked at, tokens reached."""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.model.tls import TrustAnchors


@dataclass(frozen=True, slots=True)
class StsFetching:
    """How MTA-STS policies are fetched; `ca` vouches for policy hosts and for the hosts they name (None: system)."""

    ca: TrustAnchors | None = None
    port: int = 443


@dataclass(frozen=True, slots=True)
class Probing:
    """How often partners' hosts are looked at, and how many seconds before the end of a certificate is warned."""

    every: float = 86_400.0
    warn: float = 1_209_600.0  # 14 days


@dataclass(frozen=True, slots=True)
class Pkcs11:
    """`server.pkcs11`: the module (a shared library) that reaches our tokens, and the PIN that opens them.

    `processes`: how many at most open with root keys side by side.
    """

    module: str
    pin: str = field(repr=False)
    processes: int = 2
