"""Certificates and lists out of whatever they come in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.pkix.bundle import certificates_in, outer_length, pem_of, revocation_lists_in
from tests.support.people import der, pem
from tests.support.pki import authority, crl, needs_openssl

ONE, TWO = der(), der(emails=["alice@fabrikam.example"])
PKCS7 = serialize_certificates([x509.load_der_x509_certificate(one) for one in (ONE, TWO)], Encoding.DER)
PKCS7_PEM = serialize_certificates([x509.load_der_x509_certificate(ONE)], Encoding.PEM)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (ONE, [ONE]),
        (pem(ONE, TWO), [ONE, TWO]),
        (b"Bag Attributes\r\n" + pem(ONE).replace(b"\n", b"\r\n") + b"rest", [ONE]),
        (pem(ONE).replace(b"CERTIFICATE", b"X509 CERTIFICATE"), [ONE]),
        (PKCS7_PEM, [ONE]),
        (PKCS7_PEM + pem(TWO), [ONE, TWO]),
        (PKCS7_PEM.replace(b"PKCS7", b"CMS"), [ONE]),
        (pem_of(ONE).encode(), [ONE]),
    ],
    ids=lambda value: "",
)
def test_what_is_read(data: bytes, found: list[bytes]) -> None:
    assert list(certificates_in(data)) == found


def test_pkcs7_in_der() -> None:
    assert set(certificates_in(PKCS7)) == {ONE, TWO}


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x30\x03\x02\x01\x00", b"\x30\x80", PKCS7[:-9], pem(ONE)[:-30], b"\x30\x0b\x06\x09" + b"x" * 9],
    ids=lambda value: value[:2].hex(),
)
def test_what_is_not(data: bytes) -> None:
    with pytest.raises(ValueError):
        certificates_in(data)


def test_broken_base64_is_told() -> None:
    with pytest.raises(ValueError, match="base64"):
        certificates_in(b"-----BEGIN CERTIFICATE-----\nMIIB*\n-----END CERTIFICATE-----\n")


@needs_openssl
def test_what_openssl_calls_a_trusted_certificate(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_bytes(pem(ONE))
    made = subprocess.run(
        ["openssl", "x509", "-in", str(tmp_path / "one.pem"), "-trustout", "-addtrust", "emailProtection"],
        capture_output=True,
        check=True,
    ).stdout
    assert b"TRUSTED" in made
    assert certificates_in(made) == (ONE,)


def test_lists() -> None:
    one = crl(authority("People CA"))
    assert revocation_lists_in(one) == (one,)
    text = x509.load_der_x509_crl(one).public_bytes(Encoding.PEM)
    assert revocation_lists_in(text + text) == (one, one)
    for data in (b"", b"x", pem(ONE), one + b"x"):
        with pytest.raises(ValueError):
            revocation_lists_in(data)


@given(st.binary(max_size=60))
def test_any_octets_give_certificates_or_the_declared_error(data: bytes) -> None:
    for read in (certificates_in, revocation_lists_in):
        for whole in (data, b"\x30" + data, b"-----BEGIN CERTIFICATE-----" + data + b"-----END CERTIFICATE-----"):
            try:
                read(whole)
            except ValueError:
                continue
    assert outer_length(data) >= 0


def test_our_own_pem_is_openssls() -> None:
    assert pem_of(ONE).encode() == pem(ONE)
