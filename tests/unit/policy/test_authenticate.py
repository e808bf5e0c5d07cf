"""What a connector makes of SPF, DKIM, DMARC and ARC: tables over every demand, each with its reply."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from mta.config.contract import Authentication, Connector, Inbound
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.policy.authenticate import (
    accept_for_author,
    aligned,
    concerned,
    judge_all,
    judge_authentication,
    stands_in,
    true_source,
)
from mta.policy.decision import Decision, Reason, Verdict
from mta.policy.identify import Identity
from mta.rfc.mime.trace_hops import TracedHop
from tests.unit.policy.world import INTERNAL, from_, index, networks, words

R = AuthResult
BOB = from_("bob@fabrikam.example")
ACCEPTED = Decision(Verdict.ACCEPT, "fabrikam", reasons=(Reason("claim", "is satisfied"),))


def partner(mode: str = "enforce", header_from: str = "contract", **demands: object) -> Connector:
    authentication = Authentication(checked=True, **{"on_failure": "refuse", **demands})  # type: ignore[arg-type]
    inbound = Inbound(authentication=authentication, header_from=header_from)
    return Connector("fabrikam", mode, ("fabrikam.example", "*.fabrikam.example"), inbound=inbound)


def signature(result: AuthResult = R.PASS, domain: str = "fabrikam.example", bits: int = 2048) -> DkimOutcome:
    return DkimOutcome(result, domain, "s1", "rsa-sha256" if bits else "ed25519-sha256", key_bits=bits)


def found(
    *dkim: DkimOutcome, spf: AuthResult = R.NONE, dmarc: tuple[AuthResult, str] | None = None
) -> AuthenticationFacts:
    outcome = DmarcOutcome(dmarc[0], dmarc[1], "fabrikam.example", "fabrikam.example") if dmarc else None
    mail_from = SpfOutcome(spf, "fabrikam.example", "-all")
    return AuthenticationFacts(SpfOutcome(R.NONE), mail_from, dkim, outcome, ArcOutcome(R.NONE))


def judge(connector: Connector, facts: AuthenticationFacts, author: object = BOB) -> tuple[str, str, list[str]]:
    """The verdict, the beginning of the reply, the words of the reasons."""
    decision = judge_authentication(index(connector), connector, facts, author)  # type: ignore[arg-type]
    reply = f"{decision.reply.code} {decision.reply.enhanced}" if decision.reply else ""
    return decision.verdict, reply, words(decision.reasons)


OK = ("accept", "", [])
OTHERS = signature(domain="stranger.example")


@pytest.mark.parametrize(
    ("demands", "dkim", "expected"),
    [
        ({"dkim": "valid"}, [signature()], OK),
        ({"dkim": "valid"}, [OTHERS], OK),
        ({"dkim": "valid"}, [], ("refuse", "550 5.7.20", ["dkim"])),
        ({"dkim": "valid"}, [signature(R.FAIL)], ("refuse", "550 5.7.20", ["dkim"])),
        ({"dkim": "valid"}, [signature(R.PERMERROR)], ("refuse", "550 5.7.20", ["dkim"])),
        ({"dkim": "valid"}, [signature(R.POLICY)], ("refuse", "550 5.7.20", ["dkim"])),
        ({"dkim": "valid"}, [signature(R.FAIL), OTHERS], OK),
        ({"dkim": "valid"}, [signature(R.TEMPERROR)], ("defer", "451 4.7.0", ["dkim-unknown"])),
        ({"dkim": "valid"}, [signature(R.TEMPERROR), OTHERS], OK),
        ({"dkim": "valid", "min_rsa_bits": 2048}, [signature()], OK),
        ({"dkim": "valid", "min_rsa_bits": 2049}, [signature()], ("refuse", "550 5.7.21", ["dkim-weak"])),
        ({"dkim": "valid", "min_rsa_bits": 4096}, [signature(bits=0)], OK),
        ({"dkim": "aligned"}, [signature()], OK),
        ({"dkim": "aligned"}, [signature(domain="mail.fabrikam.example")], OK),
        ({"dkim": "aligned"}, [OTHERS, signature()], OK),
        ({"dkim": "aligned"}, [OTHERS], ("refuse", "550 5.7.22", ["dkim-not-aligned"])),
        ({"dkim": "aligned"}, [signature(domain="example")], ("refuse", "550 5.7.22", ["dkim-not-aligned"])),
        ({"dkim": "aligned"}, [signature(R.FAIL), OTHERS], ("refuse", "550 5.7.22", ["dkim-not-aligned"])),
        ({"dkim": "aligned"}, [signature(R.TEMPERROR), OTHERS], ("defer", "451 4.7.0", ["dkim-unknown"])),
        ({"dkim": "aligned", "min_rsa_bits": 2048}, [signature(bits=1024)], ("refuse", "550 5.7.21", ["dkim-weak"])),
    ],
)
def test_demands_on_dkim(demands: dict[str, object], dkim: list[DkimOutcome], expected: object) -> None:
    """RFC 7372 §3.1: no passing, no acceptable, no author-matched signature."""
    assert judge(partner(**demands), found(*dkim)) == expected


def test_a_stranger_whose_key_cannot_be_looked_up_does_not_make_the_partners_mail_unknown() -> None:
    """Waiting for a signature that would not be aligned helps nobody."""
    facts = found(signature(R.FAIL), signature(R.TEMPERROR, "stranger.example"))
    assert judge(partner(dkim="aligned"), facts) == ("refuse", "550 5.7.20", ["dkim"])


@pytest.mark.parametrize("author", [from_("bob@fabrikam.example", "eve@fabrikam.example"), from_(error="odd"), from_()])
def test_no_signature_is_aligned_with_an_author_who_cannot_be_told(author: object) -> None:
    assert judge(partner(dkim="aligned"), found(signature()), author) == (
        *("refuse", "550 5.7.22"),
        ["dkim-not-aligned"],
    )


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (R.PASS, OK),
        (R.FAIL, ("refuse", "550 5.7.23", ["spf"])),
        (R.SOFTFAIL, ("refuse", "550 5.7.23", ["spf"])),
        (R.NEUTRAL, ("refuse", "550 5.7.23", ["spf"])),
        (R.NONE, ("refuse", "550 5.7.23", ["spf"])),
        (R.PERMERROR, ("refuse", "550 5.7.24", ["spf"])),
        (R.TEMPERROR, ("defer", "451 4.7.0", ["spf-unknown"])),
    ],
)
def test_demands_on_spf(result: AuthResult, expected: object) -> None:
    """RFC 7372 §3.2: a failed and an erroneous validation are told apart."""
    assert judge(partner(spf="pass"), found(spf=result)) == expected


REFUSED = ("refuse", "550 5.7.26", ["dmarc"])
UNKNOWN = ("defer", "451 4.7.0", ["dmarc-unknown"])


@pytest.mark.parametrize(
    ("demand", "result", "policy", "expected"),
    [
        ("report", R.FAIL, "reject", OK),
        ("none", R.FAIL, "reject", OK),
        ("enforce", R.PASS, "reject", OK),
        ("enforce", R.FAIL, "reject", REFUSED),
        ("enforce", R.FAIL, "quarantine", ("hold", "", ["dmarc"])),
        ("enforce", R.FAIL, "none", OK),
        ("enforce", R.NONE, "", OK),
        ("enforce", R.TEMPERROR, "", UNKNOWN),
        ("pass", R.PASS, "none", OK),
        ("pass", R.FAIL, "none", REFUSED),
        ("pass", R.FAIL, "quarantine", REFUSED),
        ("pass", R.NONE, "", REFUSED),
        ("pass", R.PERMERROR, "", REFUSED),
        ("pass", R.TEMPERROR, "", UNKNOWN),
    ],
)
def test_demands_on_dmarc(demand: str, result: AuthResult, policy: str, expected: object) -> None:
    """`enforce` does what the domain asks for; `pass` wants a pass whatever it asks for."""
    assert judge(partner(dmarc=demand), found(dmarc=(result, policy))) == expected


def test_dmarc_that_was_not_judged_is_unknown() -> None:
    assert judge(partner(dmarc="pass"), found()) == ("defer", "451 4.7.0", ["dmarc"])


@pytest.mark.parametrize(
    ("require", "facts", "expected"),
    [
        ("all", found(signature(), spf=R.PASS), OK),
        ("all", found(signature(), spf=R.FAIL), ("refuse", "550 5.7.23", ["spf"])),
        ("all", found(spf=R.PASS), ("refuse", "550 5.7.20", ["dkim"])),
        ("all", found(spf=R.FAIL), ("refuse", "550 5.7.26", ["dkim", "spf"])),
        ("all", found(signature(), spf=R.TEMPERROR), ("defer", "451 4.7.0", ["spf-unknown"])),
        ("any", found(signature(), spf=R.FAIL), OK),
        ("any", found(spf=R.PASS), OK),
        ("any", found(signature(), spf=R.TEMPERROR), OK),
        ("any", found(spf=R.FAIL), ("refuse", "550 5.7.26", ["dkim", "spf"])),
        ("any", found(spf=R.TEMPERROR), ("defer", "451 4.7.0", ["dkim", "spf-unknown"])),
    ],
)
def test_all_demands_or_any_one(require: str, facts: AuthenticationFacts, expected: object) -> None:
    """RFC 7372 §3.4 where several checks failed."""
    assert judge(partner(dkim="aligned", spf="pass", require=require), facts) == expected


def test_a_domain_that_asks_for_nothing_does_not_fulfil_the_other_demands() -> None:
    """Of any one demand, DMARC with p=none is none: otherwise no signature would ever be needed."""
    connector = partner(dkim="aligned", dmarc="enforce", require="any")
    assert judge(connector, found(dmarc=(R.FAIL, "none"))) == ("refuse", "550 5.7.20", ["dkim"])
    assert judge(connector, found(dmarc=(R.PASS, "none"))) == OK


@pytest.mark.parametrize(
    ("on_failure", "result", "expected"),
    [
        ("refuse", R.FAIL, ("refuse", "550 5.7.20", ["dkim"])),
        ("quarantine", R.FAIL, ("hold", "", ["dkim"])),
        ("tag", R.FAIL, ("accept", "", ["dkim"])),
        ("refuse", R.TEMPERROR, ("defer", "451 4.7.0", ["dkim-unknown"])),
        ("quarantine", R.TEMPERROR, ("defer", "451 4.7.0", ["dkim-unknown"])),
        ("tag", R.TEMPERROR, ("accept", "", ["dkim-unknown"])),
    ],
)
def test_what_happens_on_failure(on_failure: str, result: AuthResult, expected: object) -> None:
    assert judge(partner(dkim="valid", on_failure=on_failure), found(signature(result))) == expected


def test_nothing_is_asked_without_demands_or_where_nothing_is_looked_up() -> None:
    nothing = replace(partner(), inbound=Inbound(authentication=Authentication(dkim="aligned", on_failure="refuse")))
    assert judge(nothing, found()) == OK
    assert judge(partner(), found(spf=R.FAIL, dmarc=(R.FAIL, "reject"))) == OK


LIST = ("lists.example", "earlier.example")


@pytest.mark.parametrize(
    ("arc", "expected"),
    [
        (ArcOutcome(R.PASS, LIST), ("accept", "", ["arc"])),
        (ArcOutcome(R.PASS, LIST[::-1]), ("refuse", "550 5.7.20", ["dkim"])),  # the newest seal counts
        (ArcOutcome(R.PASS, ()), ("refuse", "550 5.7.20", ["dkim"])),
        (ArcOutcome(R.NONE), ("refuse", "550 5.7.20", ["dkim"])),
        (ArcOutcome(R.FAIL, LIST), ("refuse", "550 5.7.29", ["dkim"])),
        (ArcOutcome(R.TEMPERROR, LIST), ("defer", "451 4.7.0", ["dkim", "arc-unknown"])),
        (ArcOutcome(R.TEMPERROR, LIST[::-1]), ("refuse", "550 5.7.20", ["dkim"])),
        (None, ("refuse", "550 5.7.20", ["dkim"])),
    ],
)
def test_a_trusted_sealer_vouches_for_what_a_forwarder_broke(arc: ArcOutcome | None, expected: object) -> None:
    """RFC 8617 §5.2 and §11.4; a chain that cannot be judged now may still vouch later."""
    facts = replace(found(signature(R.FAIL)), arc=arc)
    assert judge(partner(dkim="valid", trusted_sealers=("lists.example",)), facts) == expected
    assert judge(partner(dkim="valid"), facts) == ("refuse", "550 5.7.20", ["dkim"])


@pytest.mark.parametrize(
    ("signer", "author", "expected"),
    [
        ("fabrikam.example", "fabrikam.example", True),
        ("mail.fabrikam.example", "fabrikam.example", True),
        ("fabrikam.example", "mail.fabrikam.example", True),
        ("a.fabrikam.example", "b.fabrikam.example", False),
        ("example", "fabrikam.example", False),  # a parent of another organisation
        ("evilfabrikam.example", "fabrikam.example", False),
        ("fabrikam.example", "evilfabrikam.example", False),
        ("stranger.example", "fabrikam.example", False),
        ("mail.stranger.example", "stranger.example", False),  # related, but not this contract's
        ("stranger.example", "stranger.example", True),
        ("", "", False),
        ("", "fabrikam.example", False),
        ("fabrikam.example", "", False),
    ],
)
def test_alignment_is_within_the_contracts_own_domains(signer: str, author: str, expected: bool) -> None:
    connector = partner()
    assert aligned(index(connector), connector, signer, author) is expected


def test_a_subdomain_under_another_contract_is_another_organisation() -> None:
    connector, branch = partner(), Connector("branch", domains=("branch.fabrikam.example",))
    both = index(connector, branch)
    assert not aligned(both, connector, "branch.fabrikam.example", "fabrikam.example")
    assert not aligned(both, connector, "fabrikam.example", "branch.fabrikam.example")
    assert not aligned(both, branch, "fabrikam.example", "branch.fabrikam.example")


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
    refusal = Decision(Verdict.REFUSE, "fabrikam", reasons=(Reason("network", "not listed"),))
    decision = accept_for_author(index(connector), refusal, facts, BOB)
    assert decision.accepted is expected
    assert words(decision.reasons) == (["author-signature"] if expected else ["network"])


def test_for_an_ambiguous_author_nothing_stands_in() -> None:
    connector = partner(header_from="dkim")
    refusal = Decision(Verdict.REFUSE, "fabrikam", reasons=(Reason("network", "not listed"),))
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
        decision = judge_all(index(*chosen), chosen, facts, BOB, ACCEPTED)
        assert (decision.verdict, decision.connector) == (verdict, name)


def test_tags_stand_beside_the_reasons_of_the_accept() -> None:
    connector = partner(dkim="valid", on_failure="tag")
    decision = judge_all(index(connector), (connector,), found(), BOB, ACCEPTED)
    assert decision.accepted
    assert words(decision.reasons) == ["claim", "dkim"]
    assert judge_all(index(connector), (connector,), found(signature()), BOB, ACCEPTED) is ACCEPTED


def test_audit_changes_nothing_and_tells_what_it_would_have_done() -> None:
    connector = partner("audit", dkim="valid")
    decision = judge_all(index(connector), (connector,), found(), BOB, ACCEPTED)
    assert (decision.verdict, decision.mode, decision.connector) == (Verdict.ACCEPT, "audit", "fabrikam")
    assert decision.would is not None
    assert (decision.would.verdict, decision.would.mode) == (Verdict.REFUSE, "enforce")
    assert str(decision.would.reply).startswith("550 5.7.20")


def test_audit_does_not_soften_another_contract() -> None:
    audits = replace(partner("audit", dkim="valid"), name="audits", domains=())
    enforces = partner(dkim="valid", on_failure="quarantine")
    decision = judge_all(index(audits, enforces), (audits, enforces), found(), BOB, ACCEPTED)
    assert (decision.verdict, decision.connector) == (Verdict.HOLD, "fabrikam")
