"""DMARC: whose domain is judged, and what bounds it."""

from __future__ import annotations

import pytest

from mta.model.address import Mailbox
from mta.model.auth import AuthResult, DkimOutcome, SpfOutcome
from mta.model.author import FromField
from mta.rfc.dmarc.check import MAX_DESTINATIONS, check, report_destinations
from mta.rfc.dmarc.parse import MAX_RECORD, parse_record, select_record
from mta.rfc.dmarc.walk import MAX_QUERIES, names
from tests.support.fake_resolver import TEMPORARY, FakeResolver

EVE = Mailbox("eve", "e.example", "e.example")
BOB = Mailbox("bob", "b.example", "b.example")
PASSES = SpfOutcome(AuthResult.PASS, "b.example")
SIGNED = (DkimOutcome(AuthResult.PASS, "b.example"), DkimOutcome(AuthResult.PASS, "e.example"))


def _resolver() -> FakeResolver:
    return FakeResolver(
        {("_dmarc.b.example", "TXT"): ["v=DMARC1; p=reject"], ("_dmarc.e.example", "TXT"): ["v=DMARC1; p=none"]}
    )


@pytest.mark.parametrize(
    ("from_field", "reason"),
    [
        (FromField(), "no From field"),
        (FromField((BOB, EVE), 1), "2 authors"),
        (FromField((BOB, BOB), 1), "2 authors"),
        (FromField((BOB, EVE), 2), "2 From fields"),
        (FromField((BOB,), 2), "2 From fields"),
        (FromField((BOB,), 1, "an address without a domain"), "an address without a domain"),
        (FromField((), 1), "0 authors"),
    ],
)
async def test_without_one_author_there_is_never_a_pass(from_field: FromField, reason: str) -> None:
    resolver = _resolver()
    outcome = await check(from_field, PASSES, SIGNED, resolver)
    assert outcome.result is AuthResult.PERMERROR
    assert reason in outcome.reason
    assert not resolver.asked


async def test_an_address_literal_has_no_domain_to_ask() -> None:
    resolver = _resolver()
    author = Mailbox("a", "[192.0.2.1]", "[192.0.2.1]")
    outcome = await check(FromField((author,), 1), SpfOutcome(AuthResult.PASS, "[192.0.2.1]"), (), resolver)
    assert (outcome.result, resolver.asked) == (AuthResult.NONE, 0)


async def test_results_that_are_no_pass_vouch_for_nothing() -> None:
    for result in AuthResult:
        if result in (AuthResult.PASS, AuthResult.TEMPERROR):
            continue
        dkim = (DkimOutcome(result, "b.example"),)
        outcome = await check(FromField((BOB,), 1), SpfOutcome(result, "b.example"), dkim, _resolver())
        assert (outcome.result, outcome.policy) == (AuthResult.FAIL, "reject"), result


async def test_a_hundred_signatures_do_not_mean_a_hundred_walks() -> None:
    resolver = _resolver()
    dkim = tuple(DkimOutcome(AuthResult.PASS, f"s{i}.b.example") for i in range(100))
    outcome = await check(FromField((BOB,), 1), SpfOutcome(AuthResult.NONE), dkim, resolver)
    assert outcome.result is AuthResult.PASS
    assert resolver.asked <= 12 * MAX_QUERIES


async def test_one_domain_of_many_signatures_is_walked_once() -> None:
    resolver = _resolver()
    dkim = (DkimOutcome(AuthResult.PASS, "s.b.example"),) * 9
    await check(FromField((BOB,), 1), SpfOutcome(AuthResult.PASS, "s.b.example"), dkim, resolver)
    assert resolver.queries["_dmarc.s.b.example", "TXT"] == 1


@pytest.mark.parametrize("labels", range(1, 130))
def test_a_walk_asks_at_most_eight_names(labels: int) -> None:
    domain = ".".join(["a"] * labels)
    walked = names(domain)
    assert walked[0] == domain
    assert len(walked) == min(labels, MAX_QUERIES)
    assert walked[-1] == "a"


def test_what_a_record_says_beside_its_policy() -> None:
    record = parse_record(
        b"v=DMARC1; p=none; fo=1:d; rua=mailto:a@b.example!10m, mailto:c@d.example,nonsense; ruf=https://b.example/x"
    )
    assert record is not None
    assert record.rua == ("mailto:a@b.example", "mailto:c@d.example")
    assert record.ruf == ("https://b.example/x",)
    assert record.failure_options == "1:d"


def test_an_endless_record_is_none() -> None:
    assert parse_record(b"v=DMARC1; p=reject; x=" + b"y" * MAX_RECORD) is None


def test_octets_that_are_no_text_spoil_their_tag_only() -> None:
    record = select_record((b"v=DMARC1; p=reject; sp=r\xffject; rua=mailto:a@b.example\r\nX: y",))
    assert record is not None
    assert record.p == "reject"
    assert "\r" not in record.text


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("mailto:a@b.example", ["mailto:a@b.example"]),
        ("mailto:a@x.b.example", ["mailto:a@x.b.example"]),
        ("mailto:a@agreed.example", ["mailto:a@agreed.example"]),
        ("mailto:a@moved.example", ["mailto:new@moved.example"]),
        ("mailto:a@away.example", []),
        ("mailto:a@other.example", []),
        ("mailto:a@unknown.example", []),
        ("https://b.example/x", []),
        ("mailto:nobody", []),
        ("mailto:a@b.example?subject=x@other.example", ["mailto:a@b.example?subject=x@other.example"]),
    ],
)
async def test_reports_go_to_those_who_agreed(address: str, sent: list[str]) -> None:
    resolver = _resolver()
    resolver.set("b.example._report._dmarc.agreed.example", "TXT", ["v=DMARC1", "v=DMARC1;"])
    resolver.set("b.example._report._dmarc.moved.example", "TXT", ["v=DMARC1; rua=mailto:new@moved.example"])
    resolver.set("b.example._report._dmarc.away.example", "TXT", ["v=DMARC1; rua=mailto:new@victim.example"])
    resolver.set("b.example._report._dmarc.unknown.example", "TXT", TEMPORARY)
    assert list(await report_destinations("b.example", (address,), resolver)) == sent


async def test_a_record_with_a_thousand_addresses_is_no_weapon() -> None:
    resolver = _resolver()
    addresses = tuple(f"mailto:a@{i}.victim.example" for i in range(1000))
    assert await report_destinations("b.example", addresses, resolver) == ()
    assert resolver.asked <= (MAX_DESTINATIONS + 1) * (MAX_QUERIES + 1)
