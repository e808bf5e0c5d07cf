"""The `directory` object as the rest of the house sees it: where recipients' certificates are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mta.contract.frozen import parts
from mta.model.tls import RevocationList, TrustAnchors


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder of certificate files. `trust` is manual (who writes there vouches) or anchored."""

    path: str
    trust: str = "manual"


@dataclass(frozen=True, slots=True)
class LdapSource:
    """An LDAP server. `tls` is `ldaps`, `starttls` or `none`; the password was read from its file."""

    host: str
    port: int
    tls: str
    base: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca: TrustAnchors | None = None  # None: the system's
    addresses: tuple[str, ...] = ("mail", "proxyAddresses")
    certificates: tuple[str, ...] = ("userCertificate;binary", "userSMIMECertificate;binary")
    object_filter: str = ""
    domains: tuple[str, ...] = ()  # empty: it is asked about every domain
    trust: str = "anchored"
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class SmimeaSource:
    """SMIMEA records in secure DNS."""


@dataclass(frozen=True, slots=True)
class CertSource:
    """CERT records in DNS."""


@dataclass(frozen=True, slots=True)
class HarvestedSource:
    """What was learned from signed mail. `approve` is manual (an administrator does) or automatic."""

    approve: str = "manual"


Source = FolderSource | LdapSource | SmimeaSource | CertSource | HarvestedSource


@dataclass(frozen=True, slots=True)
class StaticCertificates:
    """Certificates written in connectors: `addressed` by what they name, `domains` for whole domains (or `*.x`)."""

    addressed: tuple[tuple[bytes, str], ...] = ()  # each with the file it stands in
    domains: Mapping[str, tuple[tuple[bytes, str], ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", MappingProxyType(dict(self.domains)))

    def __reduce__(self) -> tuple[object, ...]:
        return parts(self)

    def __bool__(self) -> bool:
        return bool(self.addressed or self.domains)


@dataclass(frozen=True, slots=True)
class Trust:
    """When a certificate of S/MIME is believed.

    `revocation` is soft, hard or off. `fetch` holds hosts (`host`, `*.x`, `host:port`) that revocation lists may be
    fetched from; `fetch_public` allows every public address. `lists` were read from files.
    """

    anchors: TrustAnchors | None = None
    intermediates: tuple[bytes, ...] = ()
    revocation: str = "soft"
    fetch: tuple[str, ...] = ()
    fetch_public: bool = True
    lists: tuple[RevocationList, ...] = ()
    min_rsa_bits: int = 2048
    require_usage: bool = False  # extended key usage has to be stated, and name emailProtection


@dataclass(frozen=True, slots=True)
class Directory:
    """The `directory` object."""

    sources: tuple[Source, ...] = ()
    trust: Trust = field(default_factory=Trust)
    keep_found: float = 3600.0
    keep_missing: float = 300.0
    keep_entries: int = 10_000
    timeout: float = 10.0  # of one source
    static: StaticCertificates = field(default_factory=StaticCertificates)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can ever be found."""
        return not self.sources and not self.static
