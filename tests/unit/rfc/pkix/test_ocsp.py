"""A stapled response counts if the issuer, or a responder it has appointed, says so today of this certificate."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from mta.model.tls import RevocationState
from mta.rfc.pkix import ocsp as rules
from mta.rfc.pkix.certificate import certificate_facts
from tests.support.pki import NOW, Issued, authority, staple

SIGNING = "1.3.6.1.5.5.7.3.9"
CA, OTHER = authority("Ocsp Issuer"), authority("Ocsp Other")
LEAF, SIBLING = CA.issue(dns_names=["mail.example"]), CA.issue(dns_names=["sibling.example"])
RESPONDER = CA.issue(dns_names=["ocsp.example"], eku=[SIGNING])
NOW_S = NOW.timestamp()
UNKNOWN = ocsp.OCSPCertStatus.UNKNOWN


def judged(data: bytes, about: Issued = LEAF, now: float = NOW_S) -> tuple[str, str]:
    found = rules.status(data, certificate_facts(about.der), certificate_facts(CA.der), now)
    return found.state, found.detail


@pytest.mark.parametrize("how", [{}, {"responder": RESPONDER}, {"id_hash": hashes.SHA256()}, {"next": None}])
def test_a_good_word_is_believed(how: dict[str, object]) -> None:
    assert judged(staple(CA, LEAF, **how)) == (RevocationState.GOOD, "staple")


@pytest.mark.parametrize("kind", ["rsa-2048", "ed25519", "ec-p384"])
def test_responders_have_keys_of_any_usual_kind(kind: str) -> None:
    responder = CA.issue(dns_names=["ocsp.example"], eku=[SIGNING], key=kind)
    how = {"hash": None} if kind == "ed25519" else {}
    assert judged(staple(CA, LEAF, responder=responder, **how))[0] == RevocationState.GOOD


def test_a_revocation_is_told_with_its_reason() -> None:
    state, detail = judged(staple(CA, LEAF, status=ocsp.OCSPCertStatus.REVOKED))
    assert state == RevocationState.REVOKED
    assert "CN=mail.example" in detail
    assert "keyCompromise" in detail


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (partial(staple, CA, SIBLING), "about another certificate"),
        (partial(staple, OTHER, LEAF), "about another certificate"),
        (lambda: staple(CA, LEAF)[:-1] + b"?", "its signature is not the issuer's"),
        (partial(staple, CA, LEAF, next=NOW - timedelta(seconds=1)), "out of date"),
        (partial(staple, CA, LEAF, last=NOW - timedelta(hours=25), next=None), "out of date"),
        (partial(staple, CA, LEAF, last=NOW + timedelta(minutes=6)), "not valid yet"),
        (partial(staple, CA, LEAF, status=UNKNOWN), "does not know CN=mail.example"),
        (partial(staple, CA, LEAF, responder=SIBLING), "not appointed"),
        (partial(staple, CA, LEAF, responder=OTHER.issue(dns_names=["o.example"], eku=[SIGNING])), "not appointed"),
        (partial(staple, CA, LEAF, responder=CA.issue_expired(dns_names=["o.example"], eku=[SIGNING])), "not valid"),
        (lambda: b"", "stapled no OCSP response"),
        (lambda: b"\x30\x03\x0a\x01\x00", "cannot be read"),
        (lambda: b"x" * 16_385, "too large"),
        (lambda: refusal(ocsp.OCSPResponseStatus.TRY_LATER), "answered try_later"),
    ],
)
def test_what_does_not_count_proves_nothing(make: partial[bytes], why: str) -> None:
    state, detail = judged(make())
    assert state == RevocationState.UNKNOWN
    assert why in detail


def refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


_REVOKED = staple(CA, LEAF, status=ocsp.OCSPCertStatus.REVOKED)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_response_never_makes_good_what_it_revoked(place: int, flip: int) -> None:
    data = bytearray(_REVOKED)
    data[place % len(data)] ^= flip
    assert judged(bytes(data))[0] != RevocationState.GOOD


@given(st.binary(max_size=300))
def test_anything_at_all_is_an_answer(data: bytes) -> None:
    assert judged(data)[0] == RevocationState.UNKNOWN
