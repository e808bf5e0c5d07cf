"""A message's signatures judged: each on its own, with its reason, and never by an exception."""

from __future__ import annotations

import asyncio
import time

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.model.auth import AuthResult
from mta.ports import DnsStatus, TxtAnswer
from mta.rfc.dkim.canonicalize import Canonicalization, Headers, Unsigned
from mta.rfc.dkim.check import check
from mta.rfc.dkim.parse import parse_tags
from mta.rfc.dkim.sign import Signer
from mta.rfc.dkim.write import insert_signature
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.patience import PATIENCE, cpu
from tests.support.signatures import (
    DOMAIN,
    MESSAGE,
    NOW,
    auth_message,
    ed25519_key,
    ed25519_signer,
    judged,
    local_signer,
    pem,
    public,
    published,
    record,
    resolver_of,
    rsa_key,
    rsa_signer,
    signed,
)

R, E = f"r._domainkey.{DOMAIN}", f"e._domainkey.{DOMAIN}"
GOOD = signed(MESSAGE, rsa_signer())


async def test_both_algorithms_pass_and_say_what_they_are() -> None:
    ours, theirs = await judged(signed(MESSAGE, rsa_signer(), ed25519_signer()))
    assert (ours.result, theirs.result) == (AuthResult.PASS, AuthResult.PASS)
    assert (ours.algorithm, ours.key_bits, ours.selector) == ("rsa-sha256", 2048, "r")
    assert (theirs.algorithm, theirs.key_bits, theirs.selector) == ("ed25519-sha256", 0, "e")
    assert ours.domain == DOMAIN
    assert ours.identity == f"@{DOMAIN}"
    assert ours.signed_headers[:2] == ("from", "from")
    assert ours.tag != theirs.tag


async def test_a_message_without_signatures_has_no_outcomes() -> None:
    assert await judged(MESSAGE) == ()


@pytest.mark.parametrize(
    ("old", "new", "result", "reason"),
    [
        (b"all is well", b"all is lost", AuthResult.FAIL, "body"),
        (b"Figures", b"Invoice", AuthResult.FAIL, "header"),
        (b"From: Anna", b"From: Eve <e@x.example>\r\nFrom: Anna", AuthResult.FAIL, "header"),
        (b"Subject:", b"Subject: more\r\nSubject:", AuthResult.FAIL, "header"),
        (b"Subject: Figures\r\n", b"", AuthResult.FAIL, "header"),
        (b"From: Anna <anna@contoso.example>\r\n", b"", AuthResult.FAIL, "header"),
        (b"c=relaxed/relaxed", b"c=relaxed/simple", AuthResult.FAIL, "header"),
        (b"a=rsa-sha256", b"a=rsa-sha1", AuthResult.PERMERROR, "RFC 8301"),
        (b"a=rsa-sha256", b"a=ed25519-sha256", AuthResult.PERMERROR, "kind rsa"),
        (b" s=r;", b" s=nowhere;", AuthResult.PERMERROR, "no key at nowhere"),
        (b" bh=", b" bh=;bh=", AuthResult.PERMERROR, "twice"),
        (b" v=1;", b"", AuthResult.PERMERROR, "v= is missing"),
        (b" t=", b" x=1000;t=", AuthResult.PERMERROR, "later"),
    ],
)
async def test_what_was_changed_on_the_way_does_not_pass(
    old: bytes, new: bytes, result: AuthResult, reason: str
) -> None:
    changed = GOOD.replace(old, new, 1)
    assert changed != GOOD
    (outcome,) = await judged(changed)
    assert outcome.result is result
    assert reason in outcome.reason


async def test_relaxed_white_space_and_other_fields_may_change() -> None:
    changed = GOOD.replace(b"Subject: Figures", b"SUBJECT :\t Figures \r\n\t ").replace(b"is well.", b"is  well. ")
    (outcome,) = await judged(b"Received: by relay\r\n" + changed)
    assert outcome.result is AuthResult.PASS


@pytest.mark.parametrize(
    ("value", "result", "reason"),
    [
        (b"v=DKIM1; p=", AuthResult.PERMERROR, "revoked"),
        (b"v=DKIM1; h=sha1; p=%s", AuthResult.PERMERROR, "sha256"),
        (b"v=DKIM1; h=sha256:x; p=%s", AuthResult.PASS, "good"),
        (b"v=DKIM1; s=tlsrpt; p=%s", AuthResult.PERMERROR, "e-mail"),
        (b"v=DKIM1; s=tlsrpt:email; p=%s", AuthResult.PASS, "good"),
        (b"v=DKIM1; k=ed25519; p=%s", AuthResult.PERMERROR, "32 octets"),
        (b"v=DKIM1; k=future; p=%s", AuthResult.PERMERROR, "not known"),
        (b"v=DKIM1; t=s; p=%s", AuthResult.PASS, "good"),
        (b"v=DKIM1; t=y; p=%s", AuthResult.PASS, "t=y"),
        (b"v=DKIM1; p=%s; p=%s", AuthResult.PERMERROR, "twice"),
        (b"p=%s; n=" + b"x" * 4096, AuthResult.PERMERROR, "4096"),
        (b"v=spf1 -all", AuthResult.PERMERROR, "nothing there is a key"),
    ],
)
async def test_the_key_record_decides(value: bytes, result: AuthResult, reason: str) -> None:
    (outcome,) = await judged(GOOD, {R: value.replace(b"%s", public(rsa_key()))})
    assert outcome.result is result
    assert reason in outcome.reason
    assert outcome.testing is (b"t=y" in value)


async def test_another_key_under_the_name_is_a_failure() -> None:
    other = rsa_key.__wrapped__()
    (outcome,) = await judged(GOOD, {R: record(other)})
    assert outcome.result is AuthResult.FAIL


async def test_a_weak_key_is_a_permanent_error_and_1024_bits_are_told() -> None:
    (outcome,) = await judged(
        signed(MESSAGE, local_signer(DOMAIN, "w", rsa_key(1024))), {f"w._domainkey.{DOMAIN}": record(rsa_key(1024))}
    )
    assert (outcome.result, outcome.key_bits) == (AuthResult.PASS, 1024)


async def test_several_keys_under_one_name_mean_nothing() -> None:
    (outcome,) = await judged(GOOD, {R: [record(rsa_key()), b"v=DKIM1; p="]})
    assert outcome.result is AuthResult.PERMERROR
    assert "2 different keys" in outcome.reason
    once = record(rsa_key())
    for same in (once, once.replace(b"k=rsa; ", b""), once.replace(b"; ", b";") + b";"):
        (outcome,) = await judged(GOOD, {R: [once, same, b"v=spf1 -all"]})
        assert outcome.result is AuthResult.PASS
    for other in (once + b"; t=y", record(rsa_key(1024)), once.replace(b"p=", b"p=!")):
        (outcome,) = await judged(GOOD, {R: [once, other]})
        assert outcome.result is AuthResult.PERMERROR


async def test_no_answer_is_temporary_and_no_key_is_permanent() -> None:
    both = signed(MESSAGE, rsa_signer(), ed25519_signer())
    resolver = FakeResolver({(R, "TXT"): TEMPORARY})
    first, second = await check(auth_message(both), resolver, NOW)
    assert (first.result, second.result) == (AuthResult.TEMPERROR, AuthResult.PERMERROR)
    assert "cannot be looked up now" in first.reason
    assert "no key" in second.reason


def with_tags(tags: bytes, message: bytes = MESSAGE, key: Signer | None = None) -> bytes:
    """A good signature with these tags besides."""
    whole = signed(message, key or rsa_signer())
    head, rest = whole.split(b" bh=", 1)
    field, end = rest.split(b"b=", 1)[0], message
    value = head + b" " + tags + b"; bh=" + field + b"b="
    block = auth_message(value + b"\r\n" + end).block
    found = block.fields[0]
    names = [name.strip() for name in parse_tags(block.raw[found.value_start : found.end])["h"].split(b":")]
    blank = Unsigned.of(found, block.raw).canonical(Canonicalization.RELAXED)
    digest = Headers(block).digest(names, Canonicalization.RELAXED, found, blank)
    return insert_signature(value.decode(), (key or rsa_signer()).sign(digest)) + end


@pytest.mark.parametrize(
    ("tags", "record_tags", "result", "reason"),
    [
        (b"x=1790000100", b"", AuthResult.PASS, "good"),
        (b"i=anna@mail.contoso.example", b"", AuthResult.PASS, "good"),
        (b"i=anna@mail.contoso.example", b"t=s;", AuthResult.PERMERROR, "t=s"),
        (b"i=anna@contoso.example", b"t=y:s;", AuthResult.PASS, "good"),
        (b"i=anna@fabrikam.example", b"", AuthResult.PERMERROR, "not under"),
        (b"l=22", b"", AuthResult.PASS, "good"),
        (b"l=23", b"", AuthResult.FAIL, "has 22 octets"),
        (b"q=dns/txt", b"", AuthResult.PASS, "good"),
        (b"unknown=tag", b"", AuthResult.PASS, "good"),
    ],
)
async def test_the_tags_of_the_signature_decide(
    tags: bytes, record_tags: bytes, result: AuthResult, reason: str
) -> None:
    (outcome,) = await judged(with_tags(tags), {R: record_tags + b"p=" + public(rsa_key())})
    assert outcome.result is result
    assert reason in outcome.reason


async def test_a_signature_expires() -> None:
    message = with_tags(b"x=1790000100")
    (outcome,) = await judged(message, now=NOW + 100)
    assert outcome.result is AuthResult.PASS
    (outcome,) = await judged(message, now=NOW + 102)
    assert outcome.result is AuthResult.FAIL
    assert "expired 2 seconds ago" in outcome.reason


async def test_text_appended_behind_the_signed_length_is_not_a_pass() -> None:
    """l= shorter than the body: what follows is anybody's."""
    short = with_tags(b"l=22") + b"<h1>Pay here</h1>\r\n"
    (outcome,) = await judged(short)
    assert outcome.result is AuthResult.POLICY
    assert outcome.body_length == 22
    assert "22 of 41 octets" in outcome.reason


@pytest.mark.parametrize("name", [b"From:", b"From\x0b:", b"From\r\n :", b"\xa0From :"])
async def test_a_second_from_beside_a_good_signature_is_not_a_pass(name: bytes) -> None:
    """h= names From once: a From put on top is not signed, and readers may show it."""
    once = signed_once(MESSAGE)
    (outcome,) = await judged(once)
    assert outcome.result is AuthResult.PASS
    (outcome,) = await judged(name + b" Eve <eve@evil.example>\r\n" + once)
    assert outcome.result is AuthResult.POLICY
    assert "2 From fields" in outcome.reason


def signed_once(message: bytes) -> bytes:
    """A signature by dkimpy that does not oversign."""
    signer = dkim.DKIM(message)
    return signer.sign(b"r", DOMAIN.encode(), pem(rsa_key()), include_headers=[b"from"]) + message


async def test_a_message_without_from_is_a_permanent_error() -> None:
    (outcome,) = await judged(signed(b"Subject: x\r\n\r\nbody\r\n", rsa_signer()))
    assert outcome.result is AuthResult.PERMERROR
    assert "no From" in outcome.reason


async def test_names_are_looked_up_once_and_side_by_side() -> None:
    both = signed(MESSAGE, rsa_signer(), ed25519_signer(), rsa_signer())
    resolver = resolver_of(published())
    assert [outcome.result.passed for outcome in await check(auth_message(both), resolver, NOW)] == [True] * 3
    assert resolver.queries == {(R, "TXT"): 1, (E, "TXT"): 1}

    class Waiting(FakeResolver):
        begun = 0

        async def txt(self, name: str) -> TxtAnswer:
            self.begun += 1
            while self.begun < 2:
                await asyncio.sleep(0)
            return TxtAnswer(DnsStatus.NXDOMAIN)

    await asyncio.wait_for(check(auth_message(both), Waiting(), NOW), PATIENCE)


async def test_at_most_ten_signatures_are_judged_and_the_good_one_among_them_counts() -> None:
    bad = b"DKIM-Signature: v=1; a=rsa-sha256; d=x%d.example; s=s; h=from; bh=AAAA; b=AAAA\r\n"
    noise = b"".join(bad % number for number in range(9))
    resolver = resolver_of(published())
    outcomes = await check(auth_message(noise + GOOD), resolver, NOW)
    assert [outcome.result.passed for outcome in outcomes] == [False] * 9 + [True]
    outcomes = await check(auth_message(noise + noise + GOOD), resolver, NOW)
    assert len(outcomes) == 10


async def test_a_hostile_header_costs_little_time() -> None:
    names = b":".join([b"from", b"to"] * 10_000)
    field = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=contoso.example; s=r; bh=AAAA; b=AAAA; h="
    tags = b"DKIM-Signature: " + b"; " * 50_000 + b"\r\n"
    spaces = b"DKIM-Signature:" + b" ;b" * 50_000 + b"=" * 9 + b"\r\n"
    start = time.process_time()
    for outcome in await judged((field + names + b"\r\n") * 5 + tags + spaces + b"To: x\r\n" * 15_000 + MESSAGE):
        assert not outcome.result.passed
    assert time.process_time() - start < cpu(2)


TAGS = st.sampled_from(
    b"v=1 a=rsa-sha256 a=ed25519-sha256 d=contoso.example d=\xff s=r s= h=from h=: bh=AAAA b=AAAA b= l=0 "
    b"l=99999999999999999999 x=1 i=@ i== c=/ t=-1 =".split(b" ")
)


@settings(max_examples=200)
@given(
    st.lists(TAGS | st.binary(max_size=8), max_size=12),
    st.binary(max_size=60),
    st.sampled_from([b"v=DKIM1; p=", b"p=AAAA", b"\xff", b"", b"k=ed25519; p=" + public(ed25519_key())]),
)
async def test_any_field_gets_an_outcome(tags: list[bytes], body: bytes, key: bytes) -> None:
    raw = b"DKIM-Signature: " + b";".join(tags) + b"\r\nFrom: a@b.example\r\n\r\n" + body
    for outcome in await judged(raw, {R: key}):
        assert not outcome.result.passed
        assert outcome.reason


@given(st.binary(max_size=120))
async def test_any_octets_are_judged(raw: bytes) -> None:
    for outcome in await judged(b"DKIM-Signature:" + raw):
        assert not outcome.result.passed
