"""What a connector makes of SPF, DKIM, DMARC and ARC: tables over every demand, each with its reply."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SenderOutcome
from mta.policy.authenticate import aligned, judge_authentication
from tests.unit.policy.authentication_world import BOB, OTHERS, R, found, partner, signature
from tests.unit.policy.world import from_, index, words


def judge(connector: Connector, facts: AuthenticationFacts, author: object = BOB) -> tuple[str, str, list[str]]:
    """The verdict, the beginning of the reply, the words of the reasons."""
    decision = judge_authentication(index(connector), connector, facts, author)  # type: ignore[arg-type]
    reply = f"{decision.reply.code} {decision.reply.enhanced}" if decision.reply else ""
    return decision.verdict, reply, words(decision.reasons)


OK = ("accept", "", [])


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
    ("null_mx", "result", "expected"),
    [
        ("refuse", R.FAIL, ("refuse", "550 5.7.27", ["null-mx"])),
        ("refuse", R.TEMPERROR, ("defer", "451 4.7.0", ["null-mx-unknown"])),
        ("refuse", R.PASS, OK),
        ("refuse", R.NONE, OK),
        ("report", R.FAIL, ("accept", "", ["null-mx"])),
        ("report", R.TEMPERROR, OK),
    ],
)
@pytest.mark.parametrize("demands", [{}, {"dkim": "valid"}, {"dkim": "valid", "spf": "pass", "require": "any"}])
def test_senders_who_take_no_mail(
    null_mx: str, result: AuthResult, expected: object, demands: dict[str, object]
) -> None:
    """RFC 7505 §4.2, whatever else is demanded and met, and whatever `on_failure` says."""
    facts = replace(found(signature()), sender=SenderOutcome(result, "fabrikam.example", "why"))
    for on_failure in ("refuse", "quarantine", "tag"):
        assert judge(partner(null_mx=null_mx, **{**demands, "on_failure": on_failure}), facts) == expected


def test_a_sender_who_takes_no_mail_beside_a_demand_that_fails() -> None:
    """The null MX is told first; what is not known of it takes nothing away from a refusal."""
    facts = replace(found(), sender=SenderOutcome(R.FAIL, "fabrikam.example", "why"))
    unknown = replace(found(), sender=SenderOutcome(R.TEMPERROR, "fabrikam.example", "why"))
    refusing = partner(null_mx="refuse", dkim="valid")
    assert judge(refusing, facts) == ("refuse", "550 5.7.27", ["null-mx"])
    assert judge(refusing, unknown) == ("refuse", "550 5.7.20", ["dkim"])
    holding = partner(null_mx="refuse", dkim="valid", on_failure="quarantine")
    assert judge(holding, unknown) == ("defer", "451 4.7.0", ["dkim", "null-mx-unknown"])


@pytest.mark.parametrize("demand", ["enforce", "pass"])
@pytest.mark.parametrize("on_failure", ["refuse", "quarantine", "tag"])
def test_an_author_who_cannot_be_told_is_not_let_through(demand: str, on_failure: str) -> None:
    """Several authors or a syntax error: no domain can say what it wishes, so what the contract says is done."""
    facts = replace(found(signature()), dmarc=DmarcOutcome(R.PERMERROR, reason="the From field names 2 authors"))
    verdict = {"refuse": "refuse", "quarantine": "hold", "tag": "accept"}[on_failure]
    found_verdict, reply, why = judge(partner(dmarc=demand, on_failure=on_failure), facts)
    assert (found_verdict, why) == (verdict, ["dmarc"])
    assert reply == ("550 5.7.26" if verdict == "refuse" else "")
