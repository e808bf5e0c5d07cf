"""SPF as we ask about it: identities, limits, reasons, and what the corpus does not say."""

from __future__ import annotations

import pytest

from mta.model.address import Mailbox
from mta.model.auth import AuthResult
from mta.rfc.spf.check import MAX_EXPLANATION, SpfQuery, check, check_helo, check_mail_from
from mta.rfc.spf.parse import MAX_RECORD
from tests.support.fake_resolver import TEMPORARY, FakeResolver

BOB = Mailbox("bob", "b.example", "b.example")
QUERY = SpfQuery("192.0.2.1", "mx.b.example", BOB, "mx.us.example", 1767225600.0)


def _zone(record: str, **more: object) -> FakeResolver:
    resolver = FakeResolver({("b.example", "TXT"): [record]})
    for place, value in more.items():
        rdtype, name = place.split("_", 1)
        resolver.set(name.replace("_", "."), rdtype, value)  # type: ignore[arg-type]
    return resolver


@pytest.mark.parametrize(
    ("record", "result", "reason"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass", "ip4:192.0.2.0/24 of b.example"),
        ("v=spf1 ip4:192.0.3.0/24 -all", "fail", "-all of b.example"),
        ("v=spf1 ip4:192.0.3.0/24 ~all", "softfail", "~all of b.example"),
        ("v=spf1", "neutral", "no mechanism of b.example matches"),
        ("v=spf10 +all", "none", "b.example publishes no SPF record"),
        ("v=spf1\t+all", "none", "b.example publishes no SPF record"),
        ("v=spf1 include:c.example -all", "pass", "+all of c.example, by include:c.example of b.example"),
        ("v=spf1 redirect=c.example", "pass", "+all of c.example, by redirect of b.example"),
        ("v=spf1 redirect=c.example -all", "fail", "-all of b.example"),
        ("v=spf1 include:d.example -all", "permerror", "include:d.example of b.example: there is no SPF record"),
        ("v=spf1 ip4:192.0.2.01 -all", "permerror", "ip4:192.0.2.01: '192.0.2.01' is no IPv4 address"),
        ("v=spf1 ip6:fe80::1%eth0 -all", "permerror", "has a zone"),
        ("v=spf1 a/33 -all", "permerror", "'/33' is longer than an address"),
        ("v=spf1 redirect=c.example redirect=c.example", "permerror", "redirect= stands there twice"),
        ("v=spf1 " + "x=" + "y" * MAX_RECORD, "permerror", "longer than"),
    ],
)
async def test_the_reason_names_what_decided(record: str, result: str, reason: str) -> None:
    outcome = await check_mail_from(QUERY, _zone(record, TXT_c_example=["v=spf1 +all"]))
    assert outcome.result.value == result
    assert reason in outcome.reason
    assert outcome.domain == "b.example"


async def test_two_records_are_a_permanent_error() -> None:
    resolver = FakeResolver({("b.example", "TXT"): ["v=spf1 +all", "V=SPF1 -all", "something else"]})
    outcome = await check_mail_from(QUERY, resolver)
    assert (outcome.result, outcome.reason) == (AuthResult.PERMERROR, "b.example publishes 2 SPF records")


async def test_a_mapped_address_is_ipv4() -> None:
    query = SpfQuery("::ffff:192.0.2.1", "mx.b.example", BOB)
    assert (await check_mail_from(query, _zone("v=spf1 ip4:192.0.2.1 -all"))).result is AuthResult.PASS
    assert (await check_mail_from(query, _zone("v=spf1 ip6:::ffff:192.0.2.1 -all"))).result is AuthResult.FAIL


async def test_an_ipv6_client_is_compared_with_aaaa() -> None:
    query = SpfQuery("2001:db8::1", "mx.b.example", BOB)
    resolver = _zone("v=spf1 a:h.example//64 -all", AAAA_h_example=["2001:db8::2"], A_h_example=["192.0.2.1"])
    assert (await check_mail_from(query, resolver)).result is AuthResult.PASS
    assert ("h.example", "A") not in resolver.queries


async def test_the_null_sender_is_postmaster_of_the_helo_name_and_asked_about_once() -> None:
    resolver = FakeResolver({("mx.b.example", "TXT"): ["v=spf1 exists:%{l}.x.example -all"]})
    resolver.set("postmaster.x.example", "A", ["127.0.0.2"])
    helo, mail_from = await check(SpfQuery("192.0.2.1", "mx.b.example", None), resolver)
    assert helo == mail_from
    assert helo.result is AuthResult.PASS
    assert resolver.queries["mx.b.example", "TXT"] == 1


async def test_helo_and_mail_from_are_two_questions() -> None:
    resolver = _zone("v=spf1 -all", TXT_mx_b_example=["v=spf1 +all"])
    helo, mail_from = await check(QUERY, resolver)
    assert (helo.result, helo.domain) == (AuthResult.PASS, "mx.b.example")
    assert (mail_from.result, mail_from.domain) == (AuthResult.FAIL, "b.example")


@pytest.mark.parametrize("helo", ["[192.0.2.1]", "localhost", "", "a..b", "a b.example\r\n", "[x.y]"])
async def test_a_helo_that_is_no_domain_is_nothing_to_check(helo: str) -> None:
    resolver = FakeResolver()
    outcome = await check_helo(SpfQuery("192.0.2.1", helo), resolver)
    if helo.startswith("a b"):
        assert "\r" not in outcome.reason
    else:
        assert not resolver.asked
    assert outcome.result is AuthResult.NONE


async def test_what_is_unknown_is_temporary() -> None:
    for record, place in [
        ("v=spf1 a:h.example -all", "A"),
        ("v=spf1 mx:h.example -all", "MX"),
        ("v=spf1 exists:h.example -all", "A"),
        ("v=spf1 include:h.example -all", "TXT"),
        ("v=spf1 redirect=h.example", "TXT"),
    ]:
        resolver = _zone(record)
        resolver.set("h.example", place, TEMPORARY)
        outcome = await check_mail_from(QUERY, resolver)
        assert outcome.result is AuthResult.TEMPERROR, record
        assert "cannot be looked up" in outcome.reason


async def test_ten_terms_may_ask_and_eleven_may_not() -> None:
    zone = {(f"h{i}.example", "A"): ["198.51.100.1"] for i in range(11)}
    for count, result in ((10, AuthResult.FAIL), (11, AuthResult.PERMERROR)):
        terms = " ".join(f"a:h{i}.example" for i in range(count))
        resolver = FakeResolver({**zone, ("b.example", "TXT"): [f"v=spf1 {terms} -all"]})
        assert (await check_mail_from(QUERY, resolver)).result is result


async def test_two_look_ups_may_find_nothing_and_three_may_not() -> None:
    for count, result in ((2, AuthResult.FAIL), (3, AuthResult.PERMERROR)):
        terms = " ".join(f"a:h{i}.example" for i in range(count))
        outcome = await check_mail_from(QUERY, _zone(f"v=spf1 {terms} -all"))
        assert outcome.result is result
    assert "addresses of h2.example" in outcome.reason


async def test_a_record_that_includes_itself_ends() -> None:
    resolver = _zone("v=spf1 include:b.example -all")
    assert (await check_mail_from(QUERY, resolver)).result is AuthResult.PERMERROR
    assert resolver.asked == 11


async def test_after_twenty_seconds_it_is_temporary() -> None:
    terms = " ".join(f"a:h{i}.example" for i in range(5))
    resolver = FakeResolver({("b.example", "TXT"): [f"v=spf1 {terms} -all"]}, delay=8.0)
    for i in range(5):
        resolver.set(f"h{i}.example", "A", ["198.51.100.1"])
    outcome = await check_mail_from(QUERY, resolver, resolver)
    assert outcome.result is AuthResult.TEMPERROR
    assert "20 seconds" in outcome.reason
    assert resolver.asked == 3


async def test_of_many_names_of_a_client_ten_are_looked_at() -> None:
    names = [f"n{i:02}.b.example" for i in range(50)]
    resolver = _zone("v=spf1 ptr -all")
    resolver.set("1.2.0.192.in-addr.arpa", "PTR", names)
    resolver.set("n11.b.example", "A", ["192.0.2.1"])
    assert (await check_mail_from(QUERY, resolver)).result is AuthResult.FAIL
    assert resolver.asked == 12


async def test_an_explanation_is_the_domains_own_words_in_print() -> None:
    resolver = _zone("v=spf1 exp=why.b.example -all", TXT_why_b_example=["%{i} is no host of %{o}%%" + "!" * 999])
    said = (await check_mail_from(QUERY, resolver)).explanation
    assert said.startswith("192.0.2.1 is no host of b.example%!!!")
    assert len(said) == MAX_EXPLANATION


@pytest.mark.parametrize("text", [b"caf\xc3\xa9", b"%{x}", b"100%"])
async def test_an_explanation_that_is_none_is_left_out(text: bytes) -> None:
    outcome = await check_mail_from(QUERY, _zone("v=spf1 exp=why.b.example -all", TXT_why_b_example=[text]))
    assert (outcome.result, outcome.explanation) == (AuthResult.FAIL, "")


async def test_a_line_end_never_gets_into_an_explanation() -> None:
    query = SpfQuery("192.0.2.1", "mx\r\nX: y", BOB)
    resolver = _zone("v=spf1 exp=why.b.example -all", TXT_why_b_example=["%{h}"])
    assert (await check_mail_from(query, resolver)).explanation == "mxX: y"


async def test_a_local_part_beyond_ascii_matches_no_macro() -> None:
    query = SpfQuery("192.0.2.1", "mx.b.example", Mailbox("jörg", "b.example", "b.example"))
    resolver = _zone("v=spf1 exists:%{L}.c.example exists:%{d} -all", A_b_example=["192.0.2.9"])
    resolver.set("j%c3%b6rg.c.example", "A", ["127.0.0.2"])
    assert (await check_mail_from(query, resolver)).reason == "exists:%{d} of b.example"


async def test_an_unknown_client_is_nothing_to_check() -> None:
    outcome = await check_mail_from(SpfQuery("", "mx.b.example", BOB), _zone("v=spf1 +all"))
    assert outcome.result is AuthResult.NONE


async def test_a_null_mx_is_no_host() -> None:
    resolver = _zone("v=spf1 mx -all", MX_b_example=["0 ."])
    assert (await check_mail_from(QUERY, resolver)).result is AuthResult.FAIL
    assert resolver.asked == 2
