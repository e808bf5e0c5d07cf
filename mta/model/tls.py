"""What is known of a TLS connection and of its peer's certificates, and the levels a contract can ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class TlsLevel(IntEnum):
    """How much a hop must prove, weakest first; levels are compared, never combined as flags."""

    NONE = 0  # do not use TLS
    OPPORTUNISTIC = 1  # TLS if offered, clear otherwise
    ENCRYPTED = 2  # TLS or nothing; the certificate is not judged
    VERIFIED = 3  # a certificate of an accepted CA with an expected name
    PINNED = 4  # a certificate or key that was agreed beforehand

    @property
    def word(self) -> str:
        """The word of connectors.yaml."""
        return self.name.lower()

    @property
    def may_be_clear(self) -> bool:
        """Whether plaintext is allowed at all."""
        return self <= TlsLevel.OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate, read once. Times are epoch seconds; digests are lower-case hex, `spki_sha256` is base64."""

    der: bytes
    subject: str  # RFC 4514
    issuer: str
    serial: str  # hex
    sha256: str
    spki_sha256: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    emails: tuple[str, ...]
    not_before: float
    not_after: float
    key_usage_oids: tuple[str, ...]  # extended key usage, dotted; empty: none stated
    key: str  # e.g. `rsa-2048`, `ec-secp256r1`, `ed25519`


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """A finished handshake. `chain` is the peer's, leaf first, as sent; empty if it showed no certificate."""

    version: str  # `1.2`, `1.3`
    cipher: str
    group: str = ""
    sni: str = ""
    chain: tuple[CertificateFacts, ...] = ()

    @property
    def leaf(self) -> CertificateFacts | None:
        """The peer's own certificate."""
        return self.chain[0] if self.chain else None


@dataclass(frozen=True, slots=True)
class Pin:
    """`spki-sha256:BASE64` or `cert-sha256:HEX`, taken apart (`kind` is the part before the colon)."""

    kind: str
    value: str

    def matches(self, certificate: CertificateFacts) -> bool:
        """Whether this certificate is the one that was agreed."""
        seen = certificate.spki_sha256 if self.kind == "spki-sha256" else certificate.sha256
        return seen == self.value

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """The certificates of one CA file (DER, in file order), or the system's trust store if `path` is `system`."""

    path: str
    certificates: tuple[bytes, ...] = ()
    digest: str = ""  # SHA-256 over the certificates: the key under which a prepared store is kept

    @property
    def is_system(self) -> bool:
        """Whether the operating system's trust store is meant."""
        return self.path == "system"


class PathFault:
    """Words for why a chain does not lead to an anchor; they appear in evidence and decide the reply."""

    NONE = ""
    UNTRUSTED = "untrusted"  # no path to an accepted CA
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    INVALID = "invalid"  # a bad signature, a CA that is none, an unusable algorithm
    USAGE = "usage"  # the certificate states that it is for something else
    REVOKED = "revoked"
    UNCHECKED = "unchecked"  # whether it was revoked cannot be found out, and has to be
    UNREACHABLE = "unreachable"  # the same, but for now: who would know did not answer


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """Whether a chain leads to an anchor at a moment, and the library's words if it does not."""

    fault: str = PathFault.NONE
    detail: str = ""

    @property
    def trusted(self) -> bool:
        """Whether a valid path was found."""
        return not self.fault

    @property
    def temporary(self) -> bool:
        """Whether the fault may heal by itself."""
        return self.fault == PathFault.UNREACHABLE
