"""DNS by dnspython's stub resolver, with a cache that keeps to the records' times and shares look-ups under way.

dnspython is imported when the first question is asked: it takes long to load.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from mta.model.address import ascii_lower
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

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.message
    import dns.resolver

CACHE_ENTRIES = 10_000
CACHE_OCTETS = 32 * 1024 * 1024  # of answers as they came; what Python makes of them is several times as much
MAX_TTL = 86_400.0  # seconds; RFC 1035 §3.2.1 knows years
MAX_NEGATIVE_TTL = 900.0  # RFC 2308 §5: minutes to hours are sensible
_PKIX = 1  # RFC 4398 §2.1: the certificate type
PAYLOAD = 1232  # octets of UDP: what passes without fragments


@dataclass(frozen=True, slots=True)
class _Found:
    """What one look-up came to, in dnspython's records; kept until `expires` (monotonic seconds)."""

    status: DnsStatus
    records: tuple[Any, ...] = ()
    secure: bool = False
    detail: str = ""
    expires: float = 0.0
    octets: int = 0  # of the answer on the wire
    canonical: str = ""  # where an alias led to


class DnsResolver:
    """ports.Resolver. `nameservers` are (address, port); without any the system's are asked.

    The AD bit counts only with `trust_ad`: set it where the way to these name servers is safe and they validate
    (RFC 6840 §5.8). `timeout`: seconds for one look-up, all retries included. Bad answers are data: SERVFAIL, timeouts,
    loops and refusals are TEMPORARY, and are not kept. The cache is bounded by entries and octets, the oldest go first.
    """

    def __init__(
        self, nameservers: Sequence[tuple[str, int]] = (), trust_ad: bool = False, *, timeout: float = 10.0
    ) -> None:
        self._nameservers = tuple(nameservers)
        self._trust_ad = trust_ad
        self._timeout = timeout
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._cache: dict[tuple[str, str], _Found] = {}
        self._octets = 0
        self._under_way: dict[tuple[str, str], asyncio.Task[_Found]] = {}

    async def mx(self, domain: str) -> MxAnswer:
        """The MX records of `domain` (A-labels), best first. The null MX (RFC 7505) has an empty host."""
        if _known(domain) is not None:
            return MxAnswer(DnsStatus.NODATA)
        answer = await self._look_up(domain, "MX")
        records = [MxRecord(int(r.preference), _host(r.exchange)) for r in answer.records]
        ordered = tuple(sorted(records, key=lambda record: (record.preference, record.host)))
        return MxAnswer(answer.status, ordered, answer.secure, answer.detail, answer.canonical)

    async def addresses(self, host: str) -> AddressAnswer:
        """The addresses of `host`, CNAMEs followed; `localhost` and address literals without a question."""
        local = _known(host)
        if local is not None:
            return local
        both = self._kept(host, "AAAA"), self._kept(host, "A")
        v6, v4 = both if all(both) else await asyncio.gather(self._look_up(host, "AAAA"), self._look_up(host, "A"))
        assert v6 is not None
        assert v4 is not None
        return _merge(v6, v4)

    async def txt(self, name: str) -> TxtAnswer:
        """The TXT records of `name`, each with its strings joined."""
        answer = await self._look_up(name, "TXT")
        records = tuple(b"".join(record.strings) for record in answer.records)
        return TxtAnswer(answer.status, records, answer.secure, answer.detail)

    async def a(self, host: str) -> AddressAnswer:
        """The IPv4 addresses of `host` alone."""
        return _merge(await self._look_up(host, "A"))

    async def aaaa(self, host: str) -> AddressAnswer:
        """The IPv6 addresses of `host` alone."""
        return _merge(await self._look_up(host, "AAAA"))

    async def ptr(self, address: str) -> NamesAnswer:
        """The names of an IP address (RFC 1035 §3.5, RFC 3596 §2.5)."""
        answer = await self._look_up(ipaddress.ip_address(address).reverse_pointer, "PTR")
        names = tuple(_host(record.target) for record in answer.records)
        return NamesAnswer(answer.status, names, answer.secure, answer.detail)

    async def tlsa(self, name: str) -> TlsaAnswer:
        """The TLSA records of `name`, CNAMEs followed."""
        _take_odd_digests()
        return _associations(await self._look_up(name, "TLSA"))

    async def smimea(self, name: str) -> TlsaAnswer:
        """The SMIMEA records of `name`, CNAMEs followed."""
        _take_odd_digests()
        return _associations(await self._look_up(name, "SMIMEA"))

    async def cert(self, name: str) -> CertAnswer:
        """The certificates of the CERT records of `name`."""
        answer = await self._look_up(name, "CERT")
        certificates = tuple(bytes(r.certificate) for r in answer.records if int(r.certificate_type) == _PKIX)
        return CertAnswer(answer.status, certificates, answer.secure, answer.detail)

    async def cname(self, name: str) -> NamesAnswer:
        """Where `name` itself is an alias to."""
        answer = await self._look_up(name, "CNAME")
        names = tuple(_host(record.target) for record in answer.records)
        return NamesAnswer(answer.status, names, answer.secure, answer.detail)

    # --- the cache

    def _kept(self, name: str, rdtype: str) -> _Found | None:
        cached = self._cache.get((_plain(name), rdtype))
        return cached if cached is not None and cached.expires > time.monotonic() else None

    async def _look_up(self, name: str, rdtype: str) -> _Found:
        """From the cache, from a look-up that is under way, or from a new one."""
        kept = self._kept(name, rdtype)
        if kept is not None:
            return kept
        key = (_plain(name), rdtype)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._ask(*key))
            task.add_done_callback(partial(self._done, key))
        return await asyncio.shield(task)  # who gives up does not take the answer away from the others

    def _done(self, key: tuple[str, str], task: asyncio.Task[_Found]) -> None:
        self._under_way.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        self._forget(key)
        if answer.status is DnsStatus.TEMPORARY or answer.expires <= time.monotonic():
            return
        self._cache[key] = answer
        self._octets += answer.octets
        while len(self._cache) > CACHE_ENTRIES or self._octets > CACHE_OCTETS:
            self._forget(next(iter(self._cache)))  # the oldest

    def _forget(self, key: tuple[str, str]) -> None:
        cached = self._cache.pop(key, None)
        self._octets -= cached.octets if cached else 0

    # --- dnspython

    async def _ask(self, name: str, rdtype: str) -> _Found:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            # label by label: a backslash in a name that SPF's macros made is a backslash, no escape
            qname = dns.name.Name([label.encode("ascii") for label in (*name.split("."), "")])
        except (dns.exception.DNSException, UnicodeError) as error:
            return _Found(DnsStatus.NXDOMAIN, detail=f"{name!r} is no domain name: {error}")
        try:
            answer = await self._get_resolver().resolve(qname, rdtype, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            response = error.response(qname)  # type: ignore[no-untyped-call]
            return self._found(DnsStatus.NXDOMAIN, (), response, _negative_ttl(response))
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return _Found(DnsStatus.TEMPORARY, detail=f"{rdtype} of {name}: {error}")
        if answer.rrset is None:
            return self._found(DnsStatus.NODATA, (), answer.response, _negative_ttl(answer.response))
        result = self._found(DnsStatus.OK, tuple(answer.rrset), answer.response, answer.chaining_result.minimum_ttl)
        return result if answer.canonical_name == qname else replace(result, canonical=_host(answer.canonical_name))

    def _found(
        self, status: DnsStatus, records: tuple[Any, ...], response: dns.message.Message | None, ttl: float
    ) -> _Found:
        import dns.flags

        secure = self._trust_ad and response is not None and bool(response.flags & dns.flags.AD)
        octets = len(response.wire or b"") if response is not None else 0
        return _Found(status, records, secure, expires=time.monotonic() + min(ttl, MAX_TTL), octets=octets)

    def _get_resolver(self) -> dns.asyncresolver.Resolver:
        """The resolver, made at the first question. Raises dnspython's error if the system names no server."""
        if self._resolver is None:
            import dns.asyncresolver
            import dns.flags
            import dns.nameserver

            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(*nameserver) for nameserver in self._nameservers]
            resolver.lifetime = self._timeout
            resolver.timeout = min(2.0, self._timeout / 2)  # of one try
            resolver.use_edns(0, dns.flags.DO, PAYLOAD)
            # RFC 6840 §5.7: AD in a query says that we understand it in the answer
            resolver.flags = dns.flags.RD | dns.flags.AD if self._trust_ad else dns.flags.RD
            self._resolver = resolver
        return self._resolver


def _associations(answer: _Found) -> TlsaAnswer:
    records = tuple(TlsaRecord(int(r.usage), int(r.selector), int(r.mtype), bytes(r.cert)) for r in answer.records)
    return TlsaAnswer(answer.status, records, answer.secure, answer.detail)


def _merge(*answers: _Found) -> AddressAnswer:
    """One answer of several. Addresses of one family are good without the other; without any, unknown comes first.

    An answer that did not come says nothing of security: who suppresses AAAA must not make a signed A look unsigned.
    """
    addresses = tuple(str(record.address) for answer in answers for record in answer.records)
    secure = all(answer.secure for answer in answers if answer.status is not DnsStatus.TEMPORARY or not addresses)
    detail = next((answer.detail for answer in answers if answer.detail), "")
    canonical = next((answer.canonical for answer in answers if answer.canonical), "")
    if addresses:
        return AddressAnswer(DnsStatus.OK, addresses, secure, detail, canonical)
    for status in (DnsStatus.TEMPORARY, DnsStatus.NODATA, DnsStatus.NXDOMAIN):
        if any(answer.status is status for answer in answers):
            return AddressAnswer(status, (), secure, detail)
    return AddressAnswer(DnsStatus.TEMPORARY, detail="neither records nor a reason")


def _negative_ttl(response: dns.message.Message | None) -> float:
    """RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM; nothing is kept without an SOA."""
    import dns.rdatatype

    soas = [rrset for rrset in (response.authority if response else ()) if rrset.rdtype == dns.rdatatype.SOA]
    return min([float(MAX_NEGATIVE_TTL), *(float(min(soa.ttl, soa[0].minimum)) for soa in soas)]) if soas else 0.0


def _take_odd_digests() -> None:
    """Have dnspython read digests of any length: it throws the whole answer away for one odd record beside good ones.

    rfc/dane/parse.py leaves such records out (RFC 6698 §4.1).
    """
    from dns.rdtypes.ANY.SMIMEA import SMIMEA
    from dns.rdtypes.ANY.TLSA import TLSA

    TLSA._cert_length_by_mtype = {}
    SMIMEA._cert_length_by_mtype = {}


def _plain(name: str) -> str:
    return ascii_lower(name).removesuffix(".")


def _host(name: Any) -> str:
    """A name in an answer as text: lower case, no final dot; the root (null MX) is empty."""
    return str(name.to_text(omit_final_dot=True)).lower().removesuffix(".")


@lru_cache(maxsize=4096)
def _known(host: str) -> AddressAnswer | None:
    """Addresses that need no question: those of localhost (RFC 6761 §6.3) and of literals."""
    name = _plain(host)
    if name == "localhost" or name.endswith(".localhost"):
        return AddressAnswer(DnsStatus.OK, ("::1", "127.0.0.1"))
    literal = name[1:-1].removeprefix("ipv6:") if name.startswith("[") and name.endswith("]") else name
    if not literal or not (literal[-1].isdigit() or ":" in literal):
        return None
    try:
        return AddressAnswer(DnsStatus.OK, (str(ipaddress.ip_address(literal)),))
    except ValueError:
        return None
