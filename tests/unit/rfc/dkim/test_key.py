"""Key records: which are usable, and why the others are not."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.dkim.key import is_key_record, parse_key
from mta.rfc.dkim.parse import TagError
from tests.support.signatures import ed25519_key, public, record, rsa_key


def der(modulus: int, exponent: int) -> bytes:
    """An RSAPublicKey as RFC 8017 appendix A.1.1 has it, whatever its numbers."""

    def integer(value: int) -> bytes:
        octets = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return b"\x02" + length(len(octets)) + octets

    def length(size: int) -> bytes:
        octets = size.to_bytes(1 if size < 256 else 2, "big")
        return octets if size < 128 else bytes([0x80 + len(octets)]) + octets

    numbers = integer(modulus) + integer(exponent)
    return base64.b64encode(b"\x30" + length(len(numbers)) + numbers)


def test_an_rsa_key_is_read_in_both_wrappings() -> None:
    key = rsa_key()
    bare = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1))
    for value in (public(key), bare):
        found = parse_key(b"p=" + value)
        assert isinstance(found.key, rsa.RSAPublicKey)
        assert (found.kind, found.bits, found.services, found.hashes) == ("rsa", 2048, ("*",), ())


def test_an_ed25519_key_is_read() -> None:
    found = parse_key(record(ed25519_key()))
    assert (found.kind, found.bits, found.revoked) == ("ed25519", 0, False)


def test_flags_hashes_and_services_are_read() -> None:
    found = parse_key(b"v=DKIM1; h=sha1 : sha256; s=email:x; t=y : s; n=hello; p=" + public(rsa_key()))
    assert found.testing
    assert found.strict
    assert found.hashes == ("sha1", "sha256")
    assert found.services == ("email", "x")


def test_an_empty_p_is_a_revoked_key() -> None:
    assert parse_key(b"v=DKIM1; p=").revoked
    assert not parse_key(record(rsa_key())).revoked


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"v=DKIM2; p=", "version"),
        (b"v=dkim1; p=", "version"),
        (b"k=rsa; v=DKIM1; p=", "version"),
        (b"v=DKIM1; k=rsa", "no p="),
        (b"v=DKIM1; k=dsa; p=AAAA", "not known"),
        (b"v=DKIM1; p=AAAA", "no RSA key"),
        (b"v=DKIM1; p=!", "base64"),
        (b"v=DKIM1; k=ed25519; p=AAAA", "32 octets"),
        (b"v=DKIM1; p=; p=", "twice"),
        (b"v=DKIM1;; p=", "tag"),
        (b"v=DKIM1; p=; n=" + b"x" * 4096, "4096"),
        (b"p=" + der((1 << 1023) - 1, 65537), "1023 bits"),
        (b"p=" + der((1 << 512) - 569, 65537), "RSA key"),
        (b"p=" + der((1 << 8193) - 1, 65537), "8193 bits"),
        (b"p=" + der((1 << 2048) - 1, (1 << 1000) + 1), "RSA key"),
    ],
)
def test_the_reason_is_named(text: bytes, reason: str) -> None:
    with pytest.raises(TagError, match=reason):
        parse_key(text)


def test_a_key_for_another_kind_in_the_rsa_place_is_none() -> None:
    wrapped = ed25519_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(TagError, match="no RSA key"):
        parse_key(b"p=" + base64.b64encode(wrapped))


def test_keys_of_1024_and_8192_bits_are_taken() -> None:
    assert parse_key(b"p=" + der((1 << 1023) + 1155, 3)).bits == 1024
    assert parse_key(b"p=" + der((1 << 8191) + 1155, 65537)).bits == 8192


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (b"v=DKIM1; p=x", True),
        (b" v = DKIM1 ; p=x", True),
        (b"p=x", True),
        (b"k=rsa; p=", True),
        (b"v=DKIM2; p=x", True),
        (b"v=spf1 -all", False),
        (b"v=DMARC1; p=none", False),
        (b"site-verification=x", False),
        (b"", False),
    ],
)
def test_other_records_under_the_name_are_told_apart(text: bytes, is_one: bool) -> None:
    assert is_key_record(text) is is_one


@given(st.binary(max_size=80) | st.text(alphabet="vDKIM1=;pkrsaetyh:. ", max_size=60).map(str.encode))
def test_any_record_is_a_key_or_a_declared_error(text: bytes) -> None:
    is_key_record(text)
    try:
        assert parse_key(text).kind in {"rsa", "ed25519"}
    except TagError:
        return
