"""Where mail goes: the connector, the destination, the order of MX hosts."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.contract.outbound import Auth, Outbound, OutboundTls
from mta.contract.smime import Smime
from mta.contract.values import HostPort, KeyPair
from mta.model.attempt import Failure, Scope
from mta.model.tls import TlsLevel
from mta.policy.route import Destination, addresses_to_try, after_reload, choose, connector_now, destination, order_mx
from mta.ports import DnsStatus, MxAnswer, MxRecord
from tests.unit.policy.world import CONTOSO, DEFAULT, FABRIKAM, configuration, index, mailbox

EXACT_SUB = Connector("sub", domains=("eu.fabrikam.example",), inbound=Inbound(identity="none"))
PINNED = Outbound(tls=OutboundTls(TlsLevel.PINNED))
AUDITED = replace(FABRIKAM, mode="audit", outbound=PINNED)

CHOICES = [
    ("a domain of ours goes by its own connector", "alice@contoso.example", "internal", "contoso.example"),
    ("a partner's domain", "bob@fabrikam.example", "fabrikam", None),
    ("a partner's subdomain", "bob@de.fabrikam.example", "fabrikam", None),
    ("exact beats *.x", "bob@eu.fabrikam.example", "sub", None),
    ("everyone else", "eve@tailspin.example", "default", None),
    ("an address literal", "eve@[192.0.2.1]", "default", None),
]


@pytest.mark.parametrize(("to", "connector", "own"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_every_recipient_has_one_outbound_connector(to, connector, own):
    route = choose(index(EXACT_SUB), mailbox(to))
    assert (route.connector.name, route.own.name if route.own else None, route.would) == (connector, own, None)


def test_outbound_audit_goes_where_the_contract_says_and_demands_what_default_does():
    own = replace(
        PINNED,
        hosts=(HostPort("mx1.fabrikam.example", 25),),
        port=2525,
        client_certificate=KeyPair("chain", "key"),
        auth=Auth("relay", "secret"),
        smime=Smime(encrypt="required"),
    )
    route = choose(index(replace(AUDITED, outbound=own)), mailbox("bob@fabrikam.example"))
    outbound = route.connector.outbound
    assert (route.connector.name, route.would, outbound.audited) == ("fabrikam", own, own)
    for key in ("hosts", "port", "client_certificate", "auth"):
        assert getattr(outbound, key) == getattr(own, key), key
    assert (outbound.tls, outbound.smime) == (DEFAULT.outbound.tls, DEFAULT.outbound.smime)


@pytest.mark.parametrize(
    ("default", "own", "in_force"),
    [
        ("encrypted", "pinned", "default"),
        ("encrypted", "encrypted", "default"),
        ("encrypted", "none", "own"),  # an audit refuses nothing that the contract lets pass
        ("opportunistic", "verified", "default"),
        ("verified", "pinned", "own"),  # it has said whose names and CAs count, and nothing less may do
        ("verified", "verified", "own"),
        ("verified", "encrypted", "own"),
        ("none", "verified", "opportunistic"),  # in clear there were nothing to judge
        ("none", "none", "default"),
    ],
)
def test_the_tls_of_an_audit_is_that_of_default_and_never_stricter_than_both(default, own, in_force):
    usual = OutboundTls(TlsLevel[default.upper()], min_version="1.3")
    stated = OutboundTls(TlsLevel[own.upper()], ("mail.fabrikam.example",))
    known = configuration(
        replace(DEFAULT, outbound=Outbound(tls=usual)), replace(AUDITED, outbound=Outbound(tls=stated))
    )
    found = after_reload(known, "fabrikam")
    expected = {"default": usual, "own": stated}.get(in_force) or replace(usual, level=TlsLevel[in_force.upper()])
    assert found is not None
    assert found.outbound.tls == expected


def test_each_direction_has_its_mode():
    inbound_only = replace(AUDITED, mode="audit", mode_out="enforce")
    assert choose(index(inbound_only), mailbox("bob@fabrikam.example")).would is None
    assert inbound_only.audits
    outbound_only = replace(AUDITED, mode="enforce", mode_out="audit")
    assert choose(index(outbound_only), mailbox("bob@fabrikam.example")).would == PINNED
    assert not outbound_only.audits


def test_default_in_audit_mode_stays_as_it_is():
    route = choose(index(replace(DEFAULT, mode="audit", outbound=PINNED)), mailbox("eve@tailspin.example"))
    assert (route.connector.outbound, route.would) == (PINNED, None)


def test_a_connector_that_vanished_is_none_and_never_default():
    assert after_reload(configuration(), "wingtip") is None
    assert after_reload(configuration(), "fabrikam") is FABRIKAM


@pytest.mark.parametrize(
    ("stored", "to", "expected"),
    [
        ("fabrikam", "bob@fabrikam.example", "fabrikam"),
        ("fabrikam", "eve@tailspin.example", "fabrikam"),  # claimed once, and by nobody now
        ("default", "bob@fabrikam.example", "fabrikam"),  # claimed since it was taken
        ("default", "eve@tailspin.example", "default"),
        ("wingtip", "bob@fabrikam.example", None),  # it vanished
        ("wingtip", "eve@tailspin.example", None),
    ],
)
def test_the_connector_of_an_attempt(stored, to, expected):
    found = connector_now(configuration(), stored, choose(index(), mailbox(to)).connector)
    assert (found and found.name) == expected


def test_a_queued_recipient_of_an_audited_connector_goes_as_default_too():
    found = after_reload(configuration(AUDITED), "fabrikam")
    assert found is not None
    assert replace(found.outbound, audited=None) == DEFAULT.outbound


SMART = Outbound(hosts=(HostPort("mx1.fabrikam.example", 25), HostPort("mx2.fabrikam.example", 2525)))
SMART_NAME = "mx1.fabrikam.example:25,mx2.fabrikam.example:2525"
DESTINATIONS = [
    ("by MX", Outbound(), None, "tailspin.example", Destination("mx", "tailspin.example")),
    ("by configured hosts", SMART, None, "fabrikam.example", Destination("hosts", SMART_NAME, SMART.hosts)),
    ("a domain of ours", SMART, CONTOSO, "contoso.example",
        Destination("hosts", "mail.contoso.example:25", CONTOSO.deliver_to)),
    ("an IPv4 literal", Outbound(port=2525), None, "[192.0.2.1]",
        Destination("hosts", "[192.0.2.1]", (HostPort("192.0.2.1", 2525),))),
    ("an IPv6 literal", Outbound(), None, "[ipv6:2001:db8::1]",
        Destination("hosts", "[ipv6:2001:db8::1]", (HostPort("2001:db8::1", 25),))),
    ("a literal by a smart host", SMART, None, "[192.0.2.1]", Destination("hosts", SMART_NAME, SMART.hosts)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outbound", "own", "domain", "expected"), [r[1:] for r in DESTINATIONS], ids=[r[0] for r in DESTINATIONS]
)
def test_a_destination_groups_recipients(outbound, own, domain, expected):
    found = destination(outbound, own, domain)
    assert found == expected
    assert hash(found) == hash(expected)


def test_two_domains_behind_one_smart_host_share_a_destination():
    assert destination(SMART, None, "a.example") == destination(SMART, None, "b.example")


# --- MX --------------------------------------------------------------------------------------------------------------

OWN = frozenset({"mx.contoso.example"})


def answer(*records: tuple[int, str], status: DnsStatus = DnsStatus.OK) -> MxAnswer:
    return MxAnswer(status, tuple(MxRecord(*record) for record in records), detail="SERVFAIL from 127.0.0.1")


def backwards(names: list) -> None:
    names.reverse()


def hosts(found) -> list[str]:
    assert not isinstance(found, Failure), found
    return [host.host for host in found]


ORDERS = [
    ("preferences ascend", answer((20, "b.example"), (10, "a.example")), ["a.example", "b.example"]),
    ("equal ones are mixed", answer((10, "a.example"), (10, "b.example"), (5, "c.example")),
        ["c.example", "b.example", "a.example"]),
    ("no MX: the domain itself", answer(status=DnsStatus.NODATA), ["x.example"]),
    ("an empty answer: the domain itself", answer(), ["x.example"]),
    ("a null MX beside others is none", answer((0, ""), (10, "a.example")), ["a.example"]),
    ("an address is no host name", answer((5, "192.0.2.1"), (10, "a.example")), ["a.example"]),
    ("an IPv6 address is no host name", answer((5, "2001:db8::1"), (10, "a.example")), ["a.example"]),
    ("a bad name is skipped", answer((5, "a b.example"), (6, "-a.example"), (7, "x" * 64), (10, "a.example")),
        ["a.example"]),
    ("an underscore is no fault", answer((5, "_mx.a_b.example")), ["_mx.a_b.example"]),
    ("one host named twice is tried once", answer((5, "a.example"), (10, "a.example")), ["a.example"]),
    ("ourselves and what is no better is discarded",
        answer((10, "mx.contoso.example"), (10, "b.example"), (20, "c.example"), (5, "a.example")), ["a.example"]),
]  # fmt: skip


@pytest.mark.parametrize(("given_answer", "expected"), [row[1:] for row in ORDERS], ids=[row[0] for row in ORDERS])
def test_hosts_in_the_order_to_try_them(given_answer, expected):
    assert hosts(order_mx(given_answer, "x.example", OWN, backwards, 25)) == expected


FAILURES = [
    ("the name server fails", answer(status=DnsStatus.TEMPORARY), "x.example", "451 4.4.3", "dns"),
    ("no such domain", answer(status=DnsStatus.NXDOMAIN), "x.example", "550 5.1.2", "no-such-domain"),
    ("null MX", answer((0, "")), "x.example", "556 5.1.10", "null-mx"),
    ("no usable MX", answer((5, "192.0.2.1")), "x.example", "550 5.4.4", "no-usable-mx"),
    ("we are the best MX", answer((5, "mx.contoso.example"), (10, "a.example")), "x.example", "554 5.4.6", "loop"),
    ("the domain is our own name", answer(status=DnsStatus.NODATA), "mx.contoso.example", "554 5.4.6", "loop"),
]


@pytest.mark.parametrize(
    ("given_answer", "domain", "status", "word"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
def test_why_there_is_no_host(given_answer, domain, status, word):
    found = order_mx(given_answer, domain, OWN, backwards, 25)
    assert isinstance(found, Failure)
    assert (f"{found.reply.code} {found.reply.enhanced}", found.reason.split(":")[0]) == (status, word)
    assert found.scope is Scope.DESTINATION
    assert found.permanent is status.startswith("5")
    assert domain in found.reason


def test_a_temporary_answer_says_why():
    found = order_mx(answer(status=DnsStatus.TEMPORARY), "x.example", OWN, backwards, 25)
    assert isinstance(found, Failure)
    assert "SERVFAIL from 127.0.0.1" in found.reason


NAMES = st.sampled_from(["a.example", "b.example", "c.example", "mx.contoso.example", "192.0.2.1", "", "-bad"])


@given(st.lists(st.tuples(st.integers(0, 3), NAMES), max_size=8), st.integers())
def test_order_never_brings_mail_back_nor_puts_a_worse_host_first(records, seed):
    found = order_mx(answer(*records), "x.example", OWN, Random(seed).shuffle, 25)
    if isinstance(found, Failure):
        return
    best = {name: min(p for p, other in records if other == name) for _, name in records} or {"x.example": 0}
    order = [best[host.host] for host in found]
    assert order == sorted(order)
    assert len({host.host for host in found}) == len(found) > 0
    ours = best.get("mx.contoso.example")
    assert ours is None or all(preference < ours for preference in order)


@given(st.integers())
def test_the_shuffle_decides_nothing_but_the_order(seed):
    records = ((10, "a.example"), (10, "b.example"), (10, "c.example"), (20, "d.example"))
    mixed = hosts(order_mx(answer(*records), "x.example", OWN, Random(seed).shuffle, 25))
    assert sorted(mixed) == ["a.example", "b.example", "c.example", "d.example"]
    assert mixed[-1] == "d.example"


@pytest.mark.parametrize(
    ("addresses", "tried"),
    [
        ((), ()),
        (("192.0.2.1",), ("192.0.2.1",)),
        (("192.0.2.1", "192.0.2.2", "192.0.2.3"), ("192.0.2.1", "192.0.2.2")),
        (("2001:db8::1", "2001:db8::2", "192.0.2.1"), ("2001:db8::1", "192.0.2.1")),
        (("2001:db8::1", "2001:db8::2"), ("2001:db8::1", "2001:db8::2")),
    ],
)
def test_both_families_of_addresses_are_tried(addresses, tried):
    assert addresses_to_try(addresses) == tried
