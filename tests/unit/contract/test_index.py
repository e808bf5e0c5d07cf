"""The look-ups of the index against a plain scan over all connectors."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.domains import Domain
from mta.contract.inbound import ClientCertificate, Inbound, InboundTls
from mta.contract.index import ConnectorIndex
from mta.contract.server import Listener, Server
from mta.contract.values import HostPort
from mta.model.tls import CertificateFacts, Pin, TrustAnchors
from mta.rfc.pkix.names import match
from tests.support.effort import steps

SERVER = Server("mx.example", "postmaster@mx.example", "mx.example", (Listener(HostPort("127.0.0.1", 25)),))
CA = TrustAnchors("ca.pem", (b"x",), "x")
LABELS = st.sampled_from(["a", "b", "c"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(NAMES, NAMES.map(lambda name: f"*.{name}"))
NETWORKS = st.tuples(st.sampled_from(["10.0.0.0", "10.0.128.0", "10.1.0.0"]), st.integers(0, 32)).map(
    lambda made: ip_network(f"{made[0]}/{made[1]}", strict=False)
)


def index_of(*connectors: Connector, domains: tuple[Domain, ...] = ()) -> ConnectorIndex:
    named = {connector.name: connector for connector in (*connectors, Connector("default"))}
    return ConnectorIndex(Configuration(SERVER, {domain.name: domain for domain in domains}, named))


def leaf(*names: str, pin: str = "", addresses: tuple[str, ...] = ()) -> CertificateFacts:
    return CertificateFacts(b"", "", "", "", "f" * 64, pin, names, addresses, (), 0, 0, (), "")


def proving(name: str, certificate: ClientCertificate, **more: object) -> Connector:
    inbound = Inbound(tls=InboundTls(True, client_certificate=certificate))
    return replace(Connector(name, inbound=inbound), **more)


@given(st.lists(PATTERNS, unique=True, max_size=12), NAMES)
def test_a_claim_is_the_exact_name_or_else_the_longest_pattern(patterns: list[str], domain: str):
    index = index_of(*(Connector(f"c{i}", domains=(pattern,)) for i, pattern in enumerate(patterns)))
    wild = [p for p in patterns if p.startswith("*.") and domain.endswith(p[1:])]
    expected = domain if domain in patterns else max(wild, key=len, default=None)
    found = index.claim(domain)
    assert (found.domains[0] if found else None) == expected


@given(st.lists(PATTERNS, unique=True, max_size=12), NAMES)
def test_the_trace_names_every_other_connector_that_could_be_meant(patterns: list[str], domain: str):
    index = index_of(*(Connector(p, domains=(p,)) for p in patterns))
    found = index.claim(domain)
    related = {p for p in patterns if f".{domain}".endswith(f".{p.removeprefix('*.')}")}
    losers = index.claim_trace(domain)
    assert {name for name, _ in losers} == related - ({found.name} if found else set())
    assert len(losers) == len({name for name, _ in losers})


def test_the_trace_says_why_a_connector_lost():
    index = index_of(
        Connector("sub", domains=("*.p.example",)),
        Connector("long", domains=("*.a.p.example",)),
        Connector("exact", domains=("p.example",)),
    )
    assert index.claim_trace("p.example") == [
        ("sub", "*.p.example means subdomains of p.example, not p.example itself")
    ]
    assert index.claim_trace("x.a.p.example") == [
        ("sub", "*.p.example loses against a longer pattern"),
        ("exact", "claims p.example, not its subdomain x.a.p.example"),
    ]


def test_an_address_literal_is_nobodys_claim():
    index = index_of(Connector("a", domains=("*.0.2.1]", "*.example")))
    assert index.claim("[192.0.2.1]") is None
    assert index.claim_trace("[192.0.2.1]") == []
    assert index.claim("") is None


@given(st.lists(st.lists(NETWORKS, min_size=1, max_size=3), max_size=8), st.integers(0, 0x1FFFF))
def test_networks_are_found_longest_prefix_first(lists: list[list[object]], offset: int):
    connectors = [Connector(f"c{i}", inbound=Inbound(networks=tuple(nets))) for i, nets in enumerate(lists)]  # type: ignore[arg-type]
    address = ip_address(int(ip_address("10.0.0.0")) + offset)
    found = index_of(*connectors).by_network(address)
    longest = {
        c.name: max(n.prefixlen for n in c.inbound.networks if address in n)
        for c in connectors
        if any(address in n for n in c.inbound.networks)
    }
    assert {c.name for c in found} == set(longest)
    prefixes = [longest[c.name] for c in found]
    assert prefixes == sorted(prefixes, reverse=True)


def test_a_mapped_address_is_the_ipv4_address_it_means():
    index = index_of(
        Connector("a", inbound=Inbound(networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))))
    )
    assert [c.name for c in index.by_network(ip_address("::ffff:192.0.2.7"))] == ["a"]
    assert [c.name for c in index.by_network(ip_address("2001:db8::1"))] == ["a"]
    assert index.by_network(ip_address("::c000:207")) == ()


def test_only_sessions_without_a_claim_are_identified():
    proof = Inbound(networks=(ip_network("192.0.2.0/24"),))
    index = index_of(
        Connector("claims", domains=("p.example",), inbound=proof),
        Connector("relays", domains=("q.example",), relay=True, inbound=proof),
        Connector("bare", inbound=proof),
        Connector("inherits", inbound=proof, own_inbound=False),
        Connector("proves-nothing", inbound=Inbound()),
    )
    assert [c.name for c in index.by_network(ip_address("192.0.2.1"))] == ["relays", "bare"]


EXPECTED = st.sampled_from(["m.a.x", "*.a.x", "a.x", "*.x.y", "b.a.x", "192.0.2.1"])
PRESENTED = st.sampled_from(["m.a.x", "*.a.x", "a.x", "M.A.x", "k.x.y", "*.x.y", "c.m.a.x", "x"])


@given(st.lists(st.lists(EXPECTED, min_size=1, max_size=2), max_size=6), st.lists(PRESENTED, max_size=3))
def test_certificates_are_found_by_every_name_that_the_judgement_would_accept(expected, presented):
    connectors = [proving(f"c{i}", ClientCertificate(tuple(names), CA)) for i, names in enumerate(expected)]
    found = {c.name for c in index_of(*connectors).by_certificate(leaf(*presented))}
    for connector, names in zip(connectors, expected, strict=True):
        if any(match(name, shown) for name in names for shown in presented):
            assert connector.name in found


def test_certificates_are_found_by_pin_name_address_and_bare_ca_in_this_order():
    index = index_of(
        proving("ca", ClientCertificate(ca=CA)),
        proving("address", ClientCertificate(("192.0.2.1",), CA)),
        proving("name", ClientCertificate(("m.p.example",), CA)),
        proving("spki", ClientCertificate(pins=(Pin("spki-sha256", "key"),))),
        proving("cert", ClientCertificate(pins=(Pin("cert-sha256", "f" * 64),))),
        proving("other", ClientCertificate(("m.q.example",), CA)),
        proving("claims", ClientCertificate(("m.p.example",), CA), domains=("p.example",)),
    )
    found = index.by_certificate(leaf("m.p.example", pin="key", addresses=("192.0.2.1",)))
    assert [c.name for c in found] == ["spki", "cert", "name", "address", "ca"]


def test_what_the_listener_must_ask_for():
    plain = index_of(Connector("a"))
    assert (plain.any_client_certificate, plain.any_header_from_claim) == (False, False)
    asking = index_of(proving("a", ClientCertificate(ca=CA), domains=("p.example",)))
    assert (asking.any_client_certificate, asking.any_header_from_claim) == (True, True)
    envelope = index_of(Connector("a", domains=("p.example",), inbound=Inbound(claims=frozenset({"mail_from"}))))
    assert not envelope.any_header_from_claim


def test_our_domains_are_found_by_their_exact_name():
    own = Domain("own.example", (HostPort("m.example", 25),), "default")
    index = index_of(domains=(own,))
    assert index.our_domain("own.example") is own
    assert index.our_domain("sub.own.example") is None


def test_look_ups_do_not_grow_with_the_number_of_connectors():
    def some(count: int) -> ConnectorIndex:
        return index_of(
            *(
                Connector(
                    f"c{i}",
                    domains=(f"p{i}.example", f"*.p{i}.example"),
                    relay=True,
                    inbound=Inbound(networks=(ip_network(f"10.{i // 250}.{i % 250}.0/24"),)),
                )
                for i in range(count)
            )
        )

    def looked_up(count: int) -> int:
        known = some(count)
        return steps(lambda: (known.claim("a.b.c.p77.example"), known.by_network(ip_address("10.0.7.1"))))

    assert looked_up(5_000) <= looked_up(500) + 20
