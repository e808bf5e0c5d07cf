"""A Resolver without a network: a dict of (name, type) to records, and a count of what was asked.

    resolver = FakeResolver({("b.example", "TXT"): ["v=spf1 -all"], ("mx.b.example", "A"): ["192.0.2.1"]})
    resolver.queries[("b.example", "TXT")]            # how often it was asked

Records are text (TXT may be bytes): `10 mx.b.example` for MX, a name for PTR (asked by the reverse name) and CNAME,
which is followed, `3 1 1 HEX` for TLSA. A value may also be TEMPORARY or TIMEOUT. Names without an
entry do not exist; names with entries of another type, or below them, have no data.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping

from mta.ports import (
    AddressAnswer,
    CertAnswer,
    DnsStatus,
    MxAnswer,
    MxRecord,
    NamesAnswer,
    TlsaAnswer,
    TlsaRecord,
    TxtAnswer,
)

Records = Iterable[str | bytes]
TEMPORARY = "SERVFAIL"
TIMEOUT = "TIMEOUT"


class FakeResolver:
    """ports.Resolver. `zone` may be changed between two questions; `secure`: every answer is.

    `clock` counts seconds: each question takes `delay` of them, and it can be handed on as the time.
    """

    def __init__(
        self, zone: Mapping[tuple[str, str], Records | str] | None = None, *, secure: bool = False, delay: float = 0.0
    ) -> None:
        self.zone: dict[tuple[str, str], list[str | bytes] | str] = {}
        self.queries: Counter[tuple[str, str]] = Counter()
        self.secure = secure
        self.delay = delay
        self.clock = 0.0
        for (name, rdtype), value in (zone or {}).items():
            self.set(name, rdtype, value)

    def set(self, name: str, rdtype: str, value: Records | str) -> None:
        """Records of one name and type, TEMPORARY or TIMEOUT."""
        self.zone[_plain(name), rdtype.upper()] = value if isinstance(value, str) else list(value)

    @property
    def asked(self) -> int:
        """How many questions there were."""
        return self.queries.total()

    def monotonic(self) -> float:
        """The time that all questions together took."""
        return self.clock

    def now(self) -> float:
        """The same as epoch seconds."""
        return self.clock

    async def txt(self, name: str) -> TxtAnswer:
        status, records, detail = self._look_up(name, "TXT")
        return TxtAnswer(status, tuple(_octets(record) for record in records), self.secure, detail)

    async def a(self, host: str) -> AddressAnswer:
        status, records, detail = self._look_up(host, "A")
        return AddressAnswer(status, tuple(str(record) for record in records), self.secure, detail)

    async def aaaa(self, host: str) -> AddressAnswer:
        status, records, detail = self._look_up(host, "AAAA")
        return AddressAnswer(status, tuple(str(record) for record in records), self.secure, detail)

    async def addresses(self, host: str) -> AddressAnswer:
        both = (await self.aaaa(host), await self.a(host))
        found = tuple(address for answer in both for address in answer.addresses)
        for status in (DnsStatus.TEMPORARY, DnsStatus.NODATA, DnsStatus.NXDOMAIN):
            if not found and any(answer.status is status for answer in both):
                return AddressAnswer(status, (), self.secure, both[0].detail or both[1].detail)
        return AddressAnswer(DnsStatus.OK, found, self.secure)

    async def ptr(self, address: str) -> NamesAnswer:
        status, records, detail = self._look_up(ipaddress.ip_address(address).reverse_pointer, "PTR")
        return NamesAnswer(status, tuple(_plain(str(record)) for record in records), self.secure, detail)

    async def mx(self, domain: str) -> MxAnswer:
        status, records, detail = self._look_up(domain, "MX")
        pairs = (str(record).split() for record in records)
        ordered = sorted((int(preference), _plain(host)) for preference, host in pairs)
        return MxAnswer(status, tuple(MxRecord(*pair) for pair in ordered), self.secure, detail)

    async def tlsa(self, name: str) -> TlsaAnswer:
        status, records, detail = self._look_up(name, "TLSA")
        return TlsaAnswer(status, tuple(_tlsa(str(record)) for record in records), self.secure, detail)

    async def smimea(self, name: str) -> TlsaAnswer:
        status, records, detail = self._look_up(name, "SMIMEA")
        return TlsaAnswer(status, tuple(_tlsa(str(record)) for record in records), self.secure, detail)

    async def cert(self, name: str) -> CertAnswer:
        """Records are the certificates' octets."""
        status, records, detail = self._look_up(name, "CERT")
        return CertAnswer(status, tuple(_octets(record) for record in records), self.secure, detail)

    async def cname(self, name: str) -> NamesAnswer:
        status, records, detail = self._look_up(name, "CNAME")
        return NamesAnswer(status, tuple(_plain(str(record)) for record in records), self.secure, detail)

    def _look_up(self, name: str, rdtype: str) -> tuple[DnsStatus, list[str | bytes], str]:
        name = _plain(name)
        self.queries[name, rdtype] += 1
        self.clock += self.delay
        for _ in range(9):  # aliases
            found = self.zone.get((name, rdtype))
            if isinstance(found, str):
                return DnsStatus.TEMPORARY, [], f"{rdtype} of {name}: {found}"
            if found:
                return DnsStatus.OK, found, ""
            alias = self.zone.get((name, "CNAME"))
            if not alias or isinstance(alias, str):
                break
            name = _plain(str(alias[0]))
        exists = any(other == name or other.endswith(f".{name}") for other, _ in self.zone)
        return (DnsStatus.NODATA if exists else DnsStatus.NXDOMAIN), [], ""


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _tlsa(text: str) -> TlsaRecord:
    usage, selector, matching, data = text.split()
    return TlsaRecord(int(usage), int(selector), int(matching), bytes.fromhex(data))


def _octets(record: str | bytes) -> bytes:
    return record if isinstance(record, bytes) else record.encode()
