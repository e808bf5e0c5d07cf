"""What is known of a TLS connection and of its peer's certificates, and the levels a contract can ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    signed: str = ""  # how its issuer signed it, e.g. `sha256WithRSAEncryption`


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """A finished handshake. `chain` is the peer's, leaf first, as sent; empty if it showed no certificate."""

    version: str  # `1.2`, `1.3`
    cipher: str
    group: str = ""
    sni: str = ""
    chain: tuple[CertificateFacts, ...] = ()
    staple: bytes = field(default=b"", repr=False)  # the OCSP response (DER) the server sent along, if any

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
        value = certificate.spki_sha256 if self.kind == "spki-sha256" else certificate.sha256
        return value == self.value

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
    path: tuple[CertificateFacts, ...] = field(default=(), compare=False)  # leaf to anchor, where one was found

    @property
    def trusted(self) -> bool:
        """Whether a valid path was found."""
        return not self.fault

    @property
    def temporary(self) -> bool:
        """Whether the fault may heal by itself."""
        return self.fault == PathFault.UNREACHABLE


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list of an issuer (RFC 5280 §5), read once. Two are the same if their octets are (`sha256`)."""

    sha256: str
    der: bytes = field(compare=False, repr=False)
    issuer: bytes = field(compare=False, repr=False)  # its name in DER
    issuer_name: str = field(compare=False)  # RFC 4514
    this_update: float = field(compare=False)
    next_update: float = field(compare=False)  # 0: it does not say
    serials: frozenset[int] = field(compare=False, repr=False)
    points: tuple[str, ...] = field(default=(), compare=False)  # distribution points it is limited to
    scope: str = field(default="", compare=False)  # `leaf` or `authority`: it is about such certificates only
    fault: str = field(default="", compare=False)  # why it cannot be used at all


class RevocationState:
    """What can be said of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RevocationStatus:
    """What was said of a certificate, and where (`list`, `staple`), or why nothing was."""

    state: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.detail}"


OFF, SOFT, HARD = "off", "soft", "hard"


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a contract demands: `hard` that each certificate is known not to be revoked, `soft` that none is revoked."""

    mode: str = OFF
    lists: tuple[RevocationList, ...] = ()


NO_REVOCATION = Revocation()
"""Nobody asks."""
