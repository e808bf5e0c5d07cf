"""Chains sealed by us and judged by us: each link holds, and nothing that breaks one passes."""

from __future__ import annotations

import re
import time

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.errors import LocalProtocolError
from mta.model.auth import ArcOutcome, AuthResult
from mta.rfc.arc.check import check
from mta.rfc.arc.seal import Sealing, seal
from mta.rfc.arc.verify import body_requests as arc_requests
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.check import check as check_dkim
from mta.rfc.dkim.sign import BODY, Signer
from mta.rfc.dkim.verify import body_requests as dkim_requests
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.patience import cpu
from tests.support.signatures import (
    MESSAGE,
    NOW,
    auth_message,
    ed25519_key,
    local_signer,
    pem,
    published,
    record,
    resolver_of,
    rsa_key,
    rsa_signer,
    signed,
)

RESULTS = b"mx.contoso.example; spf=pass smtp.mailfrom=a@b.example;\r\n dkim=pass (good) header.d=b.example"


def signer_of(number: int) -> Signer:
    if number % 2:
        return local_signer(f"hop{number}.example", "r", rsa_key())
    return local_signer(f"hop{number}.example", "e", ed25519_key())


def zone(count: int = 60) -> dict[str, bytes]:
    keys = published()
    for number in range(1, count + 1):
        signer = signer_of(number)
        keys[f"{signer.selector}._domainkey.{signer.domain}"] = record(rsa_key() if number % 2 else ed25519_key())
    return keys


def sealed(raw: bytes, number: int, state: AuthResult | None = None, results: bytes = RESULTS) -> bytes:
    message = auth_message(raw)
    state = state or (AuthResult.PASS if number > 1 else AuthResult.NONE)
    hashed = body_hashes(message, [BODY])[BODY].digest
    return seal(Headers(message.block), hashed, signer_of(number), Sealing(results, state), NOW) + raw


def chain(count: int, raw: bytes = MESSAGE) -> bytes:
    for number in range(1, count + 1):
        raw = sealed(raw, number)
    return raw


async def state(raw: bytes, keys: dict[str, bytes] | None = None) -> ArcOutcome:
    return await check(auth_message(raw), resolver_of(zone() if keys is None else keys), NOW)


async def test_a_message_without_sets_has_no_chain() -> None:
    assert (await state(MESSAGE)).result is AuthResult.NONE


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_a_chain_passes_and_names_its_sealers_newest_first(count: int) -> None:
    outcome = await state(chain(count))
    assert outcome.result is AuthResult.PASS
    assert outcome.sealers == tuple(f"hop{number}.example" for number in range(count, 0, -1))
    assert outcome.oldest_pass == 1


async def test_dkimpy_accepts_our_chain() -> None:
    """With RSA alone: its verifier takes no other key for ARC in this version."""
    raw = signed(MESSAGE, rsa_signer(), now=1_700_000_000)
    for number, verdict in ((1, AuthResult.NONE), (3, AuthResult.PASS)):
        message = auth_message(raw)
        hashed = body_hashes(message, [BODY])[BODY].digest
        added = seal(Headers(message.block), hashed, signer_of(number), Sealing(RESULTS, verdict), 1_700_000_000)
        raw = added + raw
    keys = zone()
    verdict, results, reason = dkim.ARC(raw).verify(dnsfunc=lambda name, timeout=5: keys[name.decode().rstrip(".")])
    assert verdict == dkim.CV_Pass, reason
    assert len(results) == 2


async def test_we_accept_the_chain_of_dkimpy() -> None:
    raw = b"Authentication-Results: mx.example; arc=none; spf=pass smtp.mailfrom=a@b.example\r\n" + MESSAGE
    fields = dkim.ARC(raw).sign(b"r", b"hop1.example", pem(rsa_key()), b"mx.example", timestamp="1700000000")
    outcome = await state(b"".join(fields) + raw)
    assert outcome.result is AuthResult.PASS, outcome
    assert outcome.sealers == ("hop1.example",)


async def test_a_change_after_the_first_hop_shows_in_the_oldest_that_passes() -> None:
    first = sealed(MESSAGE, 1)
    raw = sealed(first.replace(b"Subject: Figures", b"Subject: [list] Figures"), 2)
    outcome = await state(sealed(raw, 3))
    assert (outcome.result, outcome.oldest_pass) == (AuthResult.PASS, 2)


async def test_an_older_signature_that_fits_again_does_not_count_behind_one_that_does_not() -> None:
    second = sealed(sealed(MESSAGE, 1).replace(b"Subject: Figures", b"Subject: [list] Figures"), 2)
    outcome = await state(sealed(second.replace(b"Subject: [list] Figures", b"Subject: Figures"), 3))
    assert (outcome.result, outcome.oldest_pass) == (AuthResult.PASS, 3)


async def test_a_message_signature_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_end(signer: Signer, instance: int, now: float) -> list[tuple[str, str]]:
        return [("d", signer.domain), ("i", str(instance)), ("s", signer.selector), ("x", str(int(now) + 10))]

    monkeypatch.setattr("mta.rfc.arc.seal._who", with_end)
    message = auth_message(chain(1))
    assert (await check(message, resolver_of(zone()), NOW + 10)).result is AuthResult.PASS
    outcome = await check(message, resolver_of(zone()), NOW + 12)
    assert outcome.result is AuthResult.FAIL
    assert "expired" in outcome.reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"all is well", b"all is lost", "message signature of ARC set 3"),
        (b"Subject: Figures", b"Subject: Invoice", "message signature of ARC set 3"),
        (b"Subject:", b"From: eve@evil.example\r\nSubject:", "message signature of ARC set 3"),
        (b"i=1;\r\n mx.contoso", b"i=1;\r\n mx.evil", "seal of ARC set 1"),
        (b"i=2;\r\n mx.contoso", b"i=2;\r\n mx.evil", "seal of ARC set 2"),
        (b"i=3;\r\n mx.contoso", b"i=3;\r\n mx.evil", "seal of ARC set 3"),
        (b"cv=none", b"cv=pass", "cv='pass'"),
        (b"cv=pass", b"cv=none", "cv='none'"),
        (b"cv=pass", b"cv=maybe", "cv='maybe'"),
        (b"ARC-Seal:", b"X-Seal:", "ARC set 3 of 3 has no arc-seal"),
        (b"ARC-Authentication-Results: i=2", b"X: i=2", "ARC set 2 of 3 has no"),
        (b"ARC-Authentication-Results: i=2", b"ARC-Authentication-Results: i=3", "two arc-authentication-results"),
        (b"ARC-Authentication-Results: i=2", b"ARC-Authentication-Results: i=0", "no instance"),
        (b"ARC-Authentication-Results: i=2", b"ARC-Authentication-Results: i=51", "no instance"),
        (b"ARC-Authentication-Results: i=2", b"ARC-Authentication-Results: j=2", "no instance"),
        (b"ARC-Seal: a=", b"ARC-Seal: h=from; a=", "must not"),
        (b"ARC-Seal: a=rsa-sha256", b"ARC-Seal: a=rsa-sha1", "RFC 8301"),
        (b" h=from:", b" h=arc-seal:from:", "ARC-Seal"),
    ],
)
async def test_what_breaks_a_link_breaks_the_chain(old: bytes, new: bytes, reason: str) -> None:
    good = chain(3)
    assert (await state(good)).result is AuthResult.PASS
    broken = good.replace(old, new, 1)
    assert broken != good
    outcome = await state(broken)
    assert outcome.result is AuthResult.FAIL
    assert reason in outcome.reason
    assert outcome.sealers == ()


async def test_sets_cannot_be_moved_to_another_message() -> None:
    good = chain(2)
    stolen = good[: good.index(b"From: Anna")] + b"From: eve@evil.example\r\nSubject: Pay\r\n\r\nnow\r\n"
    assert (await state(stolen)).result is AuthResult.FAIL


async def test_the_newest_set_cannot_be_cut_off_with_its_change() -> None:
    """A hop changed the subject and sealed; without its set the message no longer fits the older one."""
    first = sealed(MESSAGE, 1)
    second = sealed(first.replace(b"Figures", b"[list] Figures"), 2)
    assert (await state(second)).result is AuthResult.PASS
    assert (await state(second[second.index(b"ARC-Seal", 5) :])).result is AuthResult.FAIL


async def test_a_missing_key_is_a_failure_and_an_unanswered_one_temporary() -> None:
    raw, keys = chain(2), zone()
    del keys["r._domainkey.hop1.example"]
    outcome = await state(raw, keys)
    assert outcome.result is AuthResult.FAIL
    assert "no key" in outcome.reason
    resolver = FakeResolver({(name, "TXT"): [value] for name, value in keys.items()})
    resolver.set("r._domainkey.hop1.example", "TXT", TEMPORARY)
    outcome = await check(auth_message(raw), resolver, NOW)
    assert outcome.result is AuthResult.TEMPERROR
    outcome = await check(auth_message(raw.replace(b"all is", b"all was")), resolver, NOW)
    assert outcome.result is AuthResult.FAIL


async def test_a_body_hashed_before_is_not_read_again() -> None:
    """DKIM and ARC together read it once."""
    block, reads = auth_message(chain(2, signed(MESSAGE, rsa_signer()))).block, []

    def body() -> list[bytes]:
        reads.append(1)
        return [MESSAGE.partition(b"\r\n\r\n")[2]]

    message = AuthMessage(block, body)
    body_hashes(message, dkim_requests(block) + arc_requests(block))
    assert (await check(message, resolver_of(zone()), NOW)).result is AuthResult.PASS
    (outcome,) = await check_dkim(message, resolver_of(zone()), NOW)
    assert outcome.result is AuthResult.PASS
    assert len(reads) == 1
    assert arc_requests(auth_message(b"ARC-Seal: x\r\n" + MESSAGE).block) == ()


async def test_fifty_sets_pass_and_one_more_does_not() -> None:
    fifty = chain(50)
    resolver = resolver_of(zone())
    outcome = await check(auth_message(fifty), resolver, NOW)
    assert (outcome.result, len(outcome.sealers), outcome.oldest_pass) == (AuthResult.PASS, 50, 1)
    assert set(resolver.queries.values()) == {1}
    assert sealed(fifty, 51) == fifty
    more = b"ARC-Seal: i=51; a=rsa-sha256; cv=pass; d=x.example; s=r; b=AAAA\r\n" + fifty
    assert (await state(more)).result is AuthResult.FAIL


async def test_a_failed_chain_is_sealed_as_failed_once_and_then_left_alone() -> None:
    broken = chain(2).replace(b"all is well", b"all is lost")
    noted = sealed(broken, 3, AuthResult.FAIL)
    assert b"cv=fail" in noted
    outcome = await state(noted)
    assert outcome.result is AuthResult.FAIL
    assert "cv=fail" in outcome.reason
    assert sealed(noted, 4, AuthResult.FAIL) == noted


def test_a_chain_of_unknown_state_is_not_sealed() -> None:
    raw = chain(1)
    assert sealed(raw, 2, AuthResult.TEMPERROR) == raw


@pytest.mark.parametrize("results", [b"", b" ", b"mx; a\r\nX: y", b"mx; a\n b", b"mx\x00", b"mx; x\r"])
def test_results_that_are_no_value_are_an_error(results: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        sealed(MESSAGE, 1, results=results)


def test_the_lines_of_a_set_are_short() -> None:
    fields = chain(1).partition(b"From: Anna")[0]
    assert max(map(len, fields.split(b"\r\n"))) < 78
    assert re.findall(rb"^ARC[^:]+", fields, re.MULTILINE) == [
        b"ARC-Seal",
        b"ARC-Message-Signature",
        b"ARC-Authentication-Results",
    ]


async def test_hostile_sets_cost_little_time() -> None:
    field = b"ARC-Seal: i=%d; a=rsa-sha256; cv=pass; d=x.example; s=r; b=AAAA\r\n"
    start = time.process_time()
    for raw in (
        field % 7 * 12_000,
        b"".join(field % (number % 50 + 1) for number in range(12_000)),
        b"ARC-Seal:\r\n" * 60_000,
    ):
        assert (await state(raw + MESSAGE)).result is AuthResult.FAIL
    assert time.process_time() - start < cpu(2)


PARTS = st.sampled_from(
    b"i=1 i=2 i=x a=rsa-sha256 cv=none cv=fail cv=pass d=hop1.example s=r b=AAAA bh=AAAA h=from h=arc-seal \xff".split(
        b" "
    )
)
FIELDS = st.tuples(
    st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]),
    st.lists(PARTS | st.binary(max_size=5), max_size=9).map(b"; ".join),
)


@settings(max_examples=150)
@given(st.lists(FIELDS, min_size=1, max_size=6))
async def test_any_arc_fields_get_an_outcome(fields: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    outcome = await state(raw + MESSAGE)
    assert outcome.result in (AuthResult.FAIL, AuthResult.NONE)
    assert outcome.reason
