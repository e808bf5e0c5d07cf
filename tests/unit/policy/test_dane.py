"""Whether a certificate is what TLSA records say, alone and beside what else is demanded of it."""

from __future__ import annotations

import hashlib

import pytest

from mta.adapters.pki import Issued
from mta.adapters.tls.chain import OpenSslChainVerifier
from mta.model.tls import Pin, TlsFacts, TlsLevel
from mta.policy.certificate import CertificateDemand
from mta.policy.dane import DaneDemand, judge_dane
from mta.policy.deliver import TlsRequirement, judge_keyword, judge_offer, judge_tls, may_authenticate
from mta.ports import TlsaRecord
from mta.rfc.pkix.der import public_key_info
from tests.support.pki import Authority, anchors, authority, facts, self_signed

CA = authority()
MIDDLE = CA.intermediate("Dane Middle CA")
HOST = "mx.b.example"
GOOD, OTHER = MIDDLE.issue(dns_names=[HOST]), MIDDLE.issue(dns_names=["mx.other.example"])
ALONE, EXPIRED = self_signed(dns_names=["nobody.example"]), MIDDLE.issue_expired(dns_names=[HOST])
NOW = facts(GOOD)[0].not_before + 3600
VERIFIER = OpenSslChainVerifier()


def key(issued: Issued | Authority, usage: int = 3) -> TlsaRecord:
    return TlsaRecord(usage, 1, 1, hashlib.sha256(public_key_info(issued.der)).digest())


def demand(*records: TlsaRecord, names: tuple[str, ...] = (HOST, "b.example")) -> DaneDemand:
    return DaneDemand(HOST, records, names)


def shown(issued: Issued) -> TlsFacts:
    return TlsFacts("1.3", "TLS_AES_128_GCM_SHA256", chain=facts(issued))


@pytest.mark.parametrize(
    ("records", "issued", "words"),
    [
        ((key(ALONE),), ALONE, []),
        ((key(EXPIRED),), EXPIRED, []),
        ((key(OTHER), key(ALONE)), ALONE, []),
        ((key(OTHER),), ALONE, ["certificate-tlsa"]),
        ((key(MIDDLE, 2),), GOOD, []),
        ((key(MIDDLE, 2),), OTHER, ["certificate-name"]),
        ((key(MIDDLE, 2),), EXPIRED, ["certificate-expired"]),
        ((key(MIDDLE, 2),), ALONE, ["certificate-tlsa"]),
        ((key(CA, 2),), GOOD, ["certificate-tlsa"]),  # it was not sent along
        ((TlsaRecord(2, 0, 0, CA.der),), GOOD, []),
        ((TlsaRecord(2, 0, 0, authority("Elsewhere").der),), GOOD, ["certificate-untrusted"]),
        ((key(MIDDLE, 2), key(OTHER)), OTHER, []),  # any of them will do
    ],
)
def test_what_the_records_say(records: tuple[TlsaRecord, ...], issued: Issued, words: list[str]) -> None:
    assert [reason.word for reason in judge_dane(demand(*records), shown(issued), VERIFIER, NOW)] == words


def test_without_a_certificate_nothing_matches() -> None:
    for tls in (None, TlsFacts("1.3", "x")):
        assert [reason.word for reason in judge_dane(demand(key(GOOD)), tls, VERIFIER, NOW)] == ["no-certificate"]


DANE, STORE = demand(key(GOOD)), anchors(CA)
WEBPKI, ELSEWHERE = CertificateDemand((HOST,), STORE), CertificateDemand(("o.example",), STORE)
VERIFIED, PINNED, ENCRYPTED = TlsLevel.VERIFIED, TlsLevel.PINNED, TlsLevel.ENCRYPTED
RIGHT, WRONG = Pin("cert-sha256", facts(GOOD)[0].sha256), Pin("cert-sha256", "00" * 32)


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (TlsRequirement(VERIFIED, dane=DANE), []),
        (TlsRequirement(VERIFIED, webpki=WEBPKI), []),
        (TlsRequirement(VERIFIED, (HOST,), STORE, dane=DANE, webpki=WEBPKI), []),
        (TlsRequirement(VERIFIED, (HOST,), STORE, dane=demand(key(OTHER))), ["certificate-tlsa"]),
        (TlsRequirement(VERIFIED, ("other.example",), STORE, dane=DANE), ["certificate-name"]),
        (TlsRequirement(VERIFIED, (HOST,), anchors(authority("Elsewhere")), dane=DANE), ["certificate-untrusted"]),
        (TlsRequirement(VERIFIED, (HOST,), STORE, webpki=ELSEWHERE), ["certificate-name"]),
        (TlsRequirement(PINNED, pins=(RIGHT,), dane=DANE), []),
        (TlsRequirement(PINNED, pins=(WRONG,), dane=DANE), ["certificate-pin"]),
        (TlsRequirement(PINNED, dane=DANE), ["certificate-pin"]),  # fail closed
        (TlsRequirement(VERIFIED), ["certificate-untrusted"]),  # fail closed
        (TlsRequirement(ENCRYPTED, dane=DANE, by=("halfdane",)), []),
        (TlsRequirement(ENCRYPTED, dane=demand(key(OTHER)), by=("halfdane",)), ["certificate-tlsa"]),
        (TlsRequirement(ENCRYPTED), []),
    ],
)  # fmt: skip
def test_all_who_speak_must_be_content(requirement: TlsRequirement, words: list[str]) -> None:
    judgement = judge_tls(requirement, shown(GOOD), VERIFIER, NOW)
    story = judgement.failure.reason if judgement.failure else ""
    assert [part.partition(":")[0] for part in story.split("; ") if part] == words
    assert (judgement.failure is None) == (not words)


def test_what_requiretls_cannot_have_is_returned() -> None:
    needed = TlsRequirement(VERIFIED, webpki=WEBPKI, requiretls=True)
    for failure in (
        judge_offer(needed, False, None),
        judge_tls(needed, shown(OTHER), VERIFIER, NOW).failure,
        judge_keyword(needed, False),
    ):
        assert failure is not None
        assert (failure.permanent, failure.reply.code, failure.reply.status) == (True, 550, "5.7.30")
    assert judge_keyword(needed, True) is None
    assert judge_keyword(TlsRequirement(VERIFIED), False) is None


def test_a_password_needs_more_than_half_a_proof() -> None:
    half = TlsRequirement(ENCRYPTED, dane=DANE, by=("halfdane",))
    whole = TlsRequirement(VERIFIED, dane=DANE, by=("dane",))
    assert not may_authenticate(half, judge_tls(half, shown(GOOD), VERIFIER, NOW))
    assert may_authenticate(whole, judge_tls(whole, shown(GOOD), VERIFIER, NOW))
