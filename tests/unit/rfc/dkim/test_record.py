"""The record of a key of ours, written and compared."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.rfc.dkim.key import parse_key
from mta.rfc.dkim.record import compose_record, differences, is_test, key_records, record_name, strings

RSA = generate_private_key(65_537, 2048).public_key()
ED25519 = Ed25519PrivateKey.from_private_bytes(
    bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
).public_key()
# RFC 8463 §A.2: the key above
ED25519_RECORD = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_the_record_of_the_standard_is_written():
    assert compose_record(ED25519) == ED25519_RECORD


@pytest.mark.parametrize("key", [RSA, ED25519])
def test_what_is_written_is_read_again(key):
    record = compose_record(key).encode()
    assert parse_key(record).key == key
    assert differences(record, key) == ()
    assert not is_test(record)


def test_a_key_for_tls_reports_says_so():
    record = compose_record(ED25519, "tlsrpt").encode()
    assert b"; s=tlsrpt; " in record
    assert differences(record, ED25519, "tlsrpt") == ()
    assert differences(record, ED25519) == ("it is not for mail: s=tlsrpt",)
    assert differences(compose_record(ED25519).encode() + b"; s=email", ED25519, "tlsrpt") == (
        "it is not for TLS reports: s=email",
    )
    assert differences(compose_record(ED25519).encode(), ED25519, "tlsrpt") == ()


def test_a_long_record_is_cut_into_strings_that_join_again():
    record = compose_record(RSA)
    parts = strings(record)
    assert "".join(parts) == record
    assert [len(part) for part in parts] == [255, len(record) - 255]
    assert strings(ED25519_RECORD) == (ED25519_RECORD,)


def test_the_name_has_the_selector_in_front():
    assert record_name("s1", "contoso.example") == "s1._domainkey.contoso.example"


def test_both_ways_to_write_an_rsa_key_are_the_same_key():
    plain = base64.b64encode(RSA.public_bytes(Encoding.DER, PublicFormat.PKCS1))
    assert differences(b"p=" + plain, RSA) == ()


@pytest.mark.parametrize(
    ("record", "faults"),
    [
        (ED25519_RECORD, ["it says k=ed25519, our key is rsa"]),
        (compose_record(generate_private_key(65_537, 1024).public_key()), ["it publishes another key than ours"]),
        ("v=DKIM1; p=", ["the key is revoked there: p= is empty"]),
        ("v=DKIM2; p=AAAA", ["the key record is not of version DKIM1"]),
        ("v=spf1 -all", ["the key record is not of version DKIM1"]),
        ("nonsense", ["'nonsense' is no tag=value"]),
        (f"{compose_record(RSA)}; h=sha1", ["it permits other hashes only: h=sha1"]),
        (f"{compose_record(RSA)}; h=sha1:sha256; s=email:other", []),
        (
            f"{compose_record(RSA)}; h=sha1; s=tlsrpt",
            ["it permits other hashes only: h=sha1", "it is not for mail: s=tlsrpt"],
        ),
    ],
)
def test_what_keeps_mail_from_being_proven_is_named(record: str, faults: list[str]):
    assert list(differences(record.encode(), RSA)) == faults


def test_a_test_is_seen():
    assert is_test(f"{ED25519_RECORD}; t=s:y".encode())
    assert not is_test(f"{ED25519_RECORD}; t=s".encode())
    assert not is_test(b"nonsense")


def test_strangers_under_the_name_of_a_key_are_left_out():
    key = ED25519_RECORD.encode()
    assert key_records((b"v=spf1 -all", key)) == (key,)
    assert key_records((b"v=spf1 -all",)) == (b"v=spf1 -all",)
    assert key_records(()) == ()
    assert key_records((key, key, key.replace(b"; ", b";"), b"v=DKIM1; p=")) == (key, b"v=DKIM1; p=")
