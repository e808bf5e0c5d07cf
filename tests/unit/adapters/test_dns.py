"""The resolver against a fake name server: every way an answer can go, the cache, and shared look-ups."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator

import dns.flags
import dns.rdtypes.ANY.TLSA
import pytest

from mta.adapters import dns as adapter
from mta.adapters.dns import DnsResolver
from mta.ports import AddressAnswer, DnsStatus, MxAnswer, MxRecord, NamesAnswer, TlsaAnswer, TlsaRecord
from tests.support.dns_server import NXDOMAIN, REFUSED, SERVFAIL, SILENT, Answer, DnsServer, dns_server
from tests.support.patience import patient

ZONE = {
    ("b.example", "MX"): ["20 MX2.b.example.", "10 mx.b.example."],
    ("null.example", "MX"): ["0 ."],
    ("mx.b.example", "A"): ["192.0.2.1"],
    ("several.example", "A"): ["192.0.2.1", "192.0.2.2"],
    ("mx.b.example", "AAAA"): ["2001:db8::1"],
    ("mx2.b.example", "A"): ["192.0.2.3"],
    ("alias.example", "CNAME"): ["mx2.b.example."],
    ("loop.example", "CNAME"): ["pool.example."],
    ("pool.example", "CNAME"): ["loop.example."],
    ("fail.example", "MX"): SERVFAIL,
    ("fail.example", "A"): SERVFAIL,
    ("fail.example", "AAAA"): SERVFAIL,
    ("refused.example", "MX"): REFUSED,
    ("half.example", "A"): ["192.0.2.4"],
    ("half.example", "AAAA"): SERVFAIL,
    ("worse.example", "A"): NXDOMAIN,
    ("worse.example", "AAAA"): SERVFAIL,
    ("large.example", "MX"): Answer(("10 mx.b.example.",), truncated=True),
    ("silent.example", "MX"): SILENT,
    ("sub.empty.example", "A"): ["192.0.2.5"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    with dns_server(ZONE) as running:
        yield running


@pytest.fixture
def resolver(server: DnsServer) -> DnsResolver:
    return DnsResolver([tuple(server)], timeout=3.0)


async def test_mx_records_come_best_first_in_lower_case_without_a_final_dot(resolver: DnsResolver) -> None:
    assert await resolver.mx("B.example.") == MxAnswer(
        DnsStatus.OK, (MxRecord(10, "mx.b.example"), MxRecord(20, "mx2.b.example"))
    )


async def test_odd_octets_in_a_name_are_asked_for_as_they_are() -> None:
    """Macros of SPF make such names: RFC 7208 §7.3."""
    with dns_server({("a\\\\b\\032c.o.example", "TXT"): ['"x"']}) as server:
        resolver = DnsResolver([tuple(server)])
        assert (await resolver.txt("a\\b c.o.example")).records == (b"x",)
        assert (await resolver.txt("\u00fc.o.example")).status is DnsStatus.NXDOMAIN


async def test_the_null_mx_has_an_empty_host(resolver: DnsResolver) -> None:
    assert (await resolver.mx("null.example")).records == (MxRecord(0, ""),)


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("mx.b.example", DnsStatus.NODATA),
        ("empty.example", DnsStatus.NODATA),
        ("nowhere.example", DnsStatus.NXDOMAIN),
        ("fail.example", DnsStatus.TEMPORARY),
        ("refused.example", DnsStatus.TEMPORARY),
        ("loop.example", DnsStatus.TEMPORARY),
        ("a..example", DnsStatus.NXDOMAIN),
        ("x" * 64 + ".example", DnsStatus.NXDOMAIN),
    ],
)
async def test_a_bad_answer_is_data(resolver: DnsResolver, domain: str, status: DnsStatus) -> None:
    answer = await resolver.mx(domain)
    assert answer.status is status
    assert answer.records == ()
    assert bool(answer.detail) == (status is DnsStatus.TEMPORARY or domain in ("a..example", "x" * 64 + ".example"))


async def test_silence_is_temporary_within_the_timeout(server: DnsServer) -> None:
    async with asyncio.timeout(patient(5)):
        assert (await DnsResolver([tuple(server)], timeout=0.3).mx("silent.example")).status is DnsStatus.TEMPORARY


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("mx.b.example", AddressAnswer(DnsStatus.OK, ("2001:db8::1", "192.0.2.1"))),
        ("MX2.B.EXAMPLE.", AddressAnswer(DnsStatus.OK, ("192.0.2.3",))),
        ("alias.example", AddressAnswer(DnsStatus.OK, ("192.0.2.3",), canonical="mx2.b.example")),
        ("b.example", AddressAnswer(DnsStatus.NODATA)),
        ("nowhere.example", AddressAnswer(DnsStatus.NXDOMAIN)),
        ("192.0.2.9", AddressAnswer(DnsStatus.OK, ("192.0.2.9",))),
        ("[192.0.2.9]", AddressAnswer(DnsStatus.OK, ("192.0.2.9",))),
        ("[ipv6:2001:DB8::9]", AddressAnswer(DnsStatus.OK, ("2001:db8::9",))),
        ("2001:db8::9", AddressAnswer(DnsStatus.OK, ("2001:db8::9",))),
        ("localhost", AddressAnswer(DnsStatus.OK, ("::1", "127.0.0.1"))),
    ],
)
async def test_addresses_of_both_families(resolver: DnsResolver, host: str, answer: AddressAnswer) -> None:
    assert await resolver.addresses(host) == answer


async def test_all_addresses_are_told(resolver: DnsResolver) -> None:
    assert sorted((await resolver.addresses("several.example")).addresses) == ["192.0.2.1", "192.0.2.2"]


async def test_one_family_suffices_and_without_any_unknown_wins(resolver: DnsResolver) -> None:
    half = await resolver.addresses("half.example")
    assert (half.status, half.addresses) == (DnsStatus.OK, ("192.0.2.4",))
    assert (await resolver.addresses("worse.example")).status is DnsStatus.TEMPORARY
    assert (await resolver.addresses("fail.example")).status is DnsStatus.TEMPORARY


async def test_a_truncated_answer_is_asked_for_again_over_tcp(server: DnsServer, resolver: DnsResolver) -> None:
    assert (await resolver.mx("large.example")).records == (MxRecord(10, "mx.b.example"),)
    assert server.over_tcp["large.example", "MX"] == 1


@pytest.mark.parametrize("trust", [True, False])
async def test_ad_counts_only_where_it_is_trusted(trust: bool) -> None:
    zone = {
        ("s.example", "MX"): ["10 mx.s.example."],
        ("mx.s.example", "A"): ["192.0.2.1"],
        ("mx.s.example", "AAAA"): Answer(("2001:db8::1",), secure=False),
        ("mx2.s.example", "A"): ["192.0.2.1"],
    }
    with dns_server(zone, secure=True) as server:
        resolver = DnsResolver([tuple(server)], trust)
        assert (await resolver.mx("s.example")).secure is trust
        assert (await resolver.mx("none.s.example")).secure is trust
        assert (await resolver.addresses("mx2.s.example")).secure is trust
        assert (await resolver.addresses("mx.s.example")).secure is False  # one family alone is not
        flags, edns, payload = server.seen_flags[0]
        assert bool(flags & dns.flags.AD) is trust
        assert edns & dns.flags.DO
        assert payload == 1232


dns.rdtypes.ANY.TLSA.TLSA._cert_length_by_mtype = {}  # the server must be able to say it
TLSA = ("3 1 1 " + "ab" * 32, "2 0 0 00", "3 1 2 abcd")


async def test_tlsa_records_come_as_they_were_published_and_failures_are_told_apart() -> None:
    zone = {
        ("_25._tcp.mx.s.example", "TLSA"): list(TLSA),
        ("_25._tcp.alias.s.example", "CNAME"): ["_25._tcp.mx.s.example."],
        ("_25._tcp.bogus.s.example", "TLSA"): SERVFAIL,
    }
    with dns_server(zone, secure=True) as server:
        resolver = DnsResolver([tuple(server)], trust_ad=True, timeout=0.5)
        records = (TlsaRecord(2, 0, 0, b"\0"), TlsaRecord(3, 1, 1, b"\xab" * 32), TlsaRecord(3, 1, 2, b"\xab\xcd"))
        for name in ("_25._tcp.mx.s.example", "_25._tcp.alias.s.example"):
            answer = await resolver.tlsa(name)
            assert tuple(sorted(answer.records, key=lambda r: (r.usage, r.matching))) == records
            assert (answer.status, answer.secure) == (DnsStatus.OK, True)
        assert await resolver.tlsa("_25._tcp.none.s.example") == TlsaAnswer(DnsStatus.NXDOMAIN, secure=True)
        assert (await resolver.tlsa("_25._tcp.bogus.s.example")).status is DnsStatus.TEMPORARY


async def test_certificates_in_dns() -> None:
    large = base64.b64encode(b"\x30" * 1500).decode()  # more than one datagram holds
    zone = {
        ("abc._smimecert.s.example", "SMIMEA"): list(TLSA),
        ("bob.s.example", "CERT"): [f"PKIX 0 0 {large}", "PGP 0 0 AQID", "1 2 8 MAUA"],
    }
    with dns_server(zone, secure=True) as server:
        resolver = DnsResolver([tuple(server)], trust_ad=True)
        answer = await resolver.smimea("abc._smimecert.s.example")
        assert {(r.usage, r.selector, r.matching) for r in answer.records} == {(2, 0, 0), (3, 1, 1), (3, 1, 2)}
        assert answer.secure
        found = await resolver.cert("bob.s.example")
        assert set(found.certificates) == {b"\x30" * 1500, b"\x30\x05\x00"}
        assert found.secure
        assert (await resolver.cert("alice.s.example")).status is DnsStatus.NXDOMAIN


async def test_an_alias_is_told_with_its_own_security() -> None:
    zone = {
        ("alias.s.example", "CNAME"): Answer(("Next.s.example.",), secure=True),
        ("next.s.example", "CNAME"): Answer(("host.u.example.",), secure=True),
        ("host.u.example", "A"): Answer(("192.0.2.1",), secure=False),
        ("d.s.example", "CNAME"): ["e.s.example."],
        ("e.s.example", "MX"): ["10 mx.s.example."],
    }
    with dns_server(zone, secure=True) as server:
        resolver = DnsResolver([tuple(server)], trust_ad=True)
        found = await resolver.addresses("alias.s.example")
        assert (found.secure, found.canonical) == (False, "host.u.example")
        assert await resolver.cname("alias.s.example") == NamesAnswer(DnsStatus.OK, ("next.s.example",), secure=True)
        assert (await resolver.cname("host.u.example")).status is DnsStatus.NODATA
        assert (await resolver.mx("d.s.example")).canonical == "e.s.example"


async def test_a_family_that_is_suppressed_does_not_make_the_other_insecure() -> None:
    zone = {("mx.s.example", "A"): ["192.0.2.1"], ("mx.s.example", "AAAA"): SERVFAIL}
    with dns_server(zone, secure=True) as server:
        found = await DnsResolver([tuple(server)], trust_ad=True, timeout=0.5).addresses("mx.s.example")
        assert (found.addresses, found.secure) == (("192.0.2.1",), True)


async def test_answers_are_kept_for_their_time_the_negative_too() -> None:
    zone = {("k.example", "MX"): ["10 mx.k.example."], ("zero.example", "MX"): Answer(("10 mx.",), ttl=0)}
    with dns_server(zone) as server:
        resolver = DnsResolver([tuple(server)])
        for _ in range(3):
            await resolver.mx("k.example")
            await resolver.mx("K.example.")
            await resolver.mx("none.example")
            await resolver.addresses("k.example")
            await resolver.mx("zero.example")
        assert server.queries["k.example", "MX"] == 1
        assert server.queries["none.example", "MX"] == 1
        assert server.queries["k.example", "A"] == 1
        assert server.queries["zero.example", "MX"] == 3


async def test_what_has_expired_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with dns_server({("k.example", "MX"): Answer(("10 a.",), ttl=100)}) as server:
        resolver = DnsResolver([tuple(server)])
        await resolver.mx("k.example")
        await resolver.mx("none.example")
        real = adapter.time.monotonic
        monkeypatch.setattr(adapter.time, "monotonic", lambda: real() + 61)
        await resolver.mx("k.example")
        await resolver.mx("none.example")
        assert server.queries["k.example", "MX"] == 1
        assert server.queries["none.example", "MX"] == 2  # the SOA's MINIMUM is 60
        monkeypatch.setattr(adapter.time, "monotonic", lambda: real() + 101)
        await resolver.mx("k.example")
        assert server.queries["k.example", "MX"] == 2


async def test_a_temporary_failure_is_not_kept() -> None:
    with dns_server({("f.example", "MX"): SERVFAIL}) as server:
        resolver = DnsResolver([tuple(server)], timeout=0.5)
        assert (await resolver.mx("f.example")).status is DnsStatus.TEMPORARY
        server.set("f.example", "MX", ["10 mx.f.example."])
        assert (await resolver.mx("f.example")).status is DnsStatus.OK


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "CACHE_ENTRIES", 3)
    zone = {(f"{n}.example", "MX"): ["10 mx."] for n in range(5)}
    with dns_server(zone) as server:
        resolver = DnsResolver([tuple(server)])
        for n in (0, 1, 2, 3, 4, 4, 0):
            await resolver.mx(f"{n}.example")
        assert [server.queries[f"{n}.example", "MX"] for n in range(5)] == [2, 1, 1, 1, 1]


async def test_the_cache_is_bounded_by_octets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "CACHE_OCTETS", 2_500)
    text = " ".join(['"' + "x" * 250 + '"'] * 4)  # some 1,050 octets: two fit
    vast = Answer(tuple(text.replace("x", letter) for letter in "abcd"), truncated=True)
    with dns_server({(f"{n}.example", "TXT"): [text] for n in range(4)} | {("vast.example", "TXT"): vast}) as server:
        resolver = DnsResolver([tuple(server)])
        for n in (0, 1, 2, 3, 3, 2, 0):
            assert (await resolver.txt(f"{n}.example")).records == (b"x" * 1000,)
        assert [server.queries[f"{n}.example", "TXT"] for n in range(4)] == [2, 1, 1, 1]
        for asked in (1, 2):  # there is no room for it, but it is told
            assert len((await resolver.txt("vast.example")).records) == 4
            assert server.over_tcp["vast.example", "TXT"] == asked


async def test_an_answer_for_no_time_is_not_kept(server: DnsServer) -> None:
    with dns_server({("z.example", "TXT"): Answer(('"x"',), ttl=0)}) as server:
        resolver = DnsResolver([tuple(server)])
        await resolver.txt("z.example")
        assert not resolver._cache


async def test_look_ups_under_way_are_shared_and_survive_who_gives_up() -> None:
    with dns_server({("s.example", "MX"): Answer(("10 mx.",), delay=0.2)}) as server:
        resolver = DnsResolver([tuple(server)])
        tasks = [asyncio.ensure_future(resolver.mx("s.example")) for _ in range(20)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks[1:])
        assert {answer.status for answer in answers} == {DnsStatus.OK}
        assert server.queries["s.example", "MX"] == 1


async def test_a_system_without_resolv_conf_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def missing(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration("cannot open /etc/resolv.conf")

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", missing)
    answer = await DnsResolver().mx("b.example")
    assert answer.status is DnsStatus.TEMPORARY
    assert "resolv.conf" in answer.detail


async def test_a_dead_name_server_is_passed_over(server: DnsServer) -> None:
    resolver = DnsResolver([("not-an-address", 53), tuple(server)], timeout=3.0)
    assert (await resolver.mx("b.example")).status is DnsStatus.OK


def test_dnspython_is_not_loaded_before_it_is_needed() -> None:
    import subprocess

    code = "import sys, mta.adapters.dns; sys.exit('dns.resolver' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
