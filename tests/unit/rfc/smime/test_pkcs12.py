"""Files with several keys, and files that would take for ever."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.ber import SEQUENCE, read
from mta.rfc.smime.password_based import derived
from mta.rfc.smime.pkcs12 import read_pkcs12
from mta.rfc.smime.private_key import read_private_key
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


# --- passwords that are empty, and the ways of a MAC

HMACS = {
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.8": "sha224",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
    "1.2.840.113549.2.13": "sha512_256",
    "2.16.840.1.101.3.4.2.14": "sha3_256",
    "2.16.840.1.101.3.4.2.16": "sha3_512",
}
PBMAC1, PBKDF2 = "1.2.840.113549.1.5.14", "1.2.840.113549.1.5.12"
SALT = b"saltsalt"


def with_mac(whole: bytes, algorithm: bytes, digest: bytes) -> bytes:
    """The same file with another MAC."""
    version, contents, _ = read(whole, SEQUENCE).parts(3)
    mac = der.sequence(der.sequence(algorithm, der.octet_string(digest)), der.octet_string(SALT), der.integer(1))
    return der.sequence(version.raw, contents.raw, mac)


def safe_of(whole: bytes) -> bytes:
    _, contents, _ = read(whole, SEQUENCE).parts(3)
    _, wrapped = contents.parts(2)
    return bytes(next(wrapped.children()).octets())


def pbmac1(whole: bytes, password: str, prf: str, mac: str, *, rounds: int = 10, size: int | None = 40) -> bytes:
    """RFC 9579: the MAC by PBMAC1, of our own making."""
    key = hashlib.pbkdf2_hmac(HMACS[prf], password.encode(), SALT, min(rounds, 10), size or 32)
    length = b"" if size is None else der.integer(size)
    values = der.sequence(der.octet_string(SALT), der.integer(rounds), length, der.sequence(der.oid(prf), b"\x05\x00"))
    derivation = der.sequence(der.oid(PBKDF2), values)
    scheme = der.sequence(der.oid(mac), b"\x05\x00")
    algorithm = der.sequence(der.oid(PBMAC1), der.sequence(derivation, scheme))
    return with_mac(whole, algorithm, hmac.new(key, safe_of(whole), HMACS.get(mac, "md5")).digest())


@pytest.mark.parametrize("mac", HMACS)
@pytest.mark.parametrize("prf", ["1.2.840.113549.2.9", "2.16.840.1.101.3.4.2.14"])
def test_pbmac1(prf: str, mac: str) -> None:
    made = pbmac1(file(_AES.build("päss".encode())), "päss", prf, mac)
    assert len(read_pkcs12(made, "päss").keys) == 1
    with pytest.raises(SmimeError, match="the password is not that of the file"):
        read_pkcs12(made, "pass")


def test_a_pbmac1_that_is_not_as_it_must_be_says_so() -> None:
    whole, sha256, md5 = file(_AES.build(b"x")), "1.2.840.113549.2.9", "1.2.840.113549.2.6"
    for made, reason in (
        (pbmac1(whole, "x", sha256, sha256, size=None), "how long its key is"),
        (pbmac1(whole, "x", sha256, sha256, size=2000), "a key of 2000 octets"),
        (pbmac1(whole, "x", sha256, md5), "1.2.840.113549.2.6, which is not known"),
        (pbmac1(whole, "x", sha256, sha256, rounds=6_000_000), "rounds"),
    ):
        with pytest.raises(SmimeError, match=reason):
            read_pkcs12(made, "x")


@pytest.mark.parametrize("secret", [b"\0\0", b""], ids=["empty", "absent"])
def test_an_empty_password_is_written_in_two_ways(secret: bytes) -> None:
    key, whole = derived(3, secret, SALT, 1, ("sha256", 32)), file(NoEncryption())
    made = with_mac(whole, der.algorithm("2.16.840.1.101.3.4.2.1"), hmac.new(key, safe_of(whole), "sha256").digest())
    assert len(read_pkcs12(made, "").keys) == 1
    with pytest.raises(SmimeError, match="password"):
        read_pkcs12(made, "x")


@pytest.mark.peer
@needs("openssl")
@pytest.mark.parametrize("password", ["", "pw"])
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha384", "sha512", "sha512-256", "sha3-256", "sha3-512"])
def test_macs_of_openssl(tmp_path: Path, password: str, digest: str) -> None:
    person("rsa").write(tmp_path, "x")
    words = ["-export", "-macalg", digest, "-inkey", "x.key", "-in", "x.pem", "-passout", f"pass:{password}"]
    made = openssl(tmp_path, "pkcs12", *words, data=b"")
    assert len(read_pkcs12(made, password).keys) == 1
    with pytest.raises(SmimeError, match="the password is not that of the file"):
        read_pkcs12(made, "other")


@pytest.mark.peer
@needs("openssl")
@pytest.mark.parametrize("password", ["", "pw"])
def test_triple_des_of_openssl(tmp_path: Path, password: str) -> None:
    person("rsa").write(tmp_path, "x")
    words = ["-export", "-legacy", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES"]
    made = openssl(
        tmp_path, "pkcs12", *words, "-inkey", "x.key", "-in", "x.pem", "-passout", f"pass:{password}", data=b""
    )
    assert len(read_pkcs12(made, password).keys) == 1


@pytest.mark.parametrize("kind", ["ML-KEM-768", "ML-KEM-1024", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
@pytest.mark.parametrize("form", ["seed", "both"])
@pytest.mark.parametrize("bag", ["plain", "shrouded"])
def test_lattice_keys_in_bags(kind: str, form: str, bag: str) -> None:
    key = lattice_key(kind, form)
    made = bags_of(key if bag == "plain" else sealed(key, b"pw"), shrouded=bag == "shrouded")
    [found] = read_pkcs12(made, "pw").keys
    assert found.public_key().public_bytes_raw() == read_private_key(key).public_key().public_bytes_raw()


@pytest.mark.parametrize("bag", ["plain", "shrouded"])
def test_the_reason_names_what_is_not_known(bag: str) -> None:
    for key, reason in (
        (lattice_key("ML-KEM-768", "expanded"), "a key of ML-KEM-768 in its expanded form only: the seed is needed"),
        (lattice_key("ML-KEM-512", "both"), "ML-KEM-512, which is not known here"),
    ):
        made = bags_of(key if bag == "plain" else sealed(key, b"pw"), shrouded=bag == "shrouded")
        with pytest.raises(SmimeError, match=reason):
            read_pkcs12(made, "pw")
    with pytest.raises(SmimeError, match="MD5"):
        read_pkcs12(bags_of(sealed(lattice_key("ML-DSA-44", "seed"), b"pw", prf="1.2.840.113549.2.5")), "pw")


def lattice_key(kind: str, form: str) -> bytes:
    folder = "kyber-certificates" if "KEM" in kind else "dilithium-certificates"
    path = corpus(f"pqc-lamps/{folder}") / f"{kind}-{form}.priv"
    return base64.b64decode(b"".join(path.read_bytes().split(b"-----")[2].split()))


def sealed(key: bytes, password: bytes, prf: str = "1.2.840.113549.2.9") -> bytes:
    """EncryptedPrivateKeyInfo by PBES2."""
    secret = hashlib.pbkdf2_hmac(HMACS.get(prf, "md5"), password, SALT, 10, 32)
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES(secret), CBC(b"i" * 16)).encryptor()
    octets = encryptor.update(padder.update(key) + padder.finalize()) + encryptor.finalize()
    values = der.sequence(der.octet_string(SALT), der.integer(10), der.sequence(der.oid(prf), b"\x05\x00"))
    scheme = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octet_string(b"i" * 16))
    parameters = der.sequence(der.sequence(der.oid(PBKDF2), values), scheme)
    return der.sequence(der.sequence(der.oid("1.2.840.113549.1.5.13"), parameters), der.octet_string(octets))


def bags_of(value: bytes, *, shrouded: bool = True) -> bytes:
    """A file with one bag and no MAC."""
    data = der.oid("1.2.840.113549.1.7.1")
    kind = der.oid(f"1.2.840.113549.1.12.10.1.{2 if shrouded else 1}")
    bags = der.sequence(der.sequence(kind, der.explicit(0, value)))
    safe = der.sequence(der.sequence(data, der.explicit(0, der.octet_string(bags))))
    return der.sequence(der.integer(3), der.sequence(data, der.explicit(0, der.octet_string(safe))))
