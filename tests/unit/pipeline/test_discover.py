"""TLS discovery: which names TLSA records are looked for at, and when nobody is asked at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from mta.adapters.dns import DnsResolver
from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.server import Server
from mta.contract.values import HostPort
from mta.model.sts import StsAnswer, StsPolicy
from mta.model.tls import TlsLevel
from mta.pipeline.discover import NextHop, discover
from mta.pipeline.site import Contract
from mta.policy.dane import DaneState
from mta.policy.discover import Findings
from mta.policy.precedence import StsState
from mta.policy.route import Destination
from tests.support.dns_server import SERVFAIL, Answer, DnsServer, dns_server

GOOD = "3 1 1 " + "ab" * 32
SIGNED, OPEN = {"secure": True}, {"secure": False}
ZONE: dict[tuple[str, str], Any] = {
    ("b.example", "MX"): Answer(("10 mx.b.example.",), **SIGNED),
    ("u.example", "MX"): Answer(("10 mx.b.example.",), **OPEN),
    ("d.example", "CNAME"): Answer(("b.example.",), **SIGNED),
    ("mx.b.example", "A"): Answer(("192.0.2.1",), **SIGNED),
    ("_25._tcp.mx.b.example", "TLSA"): Answer((GOOD,), **SIGNED),
    ("none.b.example", "A"): Answer(("192.0.2.1",), **SIGNED),
    ("old.b.example", "A"): Answer(("192.0.2.1",), **SIGNED),
    ("_25._tcp.old.b.example", "TLSA"): Answer(("1 1 1 " + "ab" * 32,), **SIGNED),
    ("unsigned.b.example", "A"): Answer(("192.0.2.1",), **SIGNED),
    ("_25._tcp.unsigned.b.example", "TLSA"): Answer((GOOD,), **OPEN),
    ("bogus.b.example", "A"): Answer(("192.0.2.1",), **SIGNED),
    ("_25._tcp.bogus.b.example", "TLSA"): SERVFAIL,
    ("mx.u.example", "A"): Answer(("192.0.2.1",), **OPEN),
    ("_25._tcp.mx.u.example", "TLSA"): Answer((GOOD,), **SIGNED),
    # aliases: to a host with records; to one without, having its own; out of signed space; unsigned; unknown
    ("to.b.example", "CNAME"): Answer(("mx.b.example.",), **SIGNED),
    ("_25._tcp.to.b.example", "TLSA"): Answer(("3 1 1 " + "cd" * 32,), **SIGNED),
    ("own.b.example", "CNAME"): Answer(("none.b.example.",), **SIGNED),
    ("_25._tcp.own.b.example", "TLSA"): Answer((GOOD,), **SIGNED),
    ("out.b.example", "CNAME"): Answer(("mx.u.example.",), **SIGNED),
    ("_25._tcp.out.b.example", "TLSA"): Answer((GOOD,), **SIGNED),
    ("alias.u.example", "CNAME"): Answer(("mx.b.example.",), **OPEN),
    ("_25._tcp.alias.u.example", "TLSA"): Answer((GOOD,), **SIGNED),
}


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with dns_server(ZONE, secure=True) as running:
        yield running


@dataclass
class Policies:
    """ports.StsPolicies with one answer."""

    answer: StsAnswer = field(default_factory=StsAnswer)
    asked: int = 0

    async def policy(self, domain: str) -> StsAnswer:
        self.asked += 1
        return self.answer

    async def renew(self) -> None:
        return


@dataclass
class World:
    dns: DnsServer
    policies: Policies
    trust_ad: bool = True

    async def found(self, host: str, domain: str = "b.example", **stated: Any) -> Findings:
        """The findings of a host that the MX records of `domain` name; without a domain the contract names it."""
        server = Server("mx.contoso.example", "p@contoso.example", "mx", (), trust_ad=self.trust_ad)
        known = Configuration(server, {}, {"default": Connector("default")})
        resolver = DnsResolver([tuple(self.dns)], self.trust_ad, timeout=0.5)
        contract = Contract(known, ConnectorIndex(known), 1)
        site: Any = SimpleNamespace(contract=contract, resolver=resolver, policies=self.policies, random=Random(0))
        mx = await resolver.mx(domain) if domain else None
        place = HostPort(host, 25)
        way = Destination("mx", domain) if domain else Destination("hosts", str(place), (place,))
        outbound = Outbound(tls=OutboundTls(**stated))
        return await discover(site, outbound, way, NextHop(place, await resolver.addresses(host), mx))


@pytest.fixture
def world(dns: DnsServer) -> World:
    return World(dns, Policies())


@pytest.mark.parametrize(
    ("host", "state", "base"),
    [
        ("mx.b.example", DaneState.USABLE, "mx.b.example"),
        ("MX.B.example", DaneState.USABLE, "mx.b.example"),
        ("none.b.example", DaneState.NONE, ""),
        ("old.b.example", DaneState.UNUSABLE, "old.b.example"),
        ("unsigned.b.example", DaneState.NONE, ""),
        ("bogus.b.example", DaneState.UNKNOWN, "bogus.b.example"),
        ("mx.u.example", DaneState.INSECURE, ""),
        ("to.b.example", DaneState.USABLE, "mx.b.example"),
        ("own.b.example", DaneState.USABLE, "own.b.example"),
        ("out.b.example", DaneState.USABLE, "out.b.example"),
        ("alias.u.example", DaneState.INSECURE, ""),
    ],
)
async def test_where_the_records_of_a_host_are(world: World, host: str, state: DaneState, base: str) -> None:
    found = (await world.found(host)).dane
    assert (found.state, found.base) == (state, base)
    if state is DaneState.USABLE:
        assert [record.data[0] for record in found.records] == [0xAB]


async def test_servers_without_signed_addresses_are_not_asked_for_tlsa_records(world: World) -> None:
    await world.found("mx.u.example")
    assert world.dns.queries["_25._tcp.mx.u.example", "TLSA"] == 0


async def test_an_alias_that_cannot_be_looked_up_is_no_licence(world: World) -> None:
    """The way to it is known, whether it is signed is not."""
    world.dns.set("lost.b.example", "A", Answer(("192.0.2.1",), secure=False))

    class Lost(DnsResolver):
        async def addresses(self, host: str) -> Any:
            return replace(await super().addresses(host), canonical="elsewhere.example")

        async def cname(self, name: str) -> Any:
            return replace(
                await super().cname("bogus.b.example"), status=(await self.tlsa("_25._tcp.bogus.b.example")).status
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.pipeline.test_discover.DnsResolver", Lost)
        found = (await world.found("lost.b.example")).dane
    assert found.state is DaneState.UNKNOWN


@pytest.mark.parametrize(
    ("domain", "named", "names"),
    [
        ("b.example", True, ("mx.b.example", "b.example", "to.b.example")),
        ("d.example", True, ("mx.b.example", "d.example", "to.b.example", "b.example")),
        ("u.example", False, ("mx.b.example", "u.example")),
        ("", True, ("mx.b.example", "to.b.example")),
    ],
)
async def test_which_names_prove_a_host_on_a_path_to_an_anchor(
    world: World, domain: str, named: bool, names: tuple[str, ...]
) -> None:
    found = await world.found("to.b.example", domain)
    assert (found.dane.named, found.dane.names) == (named, names)
    assert found.mx_secure is (named and bool(domain))


async def test_nobody_is_asked_where_it_means_nothing(world: World) -> None:
    off = {"dane": "off", "mta_sts": "off"}
    assert await world.found("mx.b.example", **off) == Findings(mx_secure=True)
    assert await world.found("mx.b.example", level=TlsLevel.NONE) == Findings()
    assert (await world.found("192.0.2.1")).dane.state is DaneState.OFF
    world.trust_ad = False
    assert (await world.found("mx.b.example")).dane.state is DaneState.OFF
    assert world.policies.asked == 2  # the address and the last one: MTA-STS needs no DNSSEC


async def test_the_policy_of_the_recipients_domain_is_about_the_host(world: World) -> None:
    world.policies.answer = StsAnswer(StsPolicy("enforce", ("mx.b.example",)), "7")
    named, other = await world.found("mx.b.example"), await world.found("none.b.example")
    assert (named.sts.state, named.sts.domain, named.sts.id) == (StsState.NAMED, "b.example", "7")
    assert other.sts.state is StsState.UNNAMED
    assert (await world.found("mx.b.example", "")).sts.state is StsState.OFF  # fixed hosts have no policy
