"""Evidence is written and read in one place: the JSON stays as it is, and comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.attempt import Failure, HostAttempt, Scope
from mta.model.auth import (
    ArcOutcome,
    AuthenticationFacts,
    AuthResult,
    DkimOutcome,
    DmarcOutcome,
    SenderOutcome,
    SpfOutcome,
)
from mta.model.evidence.attempt import Attempt, FailureTold
from mta.model.evidence.authentication import Authentication
from mta.model.evidence.delivery import Delivery
from mta.model.evidence.message import Accepted, Author, Would, Written
from mta.model.evidence.smime import Protection, Reader, verdict_from_json, verdict_to_json
from mta.model.evidence.tls import tls_from_json, tls_to_json
from mta.model.foreign import Foreign
from mta.model.published import DanePublished, Published, StsPublished
from mta.model.reply import Reply
from mta.model.smime_verdict import JudgedSigner, SmimeResult, SmimeVerdict
from mta.model.tls import CertificateFacts, TlsFacts, TlsLevel
from mta.model.word import Word

CERTIFICATE = CertificateFacts(
    b"der", "CN=mx", "CN=CA", "0a", "ab", "cd=", ("mx.b.example",), ("192.0.2.1",), ("a@b.example",), 1.5, 864_000.0,
    ("1.3.6.1.5.5.7.3.1",), "rsa-2048", "sha256WithRSAEncryption",
)  # fmt: skip
CERTIFICATE_JSON = {
    "subject": "CN=mx",
    "issuer": "CN=CA",
    "serial": "0a",
    "names": ["mx.b.example", "192.0.2.1"],
    "sha256": "ab",
    "spki_sha256": "cd=",
    "not_before": 1,
    "not_after": 864000,
    "key": "rsa-2048",
    "signed": "sha256WithRSAEncryption",
    "usages": ["1.3.6.1.5.5.7.3.1"],
}
TLS = TlsFacts("1.3", "TLS_AES_256_GCM_SHA384", "X25519", "mx.b.example", (CERTIFICATE,), b"staple")
TLS_JSON = {
    "used": True,
    "version": "1.3",
    "cipher": "TLS_AES_256_GCM_SHA384",
    "group": "X25519",
    "sni": "mx.b.example",
    "stapled": True,
    "chain": [CERTIFICATE_JSON],
}
HOST = HostAttempt(
    host="mx.b.example",
    port=25,
    address="192.0.2.1",
    started=0.0,
    seconds=0.123456,
    tls=TLS,
    requirement="verified:mx.b.example",
    verdict="tls=encrypted!verified",
    revocation="good: staple",
    failure=Failure(Scope.HOST, Word.CERTIFICATE_NAME, "expected a", Reply(450, "4.7.5", ("no",)), permanent=False),
    reused=True,
    published=Published(
        DanePublished("usable", "mx.b.example", ("3 1 1 ab",), ("2 0 1: no",), "why", True),
        StsPublished("named", "7", ("mx.b.example",), "sts-policy-invalid: x"),
    ),
    tls_given_up=Failure(Scope.HOST, Word.TLS_FAILED, "the handshake failed", Reply(450), permanent=False),
    would="no-tls: x",
)
ATTEMPT_JSON = {
    "host": "mx.b.example",
    "port": 25,
    "address": "192.0.2.1",
    "seconds": 0.1235,
    "requirement": "verified:mx.b.example",
    "verdict": "tls=encrypted!verified",
    "tls": TLS_JSON,
    "days_left": 10,
    "revocation": "good: staple",
    "published": {
        "dane": {
            "state": "usable",
            "base": "mx.b.example",
            "records": ["3 1 1 ab"],
            "unusable": ["2 0 1: no"],
            "detail": "why",
            "mx": "secure",
        },
        "mta_sts": {"state": "named", "id": "7", "mx": ["mx.b.example"], "problem": "sts-policy-invalid: x"},
    },
    "reused": True,
    "tls_given_up": "tls-failed: the handshake failed",
    "would": "no-tls: x",
    "failure": {
        "scope": "host",
        "word": "certificate-name",
        "permanent": False,
        "reply": "450 4.7.5 no",
        "reason": "certificate-name: expected a",
    },
}
FACTS = AuthenticationFacts(
    SpfOutcome(AuthResult.NONE),
    SpfOutcome(AuthResult.PASS, "b.example", "ip4"),
    (DkimOutcome(AuthResult.PASS, "b.example", "s", "rsa-sha256", "good", 2048, testing=True),),
    DmarcOutcome(AuthResult.FAIL, "reject", "b.example", "example", "x"),
    ArcOutcome(AuthResult.PASS, ("c.example",), "y"),
)
AUTHENTICATION_JSON = {
    "spf": {
        "helo": {"result": "none", "domain": "", "reason": ""},
        "mail_from": {"result": "pass", "domain": "b.example", "reason": "ip4"},
    },
    "dkim": [
        {
            "result": "pass",
            "domain": "b.example",
            "selector": "s",
            "algorithm": "rsa-sha256",
            "bits": 2048,
            "reason": "good",
            "testing": True,
        }
    ],
    "dmarc": {"result": "fail", "policy": "reject", "domain": "b.example", "policy_domain": "example", "reason": "x"},
    "arc": {"result": "pass", "sealers": ["c.example"], "reason": "y"},
    "sender": {"result": "none", "domain": "", "reason": ""},
    "decision": "accept",
    "reasons": ["dmarc: x"],
    "broken_signatures": ["s._domainkey.b.example: y"],
}
ACCEPTED = Accepted(
    client="10.0.0.7",
    helo="desk",
    session="1",
    identity="internal",
    proven=True,
    connector="internal",
    mode="audit",
    reasons=("proven: x",),
    would=Would("refuse", "550 5.7.1 no", ("no-tls: x",)),
    demanded="TLS",
    tls=None,
    tls_wish="optional",
    days_left=3,
    foreign=(Foreign("pfile", "a.docx", "o@b.example"),),
    author=Author(("a@b.example",), 1, "odd"),
    authentication=Authentication(FACTS, "accept", ("dmarc: x",), ("s._domainkey.b.example: y",)),
)
ACCEPTED_JSON = {
    "client": "10.0.0.7",
    "helo": "desk",
    "session": "1",
    "identity": "internal",
    "proven": True,
    "connector": "internal",
    "mode": "audit",
    "reasons": ["proven: x"],
    "would": {"decision": "refuse", "reply": "550 5.7.1 no", "reasons": ["no-tls: x"]},
    "demanded": "TLS",
    "tls": {"used": False},
    "tls_wish": "optional",
    "days_left": 3,
    "foreign": [{"kind": "pfile", "name": "a.docx", "owner": "o@b.example", "server": "", "content_id": ""}],
    "from": {"authors": ["a@b.example"], "count": 1, "error": "odd"},
    "authentication": AUTHENTICATION_JSON,
}
VERDICT = SmimeVerdict(
    SmimeResult.GOOD, "r", (JudgedSigner(SmimeResult.GOOD, "s", 1, ("a@b.example",), *"abcdef", 1.5),),
    encrypted=True, authenticated=True, ciphers=("aes256-gcm",), changed=("subject",),
)  # fmt: skip
VERDICT_JSON = {
    "result": "good",
    "reason": "r",
    "signers": [
        {
            "result": "good",
            "reason": "s",
            "layer": 1,
            "addresses": ["a@b.example"],
            "subject": "a",
            "issuer": "b",
            "serial": "c",
            "sha256": "d",
            "scheme": "e",
            "digest": "f",
            "signing_time": 1.5,
        }
    ],
    "encrypted": True,
    "ciphers": ["aes256-gcm"],
    "authenticated": True,
    "changed": ["subject"],
}
MADE = Protection("k", "p", ("rsa", "ab"), (Reader("b@b.example", "cd", "ldap", "anchored"),), "aes256-gcm", "n")
MADE_JSON = {
    "contract": "k",
    "profile": "p",
    "signed": {"sha256": "ab", "scheme": "rsa"},
    "encrypted": [{"for": "b@b.example", "sha256": "cd", "source": "ldap", "rung": "anchored"}],
    "note": "n",
    "cipher": "aes256-gcm",
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (tls_to_json(TLS), TLS_JSON),
        (tls_to_json(None), {"used": False}),
        (Attempt.of(HOST).to_json(), ATTEMPT_JSON),
        (ACCEPTED.to_json(), ACCEPTED_JSON),
        (verdict_to_json(VERDICT), VERDICT_JSON),
        (MADE.to_json(), MADE_JSON),
        (Protection().to_json(), {"contract": "", "profile": "", "signed": False, "encrypted": []}),
        (Protection(opened=VERDICT, decrypted=True).to_json(), {"opened": {**VERDICT_JSON, "decrypted": True}}),
        (Written(notice="failure", about="1").to_json(), {"notice": "failure", "about": "1"}),
        (Written(report="tls", about="b", day="d").to_json(), {"report": "tls", "about": "b", "day": "d"}),
        (Written(notice="portal", about="1", item="i").to_json(), {"notice": "portal", "about": "1", "item": "i"}),
        (Delivery("c", "d", "r").to_json(), {"connector": "c", "destination": "d", "reason": "r", "attempts": []}),
    ],
)
def test_the_json_is_as_it_was(written: dict[str, object], expected: dict[str, object]) -> None:
    assert json.dumps(written) == json.dumps(expected)  # the order, too


def test_the_least_that_is_kept_of_a_host() -> None:
    least = {"host": "h", "port": 25, "address": "", "seconds": 0.0, "requirement": "", "verdict": ""}
    assert Attempt.of(HostAttempt("h", 25)).to_json() == {**least, "tls": {"used": False}}


def test_the_word_of_an_earlier_version_is_found_in_the_reason() -> None:
    told = FailureTold.from_json({"scope": "session", "permanent": False, "reply": "450", "reason": "connect: refused"})
    assert told is not None
    assert told.word == Word.CONNECT


@pytest.mark.parametrize(
    ("verdict", "level", "reached", "satisfied"),
    [
        ("tls=verified", TlsLevel.VERIFIED, True, True),
        ("tls=verified:dane", TlsLevel.VERIFIED, True, True),
        ("tls=pinned", TlsLevel.VERIFIED, False, True),
        ("tls=encrypted!verified", TlsLevel.ENCRYPTED, False, False),
        ("", TlsLevel.NONE, False, False),
    ],
)
def test_what_a_verdict_says(verdict: str, level: TlsLevel, reached: bool, satisfied: bool) -> None:
    attempt = Attempt(verdict=verdict)
    assert (attempt.reached(level), attempt.satisfied) == (reached, satisfied)


WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
TEXTS = st.lists(WORDS, max_size=2).map(tuple)
NAMES = st.lists(st.sampled_from(("a.example", "b.example")), max_size=2).map(tuple)
NUMBERS = st.integers(0, 10**10)
RESULTS = st.sampled_from(AuthResult)
CERTIFICATES = st.builds(
    CertificateFacts, st.just(b""), WORDS, WORDS, WORDS, WORDS, WORDS, NAMES,
    st.lists(st.sampled_from(("192.0.2.1", "2001:db8::1")), max_size=1).map(tuple), st.just(()),
    NUMBERS.map(float), NUMBERS.map(float), TEXTS, WORDS, WORDS,
)  # fmt: skip
HANDSHAKES = st.builds(TlsFacts, WORDS, WORDS, WORDS, WORDS, st.lists(CERTIFICATES, max_size=2).map(tuple))
PUBLISHED = st.builds(
    Published,
    st.builds(DanePublished, WORDS, WORDS, TEXTS, TEXTS, WORDS, st.booleans()),
    st.none() | st.builds(StsPublished, WORDS, WORDS, st.none() | TEXTS, WORDS),
)
ATTEMPTS = st.builds(
    Attempt, WORDS, NUMBERS, WORDS, st.floats(0, 1e6), WORDS, WORDS, st.none() | HANDSHAKES, st.none() | NUMBERS,
    WORDS, st.none() | PUBLISHED, st.booleans(), WORDS, WORDS,
    st.none() | st.builds(FailureTold, WORDS, WORDS.filter(bool), st.booleans(), WORDS, WORDS),
)  # fmt: skip
SPF = st.builds(SpfOutcome, RESULTS, WORDS, WORDS)
AUTHENTICATIONS = st.builds(
    Authentication,
    st.builds(
        AuthenticationFacts,
        SPF,
        SPF,
        st.lists(st.builds(DkimOutcome, RESULTS, *[WORDS] * 4, NUMBERS, testing=st.booleans()), max_size=2).map(tuple),
        st.builds(DmarcOutcome, RESULTS, WORDS, WORDS, WORDS, WORDS),
        st.builds(ArcOutcome, RESULTS, TEXTS, WORDS),
        st.builds(SenderOutcome, RESULTS, WORDS, WORDS),
    ),
    *(WORDS, TEXTS, TEXTS),
)
ACCEPTANCES = st.builds(
    Accepted, *[WORDS] * 4, st.booleans(), WORDS, WORDS, TEXTS, st.none() | st.builds(Would, WORDS, WORDS, TEXTS),
    WORDS, st.none() | HANDSHAKES, WORDS, st.none() | st.integers(-999, 9999),
    st.lists(st.builds(Foreign, *[WORDS] * 5), max_size=2).map(tuple),
    st.none() | st.builds(Author, TEXTS, NUMBERS, WORDS), st.none() | AUTHENTICATIONS,
)  # fmt: skip
SMIME = st.sampled_from(SmimeResult)
SIGNERS = st.builds(JudgedSigner, SMIME, WORDS, NUMBERS, TEXTS, *[WORDS] * 6, st.none() | st.floats(0, 1e10))
VERDICTS = st.builds(
    SmimeVerdict, SMIME, WORDS, st.lists(SIGNERS, max_size=2).map(tuple), st.booleans(), st.booleans(), TEXTS, TEXTS
)
MADES = st.builds(
    Protection, WORDS, WORDS, st.none() | st.tuples(WORDS, WORDS),
    st.lists(st.builds(Reader, *[WORDS] * 4), max_size=2).map(tuple), WORDS, WORDS,
)  # fmt: skip
DELIVERIES = st.builds(
    Delivery, *[WORDS] * 4, st.lists(ATTEMPTS, max_size=2).map(tuple),
    st.lists(MADES.map(Protection.to_json), max_size=1).map(tuple), st.none() | st.floats(0, 1e10),
)  # fmt: skip
WAYS: list[tuple[st.SearchStrategy[Any], Callable[..., Any], Callable[..., Any]]] = [
    (HANDSHAKES, tls_to_json, tls_from_json),
    (ATTEMPTS, Attempt.to_json, Attempt.from_json),
    (ACCEPTANCES, Accepted.to_json, Accepted.from_json),
    (VERDICTS, verdict_to_json, verdict_from_json),
    (MADES, Protection.to_json, Protection.from_json),
    (DELIVERIES, Delivery.to_json, Delivery.from_json),
    (st.builds(Written, *[WORDS] * 6), Written.to_json, Written.from_json),
]


def later(raw: Any) -> Any:
    """The same by a later version, which tells more everywhere; what is told in the history as it stands is spared."""
    if isinstance(raw, dict):
        return {key: later(each) if key != "protection" else each for key, each in raw.items()} | {"later": [1]}
    return [later(each) for each in raw] if isinstance(raw, list) else raw


@pytest.mark.parametrize(("facts", "write", "read"), WAYS, ids=lambda each: getattr(each, "__qualname__", "facts"))
def test_what_is_written_comes_back(facts: Any, write: Any, read: Any) -> None:
    @given(facts)
    def holds(one: Any) -> None:
        raw = json.loads(json.dumps(write(one)))
        assert read(raw) == one
        assert read(later(raw)) == one  # keys of a later version are passed over

    holds()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(sorted({*ATTEMPT_JSON, *ACCEPTED_JSON, *VERDICT_JSON, *MADE_JSON, *TLS_JSON, "attempts"}))


@pytest.mark.parametrize("read", [read for _, _, read in WAYS], ids=lambda read: read.__qualname__)
def test_damaged_evidence_is_read_as_far_as_it_goes(read: Any) -> None:
    @given(st.dictionaries(KEYS, ANYTHING, max_size=6))
    def holds(raw: Any) -> None:
        read(raw)

    holds()
