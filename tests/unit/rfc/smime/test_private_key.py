"""Private keys of the post-quantum kinds, in the three forms of RFC 9881 and RFC 9935, and bad ones."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.decrypt import DecryptionKey, decrypt
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.party import party
from mta.rfc.smime.private_key import open_private_key, read_private_key, read_private_pem
from mta.rfc.smime.profile import PROFILES
from mta.rfc.smime.sign import SigningIdentity, prepare_signer, signed_data
from mta.rfc.smime.verify import verify_signed_data
from tests.support.corpora import corpus, files
from tests.support.programs import needs
from tests.support.smime import ENTITY, NOW, person
from tests.support.smime_mail import openssl

QUANTUM = PROFILES["post-quantum"]
SIGNATURES, KEMS = "pqc-lamps/dilithium-certificates", "pqc-lamps/kyber-certificates"


def octets(path: Path) -> bytes:
    """What a PEM file holds."""
    return base64.b64decode(b"".join(path.read_bytes().split(b"-----")[2].split()))


@pytest.mark.parametrize("form", ["seed", "both"])
@pytest.mark.parametrize("bits", [44, 65, 87])
def test_keys_of_ml_dsa_sign_for_their_certificates(bits: int, form: str) -> None:
    folder = corpus(SIGNATURES)
    key = read_private_key(octets(folder / f"ML-DSA-{bits}-{form}.priv"))
    identity = SigningIdentity(octets(folder / f"ML-DSA-{bits}.crt"), (), key)
    data = signed_data([prepare_signer(identity, QUANTUM)], ENTITY, detached=True, signing_time=NOW)
    assert verify_signed_data(data, ENTITY).good


@pytest.mark.parametrize("form", ["seed", "both"])
@pytest.mark.parametrize("bits", [768, 1024])
def test_keys_of_ml_kem_open_what_is_for_their_certificates(bits: int, form: str) -> None:
    folder = corpus(KEMS)
    certificate = octets(folder / f"ML-KEM-{bits}.crt")
    key = read_private_key(octets(folder / f"ML-KEM-{bits}-{form}.priv"))
    assert key.public_key() == party(certificate).key
    data = enveloped_data([prepare_recipient(certificate, QUANTUM)], ENTITY, QUANTUM, lambda size: b"r" * size)
    assert decrypt(data, [DecryptionKey(certificate, key)]).content == ENTITY


def test_bad_and_unsupported_keys_say_why() -> None:
    reasons = {}
    for path in (*files(SIGNATURES, ".priv"), *files(KEMS, ".priv")):
        try:
            read_private_key(octets(path))
        except SmimeError as error:
            reasons[path.name] = str(error)
    assert {name for name in reasons if "512" not in name} == {
        *(f"ML-DSA-{bits}-expanded.priv" for bits in (44, 65, 87)),
        *(f"ML-KEM-{bits}-expanded.priv" for bits in (768, 1024)),
        *(f"bad-ML-DSA-44-{number}.priv" for number in (1, 2, 3)),
    }
    assert all("not known here" in reason for name, reason in reasons.items() if "512" in name)
    assert all(
        "the seed is needed" in reason for name, reason in reasons.items() if "expanded" in name and "512" not in name
    )
    assert "not that of its seed" in reasons["bad-ML-DSA-44-1.priv"]


def both(path: Path, place: int) -> bytes:
    """The key in both forms with an octet of the expanded one changed."""
    data = bytearray(octets(path))
    data[place] ^= 1
    return bytes(data)


def test_an_expanded_form_that_is_not_the_seeds_is_refused() -> None:
    kem, dsa = corpus(KEMS) / "ML-KEM-768-both.priv", corpus(SIGNATURES) / "ML-DSA-65-both.priv"
    behind = len(octets(dsa)) - 4032
    for path, places in ((kem, (-1, -33, -65, -1000)), (dsa, (behind, behind + 40, behind + 100))):
        for place in places:
            with pytest.raises(SmimeError, match="not that of its seed"):
                read_private_key(both(path, place))


def test_sizes_are_checked() -> None:
    algorithm = der.algorithm("2.16.840.1.101.3.4.4.2")
    for inner, reason in (
        (der.element(0x80, b"s" * 63), "a seed of ML-KEM-768"),
        (der.sequence(der.octet_string(b"s" * 64), der.octet_string(b"e")), "an expanded key of ML-KEM-768"),
        (b"\x05\x00", "a simple value"),
    ):
        key = der.sequence(der.integer(0), algorithm, der.octet_string(inner))
        with pytest.raises(SmimeError, match=reason):
            read_private_key(key)


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519", "x25519", "ml-kem-768", "ml-dsa-65"])
def test_other_keys_are_read_as_ever(kind: str) -> None:
    key = person(kind).key
    data = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert read_private_key(data).public_key() == key.public_key()
    for broken in (data[:-1], b"", b"junk", der.sequence(der.integer(0))):
        with pytest.raises(SmimeError):
            read_private_key(broken)


def test_pem_is_read_with_and_without_a_password() -> None:
    key = person("p256").key
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    both_forms = (corpus(KEMS) / "ML-KEM-768-both.priv").read_bytes()
    for content, password in ((plain, None), (b"words\n" + plain, None), (locked, b"secret"), (old, None)):
        assert read_private_pem(content, password).public_key() == key.public_key()
    assert read_private_pem(both_forms).public_key() is not None
    for content, password in ((locked, None), (locked, b"wrong"), (b"", None), (plain.replace(b"MI", b"M"), None)):
        with pytest.raises(SmimeError):
            read_private_pem(content, password)


@pytest.mark.peer
@needs("openssl")
@pytest.mark.parametrize("password", ["", "pw"])
@pytest.mark.parametrize(
    "scheme",
    [
        ("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"),
        ("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"),
        ("-v2", "des3"),
        ("-scrypt",),
        ("-v1", "PBE-SHA1-3DES"),
    ],
    ids=lambda scheme: "-".join(scheme),
)
def test_encrypted_keys_of_openssl(tmp_path: Path, password: str, scheme: tuple[str, ...]) -> None:
    person("p256").write(tmp_path, "x")
    words = ("-topk8", "-in", "x.key", "-outform", "DER", "-passout", f"pass:{password}", *scheme)
    made = openssl(tmp_path, "pkcs8", *words, data=b"")
    assert open_private_key(made, password).public_key() == person("p256").key.public_key()
    with pytest.raises(SmimeError, match="password"):
        open_private_key(made, "other")
    pem = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + base64.encodebytes(made) + b"-----END ENCRYPTED PRIVATE KEY-----"
    assert read_private_pem(pem, password.encode()).public_key() == person("p256").key.public_key()


@pytest.mark.parametrize(
    ("n", "r", "p"), [(1 << 20, 8, 16), (2, 1 << 30, 1), (1 << 14, 8, 1 << 20), (1, 8, 1), (3, 8, 1), (0, 0, 0)]
)
def test_a_key_that_asks_for_too_much_memory_is_refused(n: int, r: int, p: int) -> None:
    values = der.sequence(der.octet_string(b"salt"), *map(der.integer, (n, r, p)))
    derivation = der.sequence(der.oid("1.3.6.1.4.1.11591.4.11"), values)
    scheme = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octet_string(b"i" * 16))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.5.13"), der.sequence(derivation, scheme))
    with pytest.raises(SmimeError, match=r"scrypt|cannot be"):
        open_private_key(der.sequence(algorithm, der.octet_string(b"x" * 32)), "pw")
