"""Whose demands a message is under, what each contract sees of it, and the strictest of them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.model.auth import DkimOutcome
from mta.model.word import Word
from mta.policy.concerned import accept_for_author, concerned, judge_all, stands_in, true_source
from mta.policy.decision import Decision, Reason, Verdict
from mta.policy.identify import Identity
from mta.rfc.mime.trace_hops import TracedHop
from tests.unit.policy.authentication_world import ACCEPTED, BOB, OTHERS, R, found, partner, signature
from tests.unit.policy.world import INTERNAL, from_, index, networks, words


@pytest.mark.parametrize(
    ("header_from", "outcome", "expected"),
    [
        ("dkim", signature(), True),
        ("dkim", signature(bits=0), True),
        ("dkim", signature(bits=1024), False),
        ("dkim", signature(R.FAIL), False),
        ("dkim", signature(R.TEMPERROR), False),
        ("dkim", OTHERS, False),
        ("contract", signature(), False),
    ],
)
def test_the_authors_own_signature_stands_in_for_the_contract(
    header_from: str, outcome: DkimOutcome, expected: bool
) -> None:
    connector = partner(header_from=header_from, min_rsa_bits=2048)
    facts = found(outcome)
    assert stands_in(index(connector), connector, facts, "fabrikam.example") is expected
    refusal = Decision(Verdict.REFUSE, "fabrikam", reasons=(Reason(Word.NETWORK, "not listed"),))
    decision = accept_for_author(index(connector), refusal, facts, BOB)
    assert decision.accepted is expected
    assert words(decision.reasons) == (["author-signature"] if expected else ["network"])


def test_for_an_ambiguous_author_nothing_stands_in() -> None:
    connector = partner(header_from="dkim")
    refusal = Decision(Verdict.REFUSE, "fabrikam", reasons=(Reason(Word.NETWORK, "not listed"),))
    for author in (from_("bob@fabrikam.example", "eve@x.example"), from_("bob@fabrikam.example", count=2), from_()):
        assert accept_for_author(index(connector), refusal, found(signature()), author) is refusal
    unknown = replace(refusal, connector="nobody")
    assert accept_for_author(index(connector), unknown, found(signature()), BOB) is unknown


GATEWAY = networks("10.0.0.0/8", "2001:db8:1::/48")


def hop(address: str, helo: str = "h") -> TracedHop:
    return TracedHop(helo, ip_address(address) if address else None)


@pytest.mark.parametrize(
    ("peer", "hops", "source"),
    [
        ("192.0.2.1", [hop("203.0.113.1")], ("192.0.2.1", "peer")),  # outside already: its fields prove nothing
        ("10.0.0.1", [hop("192.0.2.1", "a")], ("192.0.2.1", "a")),
        ("10.0.0.1", [hop("192.0.2.1", "a"), hop("203.0.113.1")], ("192.0.2.1", "a")),
        ("10.0.0.1", [hop("10.0.0.2"), hop("2001:db8:1::2"), hop("192.0.2.1", "c")], ("192.0.2.1", "c")),
        ("2001:db8:1::1", [hop("2001:db8:2::1", "six")], ("2001:db8:2::1", "six")),
        ("10.0.0.1", [hop("10.0.0.2", "in"), hop(""), hop("192.0.2.1")], ("10.0.0.2", "in")),
        ("10.0.0.1", [hop("")], ("10.0.0.1", "peer")),
        ("10.0.0.1", [], ("10.0.0.1", "peer")),
        ("10.0.0.1", [hop("10.0.0.2", "last")], ("10.0.0.2", "last")),
    ],
)
def test_the_true_source_is_the_last_host_outside_the_gateway(
    peer: str, hops: list[TracedHop], source: tuple[str, str]
) -> None:
    assert true_source(GATEWAY, ip_address(peer), "peer", tuple(hops)) == (ip_address(source[0]), source[1])


def test_without_trusted_networks_the_peer_is_the_source() -> None:
    assert true_source((), ip_address("10.0.0.1"), "peer", (hop("192.0.2.1"),)) == (ip_address("10.0.0.1"), "peer")


def names(connectors: tuple[Connector, ...]) -> list[str]:
    return [connector.name for connector in connectors]


def test_mail_is_under_the_connector_of_mail_from_and_those_its_author_claims() -> None:
    tagging = Connector("default", inbound=Inbound(authentication=Authentication(checked=True)))
    known = index(partner(), tagging)
    stranger = Identity(tagging)
    assert names(concerned(known, stranger, "default", BOB)) == ["default", "fabrikam"]
    assert names(concerned(known, stranger, "fabrikam", BOB)) == ["fabrikam"]
    assert names(concerned(known, stranger, "default", from_("x@stranger.example"))) == ["default"]
    assert names(concerned(index(partner()), stranger, "default", from_("x@stranger.example"))) == []
    unchecked = Connector("fabrikam", domains=("fabrikam.example",), inbound=Inbound(header_from="dkim"))
    assert names(concerned(index(unchecked), stranger, "default", BOB)) == ["fabrikam"]


def test_what_our_own_systems_send_is_looked_at_only_if_their_connector_says_so() -> None:
    ours = Identity(INTERNAL, proven=True)
    assert concerned(index(partner()), ours, "internal", BOB) == ()
    assert concerned(index(partner()), ours, "fabrikam", BOB) == ()
    checking = replace(INTERNAL, inbound=replace(INTERNAL.inbound, authentication=Authentication(checked=True)))
    assert names(concerned(index(partner(), checking), Identity(checking, True), "internal", BOB)) == ["internal"]


def test_the_strictest_of_several_contracts_decides() -> None:
    holds = replace(partner(dkim="valid", on_failure="quarantine"), name="holds", domains=())
    unsure = replace(partner(spf="pass"), name="unsure", domains=())
    refuses = partner(dkim="valid")
    facts = found(spf=R.TEMPERROR)
    for chosen, verdict, name in (
        ((holds, unsure, refuses), Verdict.REFUSE, "fabrikam"),
        ((holds, unsure), Verdict.DEFER, "unsure"),
        ((holds,), Verdict.HOLD, "holds"),
    ):
        decision = judge_all(index(*chosen), [(one, facts) for one in chosen], BOB, ACCEPTED)
        assert (decision.verdict, decision.connector) == (verdict, name)


def test_tags_stand_beside_the_reasons_of_the_accept() -> None:
    connector = partner(dkim="valid", on_failure="tag")
    decision = judge_all(index(connector), [(connector, found())], BOB, ACCEPTED)
    assert decision.accepted
    assert words(decision.reasons) == ["claim", "dkim"]
    assert judge_all(index(connector), [(connector, found(signature()))], BOB, ACCEPTED) is ACCEPTED


def test_audit_changes_nothing_and_tells_what_it_would_have_done() -> None:
    connector = partner("audit", dkim="valid")
    decision = judge_all(index(connector), [(connector, found())], BOB, ACCEPTED)
    assert (decision.verdict, decision.mode, decision.connector) == (Verdict.ACCEPT, "audit", "fabrikam")
    assert decision.would is not None
    assert (decision.would.verdict, decision.would.mode) == (Verdict.REFUSE, "enforce")
    assert str(decision.would.reply).startswith("550 5.7.20")


def test_audit_does_not_soften_another_contract() -> None:
    audits = replace(partner("audit", dkim="valid"), name="audits", domains=())
    enforces = partner(dkim="valid", on_failure="quarantine")
    decision = judge_all(index(audits, enforces), [(audits, found()), (enforces, found())], BOB, ACCEPTED)
    assert (decision.verdict, decision.connector) == (Verdict.HOLD, "fabrikam")


def test_each_contract_judges_what_it_sees() -> None:
    """Two contracts with gateways of their own: what one of them may believe is nothing to the other."""
    here = partner(spf="pass")
    there = replace(partner(spf="pass"), name="there", domains=())
    decision = judge_all(index(here, there), [(here, found(spf=R.PASS)), (there, found(spf=R.FAIL))], BOB, ACCEPTED)
    assert (decision.verdict, decision.connector) == (Verdict.REFUSE, "there")
