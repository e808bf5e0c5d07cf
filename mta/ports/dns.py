"""Names: what look-ups come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class DnsStatus(Enum):
    """What a look-up came to. TEMPORARY covers SERVFAIL, timeout and bogus: unknown, therefore try later."""

    OK = "ok"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class MxRecord:
    """One MX: preference and host (lower case, no final dot; empty for the null MX of RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class MxAnswer:
    """MX records of a domain. `secure`: the AD bit of a resolver we believe. `detail`: why TEMPORARY.

    `canonical`: the name that an alias led to; empty where the domain is none.
    """

    status: DnsStatus
    records: tuple[MxRecord, ...] = ()
    secure: bool = False
    detail: str = ""
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """A and AAAA records of a host, as text, IPv6 first where both exist.

    `secure` covers the whole way there; `canonical` is the name that aliases led to, empty where the host is none.
    """

    status: DnsStatus
    addresses: tuple[str, ...] = ()
    secure: bool = False
    detail: str = ""
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class TxtAnswer:
    """TXT records of a name, each with its strings joined (RFC 7208 §3.3)."""

    status: DnsStatus
    records: tuple[bytes, ...] = ()
    secure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamesAnswer:
    """PTR records of an address, or the CNAME of a name: names in lower case without a final dot."""

    status: DnsStatus
    names: tuple[str, ...] = ()
    secure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TlsaRecord:
    """One TLSA record as it was published (RFC 6698 §2.1); the numbers mean nothing to us yet."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class TlsaAnswer:
    """TLSA records of a name. They count only if `secure` (RFC 7672 §2.1.1)."""

    status: DnsStatus
    records: tuple[TlsaRecord, ...] = ()
    secure: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CertAnswer:
    """The certificates (DER) of the CERT records of type PKIX of a name (RFC 4398 §2.1)."""

    status: DnsStatus
    certificates: tuple[bytes, ...] = ()
    secure: bool = False
    detail: str = ""


class SenderNames(Protocol):
    """The look-ups that judging a sender takes. Never raises for an answer that is merely bad: that is data."""

    async def txt(self, name: str) -> TxtAnswer:
        """The TXT records of `name` (A-labels)."""
        ...

    async def a(self, host: str) -> AddressAnswer:
        """The IPv4 addresses of `host` alone, CNAMEs followed."""
        ...

    async def aaaa(self, host: str) -> AddressAnswer:
        """The IPv6 addresses of `host` alone, CNAMEs followed."""
        ...

    async def ptr(self, address: str) -> NamesAnswer:
        """The names of an IP address."""
        ...

    async def mx(self, domain: str) -> MxAnswer:
        """The MX records of `domain` (A-labels)."""
        ...


class Resolver(SenderNames, Protocol):
    """DNS, all of it."""

    async def addresses(self, host: str) -> AddressAnswer:
        """The addresses of `host`, CNAMEs followed."""
        ...

    async def tlsa(self, name: str) -> TlsaAnswer:
        """The TLSA records of `name`, such as `_25._tcp.mx.x.example`, CNAMEs followed."""
        ...

    async def smimea(self, name: str) -> TlsaAnswer:
        """The SMIMEA records of `name`: their form is that of TLSA (RFC 8162 §2)."""
        ...

    async def cert(self, name: str) -> CertAnswer:
        """The CERT records of `name` that hold a certificate of PKIX."""
        ...

    async def cname(self, name: str) -> NamesAnswer:
        """Where `name` itself is an alias to: one name, not followed; `secure` is that of the alias alone."""
        ...
