"""A list counts if it is the issuer's, of today and about the certificate; then it is believed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from mta.model.tls import RevocationState
from mta.rfc.pkix import crl as rules
from mta.rfc.pkix.certificate import certificate_facts
from tests.support.pki import NOW, Authority, Issued, authority, crl

ROOT = authority("Crl Root")
CA = ROOT.intermediate("Crl Issuer")
GOOD, BAD = CA.issue(dns_names=["good.example"]), CA.issue(dns_names=["bad.example"])
NOW_S = NOW.timestamp()
POINT = "http://crl.example/7.crl"


def scope(**stated: object) -> x509.IssuingDistributionPoint:
    usual = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**usual, **stated})  # type: ignore[arg-type]


def judged(data: bytes, about: Issued, issuer: Authority = CA, now: float = NOW_S) -> tuple[str, str]:
    found = rules.status(rules.read_lists(data), certificate_facts(about.der), certificate_facts(issuer.der), now)
    return found.state, found.detail


def test_who_is_in_the_list_is_revoked_and_who_is_not_is_good() -> None:
    data = crl(CA, BAD)
    assert judged(data, GOOD) == (RevocationState.GOOD, "list")
    assert judged(data, BAD) == (RevocationState.REVOKED, "CN=bad.example is in the list of its issuer")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (partial(crl, CA, next=NOW - timedelta(minutes=6)), "is out of date for 0.1 hours"),
        (partial(crl, CA, last=NOW + timedelta(minutes=6)), "is not valid yet"),
        (partial(crl, CA, key=ROOT.key), "its signature is not the issuer's"),
        (partial(crl, ROOT), "there is no list of CN=Crl Issuer for CN=good.example"),
        (partial(crl, CA, extensions=[(x509.DeltaCRLIndicator(1), True)]), "it is a delta list"),
        (partial(crl, CA, extensions=[(scope(indirect_crl=True), True)]), "it is indirect"),
        (partial(crl, CA, extensions=[(scope(only_contains_ca_certs=True), True)]), "there is no list"),
        (
            partial(crl, CA, extensions=[(scope(full_name=[x509.UniformResourceIdentifier(POINT)]), True)]),
            "there is no list",
        ),
        (
            partial(crl, CA, extensions=[(scope(only_some_reasons=frozenset({x509.ReasonFlags.ca_compromise})), True)]),
            "some reasons only",
        ),
        (
            partial(
                crl, CA, extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True)]
            ),
            "critical extension 1.2.3.4",
        ),
    ],
)
def test_what_does_not_count_proves_nothing(make: partial[bytes], why: str) -> None:
    state, detail = judged(make(), GOOD)
    assert state == RevocationState.UNKNOWN
    assert why in detail


def test_an_old_list_still_revokes_and_a_forged_one_never_does() -> None:
    assert judged(crl(CA, BAD, next=NOW - timedelta(days=1)), BAD)[0] == RevocationState.REVOKED
    assert judged(crl(CA, BAD, key=ROOT.key), BAD)[0] == RevocationState.UNKNOWN


def test_a_list_limited_to_users_certificates_is_about_the_leaf_only() -> None:
    data = crl(CA, BAD, extensions=[(scope(only_contains_user_certs=True), True)])
    assert judged(data, GOOD)[0] == RevocationState.GOOD
    assert judged(data, BAD)[0] == RevocationState.REVOKED
    of_root = crl(ROOT, extensions=[(scope(only_contains_user_certs=True), True)])
    assert judged(of_root, Issued(CA.certificate, CA.key), ROOT)[0] == RevocationState.UNKNOWN


def test_a_non_critical_extension_does_not_disturb() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    assert judged(crl(CA, extensions=[(unknown, False), (x509.CRLNumber(7), False)]), GOOD)[0] == RevocationState.GOOD


def test_of_several_lists_the_one_that_counts_is_found() -> None:
    stale, fresh = crl(CA, next=NOW - timedelta(days=1)), crl(CA, BAD)
    pem = b"".join(x509.load_der_x509_crl(each).public_bytes(Encoding.PEM) for each in (stale, fresh, crl(ROOT)))
    assert len(rules.read_lists(b"a comment\n" + pem)) == 3
    assert judged(pem, GOOD)[0] == RevocationState.GOOD
    assert judged(pem, BAD)[0] == RevocationState.REVOKED


def test_a_list_without_an_end_is_not_relied_upon() -> None:
    [fresh] = rules.read_lists(crl(CA))
    assert "next one" in rules.staleness(replace(fresh, next_update=0.0), NOW_S)


def test_an_issuer_that_may_not_sign_lists_is_not_heard() -> None:
    leaf = CA.issue(dns_names=["signer.example"])  # its key usage lacks cRLSign
    of_leaf = Authority.__new__(Authority)
    of_leaf.certificate, of_leaf.key, of_leaf.chain = leaf.certificate, leaf.key, ()
    state, detail = judged(crl(of_leaf), GOOD, of_leaf)
    assert (state, "may not sign lists" in detail) == (RevocationState.UNKNOWN, True)


@given(st.binary(max_size=120) | st.integers(0, 180).map(lambda place: crl(CA, BAD)[:place]))
def test_anything_is_lists_or_a_value_error(data: bytes) -> None:
    try:
        rules.read_lists(data)
    except ValueError:
        return
    raise AssertionError("nothing of this is a list")


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_list_never_makes_good_what_it_revoked(place: int, flip: int) -> None:
    data = bytearray(_LIST)
    data[place % len(data)] ^= flip
    try:
        assert judged(bytes(data), BAD)[0] != RevocationState.GOOD
    except ValueError:
        return


_LIST = crl(CA, BAD)
