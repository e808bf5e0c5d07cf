"""What several objects have in common: a host with its port, a network, a certificate with its key."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host name or address literal (no brackets) with its port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths of a PEM certificate chain (leaf first) and of its private key; `pem` is what stood there, judged good."""

    chain: str
    key: str
    pem: tuple[bytes, bytes] | None = field(default=None, repr=False, compare=False)


TOKEN = "pkcs11:"  # noqa: S105 - how the URI of a token's key begins
