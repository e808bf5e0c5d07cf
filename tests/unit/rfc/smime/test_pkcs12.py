"""Files with several keys, and files that would take for ever."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.pkcs12 import read_pkcs12
from tests.support.corpora import corpus
from tests.support.programs import needs
from tests.support.smime import person, root
from tests.support.smime_mail import openssl

_TRIPLE_DES = (
    PrivateFormat.PKCS12.encryption_builder()
    .kdf_rounds(100)
    .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
    .hmac_hash(hashes.SHA1())
)
_AES = (
    PrivateFormat.PKCS12.encryption_builder()
    .kdf_rounds(100)
    .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
    .hmac_hash(hashes.SHA256())
)


def file(encryption: object, kind: str = "p256") -> bytes:
    who = person(kind)
    return serialize_key_and_certificates(
        b"x",
        who.key,
        who.certificate,
        [root().certificate],
        encryption,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", ["p256", "rsa"])
@pytest.mark.parametrize("method", ["3des", "aes", "default"])
def test_keys_and_certificates_come_out(kind: str, method: str) -> None:
    methods = {
        "3des": _TRIPLE_DES.build(b"p\xc3\xa4ss"),
        "aes": _AES.build(b"p\xc3\xa4ss"),
        "default": BestAvailableEncryption(b"p\xc3\xa4ss"),
    }
    found = read_pkcs12(file(methods[method], kind), "päss")
    assert [key.public_key() for key in found.keys] == [person(kind).key.public_key()]
    assert set(found.certificates) == {person(kind).der, root().der}


def test_a_file_without_a_password() -> None:
    assert len(read_pkcs12(file(NoEncryption()), "").keys) == 1


@pytest.mark.parametrize(("name", "section"), [("alice", "4.5"), ("bob", "5.5"), ("carlos", "7.5"), ("dana", "8.5")])
def test_the_files_of_rfc_9216_hold_two_keys_each(name: str, section: str) -> None:
    path = corpus("smime-rfc9216") / f"{section}-PKCS_12_Object_for_{name.capitalize()}.p12"
    found = read_pkcs12(path.read_bytes(), name)
    assert len(found.keys) == 2
    assert len(found.certificates) == 3


@pytest.mark.peer
@needs("openssl")
def test_old_files_are_left_to_the_library(tmp_path: Path) -> None:
    person("rsa").write(tmp_path, "x")
    words = [
        "-export",
        "-legacy",
        "-certpbe",
        "PBE-SHA1-RC2-40",
        "-inkey",
        "x.key",
        "-in",
        "x.pem",
        "-passout",
        "pass:y",
    ]
    made = openssl(tmp_path, "pkcs12", *words, data=b"")
    assert read_pkcs12(made, "y").certificates == (person("rsa").der,)


@pytest.mark.parametrize("encryption", [_TRIPLE_DES.build(b"right"), _AES.build(b"right")])
def test_another_password_opens_nothing(encryption: object) -> None:
    with pytest.raises(SmimeError, match="password"):
        read_pkcs12(file(encryption), "wrong")


def test_a_file_that_asks_for_too_many_rounds_is_not_opened() -> None:
    rounds = der.sequence(der.octet_string(b"salt"), der.integer(2**31 - 1))
    data = der.sequence(der.oid("1.2.840.113549.1.7.1"), der.explicit(0, der.octet_string(der.sequence(rounds))))
    with pytest.raises(SmimeError, match="2147483647 rounds"):
        read_pkcs12(der.sequence(der.integer(3), data), "x")
    info = der.sequence(der.sequence(der.oid("1.3.14.3.2.26")), der.octet_string(b"x" * 20))
    mac = der.sequence(info, der.octet_string(b"salt"), der.integer(2**40))
    empty = der.sequence(der.oid("1.2.840.113549.1.7.1"), der.explicit(0, der.octet_string(der.sequence())))
    with pytest.raises(SmimeError, match="rounds"):
        read_pkcs12(der.sequence(der.integer(3), empty, mac), "x")


_WHOLE = file(_AES.build(b"right"))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(_WHOLE) - 1), st.binary(max_size=3))
def test_broken_files_raise_the_declared_error_or_open(at: int, junk: bytes) -> None:
    with contextlib.suppress(SmimeError):
        read_pkcs12(_WHOLE[:at] + junk + _WHOLE[at + len(junk) :], "right")
