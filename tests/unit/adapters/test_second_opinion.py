"""dkimpy's and authres' word beside ours: the same where both are right, explained where they differ."""

from __future__ import annotations

import time
from unittest.mock import patch

import dkim
import pytest

from mta.adapters import second_opinion as adapter
from mta.app.second_opinion import Asked, ask
from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome, SpfOutcome
from mta.policy.second_opinion import STORIES, Cause, Comparison, compare, differences
from mta.ports import TxtAnswer
from mta.ports.second_opinion import Opinion, OpinionWord, SecondOpinion
from mta.rfc.arc.check import check as check_arc
from mta.rfc.dkim.check import check as check_dkim
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.signatures import (
    DOMAIN,
    MESSAGE,
    NOW,
    auth_message,
    ed25519_signer,
    pem,
    public,
    published,
    record,
    resolver_of,
    rsa_key,
    rsa_signer,
    signed,
)

R = f"r._domainkey.{DOMAIN}"
GOOD = signed(MESSAGE, rsa_signer())


@pytest.fixture(autouse=True)
def _dkimpy_goes_by_our_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


async def compared(raw: bytes, names: FakeResolver | None = None, now: float = NOW) -> tuple[Comparison, ...]:
    names = names or resolver_of(published())
    message = auth_message(raw)
    none = SpfOutcome(AuthResult.NONE)
    dkim_outcomes, arc = await check_dkim(message, names, now), await check_arc(message, names, now)
    return await ask(names, Asked(raw, AuthenticationFacts(none, none, dkim_outcomes, None, arc), "mx.example", now))


def by_dkimpy(raw: bytes, algorithm: bytes = b"rsa-sha256", *, length: bool = False) -> bytes:
    signer = dkim.DKIM(raw, signature_algorithm=algorithm)
    with patch("time.time", lambda: NOW):
        made: bytes = signer.sign(
            b"r", DOMAIN.encode(), pem(rsa_key()), canonicalize=(b"relaxed", b"relaxed"), length=length
        )
    return made + raw


@pytest.mark.parametrize(
    "raw",
    [
        MESSAGE,
        GOOD,
        signed(MESSAGE, rsa_signer(), ed25519_signer()),
        by_dkimpy(MESSAGE),
        GOOD.replace(b"all is well", b"all is lost"),
        GOOD.replace(b"Figures", b"Invoice"),
        GOOD.replace(b" s=r;", b" s=nowhere;"),
        GOOD.replace(b" v=1;", b""),
        b"",
    ],
    ids=["unsigned", "rsa", "both", "dkimpy", "body", "header", "no-key", "no-version", "empty"],
)
async def test_where_both_are_right_they_agree(raw: bytes) -> None:
    found = await compared(raw)
    assert differences(found) == ()
    assert [one.subject for one in found][-2:] == ["arc", "authentication-results"]


async def test_a_good_chain_is_good_for_both() -> None:
    lines = dkim.arc_sign(
        b"Authentication-Results: lists.example; spf=pass smtp.mailfrom=x.example\r\n" + MESSAGE,
        b"r", DOMAIN.encode(), pem(rsa_key()), b"lists.example", timestamp=int(NOW),
    )  # fmt: skip
    results = b"Authentication-Results: lists.example; spf=pass smtp.mailfrom=x.example\r\n"
    found = await compared(b"".join(lines) + results + MESSAGE)
    chain = next(one for one in found if one.subject == "arc")
    assert (chain.ours, chain.theirs, chain.cause) == ("pass", "pass", None)


BIG = b"v=DKIM1; k=rsa; n=" + b"x" * 1024 + b"; p=" + public(rsa_key())


@pytest.mark.parametrize(
    ("raw", "names", "words", "cause"),
    [
        (by_dkimpy(MESSAGE, b"rsa-sha1"), None, ("permerror", "pass"), Cause.RSA_SHA1),
        (by_dkimpy(MESSAGE, length=True) + b"Pay here!\r\n", None, ("policy", "pass"), Cause.BODY_LENGTH),
        (GOOD, FakeResolver({(R, "TXT"): TEMPORARY}), ("temperror", "fail"), Cause.KEY_LOOKUP),
        (GOOD, resolver_of({R: BIG}), ("pass", "fail"), Cause.KEY_WITHHELD),
        (GOOD, resolver_of({R: [b"v=spf1 -all", record(rsa_key())]}), ("pass", "fail"), Cause.SEVERAL_KEYS),
        (GOOD, resolver_of({R: [record(rsa_key()), b"v=DKIM1; p="]}), ("permerror", "pass"), Cause.SEVERAL_KEYS),
        (GOOD, resolver_of({R: b"v=DKIM1; h=sha1; p=" + public(rsa_key())}), ("permerror", "pass"), Cause.KEY_TERMS),
        (b"X-\xc3\xa4: 1\r\n" + GOOD, None, ("pass", "error"), Cause.NOT_READ),
    ],
    ids=["sha1", "length", "servfail", "large-key", "neighbour", "two-keys", "terms", "utf-8"],
)
async def test_a_difference_is_explained(
    raw: bytes, names: FakeResolver | None, words: tuple[str, str], cause: Cause
) -> None:
    first = (await compared(raw, names))[0]
    assert first.cause is cause
    assert (first.ours, first.theirs) == words
    assert first.story == STORIES[cause]


def judged_apart(raw: bytes, ours: AuthResult, theirs: Opinion, now: float = NOW) -> Comparison:
    """What is made of these two words on the first signature of a message."""
    none = SpfOutcome(AuthResult.NONE)
    block = auth_message(raw).block
    facts = AuthenticationFacts(none, none, (DkimOutcome(ours, DOMAIN, "r", "rsa-sha256"),))
    opinion = SecondOpinion((theirs,), Opinion(OpinionWord.NONE), (), {}, frozenset(), NOW)
    return compare(facts, block, b"Authentication-Results: a; none\r\n", opinion, now)[0]


@pytest.mark.parametrize(
    ("tags", "ours", "theirs", "cause"),
    [
        (b" x=%d;" % (NOW - 60), AuthResult.FAIL, OpinionWord.PASS, Cause.EXPIRED),
        (b" x=%d;" % (NOW - 86_400), AuthResult.PASS, OpinionWord.FAIL, Cause.CLOCK),
        (b"", AuthResult.POLICY, OpinionWord.PASS, Cause.UNSIGNED_FROM),
        (b" v=1;", AuthResult.PERMERROR, OpinionWord.PASS, Cause.NOT_A_SIGNATURE),
        (b"", AuthResult.FAIL, OpinionWord.PASS, Cause.UNEXPLAINED),
        (b"", AuthResult.TEMPERROR, OpinionWord.ERROR, Cause.KEY_LOOKUP),
        (b"", AuthResult.FAIL, OpinionWord.ERROR, None),
        (b"", AuthResult.PERMERROR, OpinionWord.FAIL, None),
    ],
    ids=["expired", "clock", "from", "grammar", "unknown", "temporary", "both-no", "both-no-either"],
)
def test_the_cause_of_two_words(tags: bytes, ours: AuthResult, theirs: OpinionWord, cause: Cause | None) -> None:
    raw = GOOD.replace(b" s=r;", b" s=r;" + tags).replace(b" t=%d;" % NOW, b"")
    assert judged_apart(raw, ours, Opinion(theirs)).cause is cause


async def test_what_nobody_can_explain_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dkim.DKIM, "verify", lambda *_, **__: False)
    first = (await compared(GOOD))[0]
    assert first.cause is Cause.UNEXPLAINED
    assert "report it" in first.story


async def test_ed25519_needs_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(dkim.DKIM, "verify", lambda *_, **__: False)
    assert (await compared(signed(MESSAGE, ed25519_signer())))[0].cause is Cause.NO_ED25519


async def test_a_field_that_authres_cannot_read_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter.authres, "all_features", lambda: None)
    last = (await compared(GOOD))[-1]
    assert (last.subject, last.cause) == ("authentication-results", Cause.NOT_READ)


def test_what_a_stranger_wrote_to_cost_time_is_not_put_to_dkimpy() -> None:
    assert adapter.bearable(GOOD)
    assert not adapter.bearable(GOOD + b"x" * adapter.MAX_OCTETS)
    assert not adapter.bearable(b"A:" + b"\r\n " * 200 + b"x\r\n" + GOOD)
    assert not adapter.bearable(GOOD + b" " * (adapter.MAX_BLANKS + 1))
    assert not adapter.bearable(b"A: " + b"x\r\n " * 5000 + b"\r\n" + GOOD)


def test_every_cause_has_its_story() -> None:
    assert set(STORIES) == set(Cause)


def test_the_answer_of_a_name_is_asked_for_once() -> None:
    asked: list[str] = []

    def look_up(name: str) -> TxtAnswer:
        asked.append(name)
        return TxtAnswer(adapter.DnsStatus.OK, (record(rsa_key()),))

    double = signed(MESSAGE, rsa_signer(), rsa_signer())
    found = adapter.second_opinion(double, b"Authentication-Results: a; none\r\n", look_up)
    assert [one.word for one in found.dkim] == [OpinionWord.PASS] * 2
    assert asked == [R]
    assert found.arc.word is OpinionWord.NONE
    assert ArcOutcome(AuthResult.NONE).result.value == found.arc.word
