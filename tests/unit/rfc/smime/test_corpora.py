"""The public messages and keys: RFC 4134, RFC 9216, OpenSSL's malformed ones, and those of the post-quantum RFCs."""

from __future__ import annotations

import base64
import email
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from mta.errors import SmimeError
from mta.model.smime import DecryptOutcome, SignatureStatus, SignedOutcome
from mta.rfc.smime.decrypt import NOT_OURS, DecryptionKey, decrypt
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.party import party
from mta.rfc.smime.profile import PROFILES
from mta.rfc.smime.sign import SigningIdentity, prepare_signer, signed_data
from mta.rfc.smime.verify import verify_signed_data
from tests.support.corpora import corpus, files
from tests.support.smime import ENTITY, NOW

REFUSED, MALFORMED = SignatureStatus.REFUSED, SignatureStatus.MALFORMED
SAMPLE = b"This is some sample content."
RECIPES = "smime-openssl/recipes/80-test_cms_data"


def octets(path: Path) -> bytes:
    """DER, whether the file holds it plainly, in PEM, or in a message."""
    raw = path.read_bytes()
    pem = re.search(rb"-----BEGIN [^-]+-----\s(.*?)-----END", raw, re.S)
    if pem:
        return base64.b64decode(pem[1])
    if raw.startswith((b"MIME-Version", b"To:", b"From:", b"Message-Id")):
        message = email.message_from_bytes(raw)
        part = message.get_payload()[-1] if message.is_multipart() else message
        return part.get_payload(decode=True) or b""
    return raw


def pem_key(path: Path, certificate: Path | None = None) -> DecryptionKey:
    found = x509.load_pem_x509_certificate((certificate or path).read_bytes())
    return DecryptionKey(found.public_bytes(Encoding.DER), load_pem_private_key(path.read_bytes(), None))


def read_all(data: bytes, keys: list[DecryptionKey]) -> list[SignedOutcome | DecryptOutcome]:
    """Both ways to read it; the wrong one says that it is the wrong one."""
    outcomes: list[SignedOutcome | DecryptOutcome] = []
    for read in (lambda: verify_signed_data(data, None), lambda: decrypt(data, keys)):
        try:
            outcomes.append(read())
        except SmimeError:
            continue
    return outcomes


# --- RFC 4134: everything is read, nothing of it is strong enough ------------------------------------------------


def bob() -> DecryptionKey:
    folder = corpus("smime-rfc4134")
    key = load_der_private_key((folder / "BobPrivRSAEncrypt.pri").read_bytes(), None)
    return DecryptionKey((folder / "BobRSASignByCarl.cer").read_bytes(), key)


@pytest.mark.parametrize(
    ("name", "signers", "certificates"),
    [
        ("4.1", 1, 1),
        ("4.2", 1, 1),
        ("4.4", 1, 3),
        ("4.5", 1, 2),
        ("4.6", 2, 2),
        ("4.7", 1, 1),
        ("4.10", 1, 1),
    ],
)
def test_signatures_of_rfc_4134_are_refused(name: str, signers: int, certificates: int) -> None:
    outcome = verify_signed_data((corpus("smime-rfc4134") / f"{name}.bin").read_bytes(), None)
    assert outcome.content == SAMPLE
    assert [(signer.status, signer.digest) for signer in outcome.signers] == [(REFUSED, "SHA-1")] * signers
    assert len(outcome.certificates) == certificates
    assert not outcome.good


def test_the_detached_signature_of_rfc_4134() -> None:
    data = (corpus("smime-rfc4134") / "4.3.bin").read_bytes()
    (signer,) = verify_signed_data(data, SAMPLE).signers
    assert signer.status is REFUSED
    assert verify_signed_data(data, None).reason == "it holds no content"


def test_certificates_alone_in_rfc_4134() -> None:
    outcome = verify_signed_data((corpus("smime-rfc4134") / "4.11.bin").read_bytes(), None)
    assert (len(outcome.certificates), outcome.good, outcome.reason) == (2, False, "nobody signed it")


@pytest.mark.parametrize("name", ["5.1.bin", "5.3.eml"])
def test_envelopes_of_rfc_4134_open(name: str) -> None:
    outcome = decrypt(octets(corpus("smime-rfc4134") / name), [bob()])
    assert (outcome.content, outcome.cipher, outcome.authenticated) == (SAMPLE, "des3-cbc", False)


def test_rc2_of_rfc_4134_is_refused() -> None:
    with pytest.raises(SmimeError, match="RC2 is too weak"):
        decrypt((corpus("smime-rfc4134") / "5.2.bin").read_bytes(), [bob()])


def test_all_of_rfc_4134_comes_to_a_result() -> None:
    paths = [*files("smime-rfc4134", ".bin"), *files("smime-rfc4134", ".eml")]
    assert len(paths) >= 19
    for path in paths:
        for outcome in read_all(octets(path), [bob()]):
            assert not isinstance(outcome, SignedOutcome) or not outcome.good, path


# --- RFC 9216: Alice, Bob, Carlos and Dana -----------------------------------------------------------------------


def object_of(section: str) -> bytes:
    (path,) = (path for path in files("smime-rfc9216", ".pem") if path.name.startswith(f"{section}-"))
    return path.read_bytes()


def certificate_of(section: str) -> bytes:
    return x509.load_pem_x509_certificate(object_of(section)).public_bytes(Encoding.DER)


def key_of(section: str) -> Any:
    return load_pem_private_key(object_of(section), None)


PEOPLE = {"Alice": 4, "Bob": 5, "Carlos": 7, "Dana": 8}


@pytest.mark.parametrize("chapter", PEOPLE.values(), ids=PEOPLE.keys())
def test_the_people_of_rfc_9216_sign_and_receive(chapter: int) -> None:
    scheme, transport = ("rsa-pkcs1-sha256", "rsa-pkcs1") if chapter < 6 else ("ed25519", "ecdh-hkdf-sha256")
    root = certificate_of("3.1" if chapter < 6 else "6.1")
    identity = SigningIdentity(certificate_of(f"{chapter}.1"), (root,), key_of(f"{chapter}.2"))
    signer = prepare_signer(identity, PROFILES["default"])
    outcome = verify_signed_data(signed_data([signer], ENTITY, detached=True, signing_time=NOW), ENTITY)
    assert outcome.good
    assert outcome.signers[0].scheme == scheme
    receiver = DecryptionKey(certificate_of(f"{chapter}.3"), key_of(f"{chapter}.4"))
    for profile in (PROFILES["default"], PROFILES["authenticated"]):
        sealed = enveloped_data(
            [prepare_recipient(receiver.certificate, profile)], ENTITY, profile, lambda size: bytes(range(size))
        )
        opened = decrypt(sealed, [receiver])
        assert (opened.content, opened.key_transport) == (ENTITY, transport)
    with pytest.raises(SmimeError, match=r"key usage|of this kind"):
        prepare_recipient(identity.certificate, PROFILES["default"])
    with pytest.raises(SmimeError, match=r"key usage|of this kind"):
        prepare_signer(SigningIdentity(receiver.certificate, (), receiver.key), PROFILES["default"])


@pytest.mark.parametrize(("name", "chapter"), PEOPLE.items())
def test_the_pkcs_12_objects_of_rfc_9216_hold_the_same_people(name: str, chapter: int) -> None:
    (path,) = files("smime-rfc9216", f"Object_for_{name}.p12")
    _, own, others = pkcs12.load_key_and_certificates(path.read_bytes(), name.lower().encode())
    assert own is not None
    inside = {each.public_bytes(Encoding.DER) for each in (own, *others)}
    assert {certificate_of(f"{chapter}.1"), certificate_of(f"{chapter}.3")} <= inside


def test_all_certificates_of_rfc_9216_are_parties() -> None:
    paths = files("smime-rfc9216", ".crt.pem")
    assert len(paths) == 12
    for path in paths:
        who = party(x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER))
        assert who.key is not None
        assert len(who.key_identifier) == 20


# --- OpenSSL's malformed ones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad_signtime_attr.cms", "is not signed"),
        ("ct_multiple_attr.cms", "stands there twice"),
        ("no_ct_attr.cms", "content type is missing"),
        ("no_md_attr.cms", "message digest is missing"),
    ],
)
def test_malformed_signatures_of_openssl(name: str, reason: str) -> None:
    outcome = verify_signed_data(octets(corpus(RECIPES) / name), None)
    (signer,) = outcome.signers
    assert signer.status is MALFORMED
    assert reason in signer.reason


def test_md4_of_openssl_is_refused() -> None:
    (signer,) = verify_signed_data(octets(corpus(RECIPES) / "pkcs7-md4.pem"), None).signers
    assert signer.status is REFUSED
    with pytest.raises(SmimeError):
        decrypt(octets(corpus(RECIPES) / "pkcs7-md4-encrypted.pem"), [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [("rsa", "parts where 2 must be|is missing"), ("ecdh", "without its key wrap"), ("dh", "is not known here")],
)
def test_malformed_envelopes_of_openssl(name: str, reason: str) -> None:
    folder = corpus(RECIPES)
    if name == "rsa":
        key = pem_key(corpus("smime-openssl/smime-certs") / "smrsa3.pem")
    elif name == "ecdh":
        key = pem_key(folder / "ecdh-key.pem", folder / "ecdh-cert.pem")
    else:
        certificate = x509.load_pem_x509_certificate((folder / "dh-cert.pem").read_bytes())
        key = DecryptionKey(certificate.public_bytes(Encoding.DER), None)
    outcome = decrypt(octets(folder / f"{name}-malformed.der"), [key])
    assert outcome.content is None
    assert re.search(reason, outcome.reason), outcome


def test_a_nonce_that_is_too_long_is_refused() -> None:
    with pytest.raises(SmimeError, match="nonce"):
        decrypt(octets(corpus("smime-openssl/recipes/80-test_cmsapi_data") / "encDataWithTooLongIV.pem"), [])


def test_an_envelope_of_openssl_1_1_1_opens() -> None:
    """ECDH with SHA-1, 3DES to wrap and 3DES to encrypt: what that version wrote without being told."""
    key = pem_key(corpus("smime-openssl/smime-certs") / "smec3.pem")
    outcome = decrypt(octets(corpus(RECIPES) / "ciphertext_from_1_1_1.cms"), [key])
    assert outcome.content is not None
    assert outcome.content.startswith(b"Somewhat longer test content")
    assert outcome.key_transport == "ecdh-x963-sha1"


def test_a_message_of_openssl_that_announces_no_digest() -> None:
    raw = (corpus("smime-openssl/smime-eml") / "pkcs7-empty-digest-set.eml").read_bytes()
    signature = octets(corpus("smime-openssl/smime-eml") / "pkcs7-empty-digest-set.eml")
    boundary = re.search(rb'boundary="([^"]+)"', raw)
    assert boundary is not None
    content = raw.split(b"--" + boundary[1])[1].removeprefix(b"\n").removesuffix(b"\n").replace(b"\n", b"\r\n")
    (signer,) = verify_signed_data(signature, content).signers
    assert signer.status is MALFORMED
    assert "not among the digests" in signer.reason


def test_all_of_openssl_comes_to_a_result() -> None:
    paths = [path for path in files("smime-openssl") if path.suffix in (".cms", ".der", ".pem", ".eml")]
    assert len(paths) >= 30
    for path in paths:
        for outcome in read_all(octets(path), []):
            assert not isinstance(outcome, SignedOutcome) or not outcome.good or path.suffix == ".eml", path


# --- post-quantum ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [44, 65, 87])
def test_the_examples_of_rfc_9882_verify(bits: int) -> None:
    data = octets(corpus("pqc-lamps/cms-ml-dsa") / f"mldsa{bits}-signed-attrs.pem")
    certificate = octets(corpus("pqc-lamps/dilithium-certificates") / f"ML-DSA-{bits}.crt")
    outcome = verify_signed_data(data, None, [certificate])
    assert outcome.good, outcome
    assert outcome.signers[0].scheme == f"ml-dsa-{bits}"
    assert outcome.content is not None
    place = data.index(outcome.content)
    changed = data[:place] + b"X" + data[place + 1 :]
    assert verify_signed_data(changed, None, [certificate]).signers[0].status is SignatureStatus.BAD
    assert "is not there" in verify_signed_data(data, None).signers[0].reason


def test_the_example_of_rfc_9936_is_read() -> None:
    """ML-KEM-512, which `cryptography` does not have: all but the key's own operation is done."""
    folder = corpus("pqc-lamps/cms-kyber")
    data = octets(folder / "ML-KEM-512.cms")
    outcome = decrypt(data, [])
    assert (outcome.content, outcome.cipher, outcome.authenticated) == (None, "aes128-gcm", True)
    assert outcome.reason == NOT_OURS
    assert outcome.recipients == ("key 599788c37aed400ee405d1b2a3366ab17d824a51",)
