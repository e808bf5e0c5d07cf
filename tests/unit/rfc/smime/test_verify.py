"""One strict path: what must be there once is there once, and what is weak proves nothing however right it is."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from mta.errors import SmimeError
from mta.model.smime import SignatureStatus
from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.party import party
from mta.rfc.smime.profile import PROFILES, with_words
from mta.rfc.smime.sign import SigningIdentity, prepare_signer, signed_data
from mta.rfc.smime.signed_data import MAX_CERTIFICATES, MAX_SIGNERS
from mta.rfc.smime.verify import verify_signed_data
from tests.support.cms_forge import (
    SHA256,
    Forgery,
    attribute,
    certificates_only,
    content_type,
    message_digest,
    with_key_algorithm,
)
from tests.support.smime import ENTITY, NOW, issue, person

GOOD, BAD, UNSUPPORTED = SignatureStatus.GOOD, SignatureStatus.BAD, SignatureStatus.UNSUPPORTED
REFUSED, MALFORMED = SignatureStatus.REFUSED, SignatureStatus.MALFORMED
SHA1 = der.algorithm(names.SHA1)
MD5 = der.algorithm("1.2.840.113549.2.5")
FORGERY = Forgery()
CURVE = Forgery(person("p256"), algorithm=der.algorithm("1.2.840.10045.4.3.2"))


def pss(digest: bytes, mask: bytes, salt: int = 32, trailer: int = 1) -> bytes:
    parameters = der.sequence(
        der.explicit(0, digest),
        der.explicit(1, der.algorithm(names.MGF1, mask)),
        der.explicit(2, der.integer(salt)),
        der.explicit(3, der.integer(trailer)),
    )
    return der.algorithm(names.RSA_PSS, parameters)


SALTED = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
TIME = attribute(names.SIGNING_TIME, der.element(0x17, b"260101120000Z"))
CASES = {
    "as it should be": (FORGERY, GOOD, ""),
    "no signed attributes": (FORGERY.but(attributes=None), GOOD, ""),
    "no content type": (FORGERY.but(attributes=[message_digest()]), MALFORMED, "content type is missing"),
    "another content type": (
        FORGERY.but(attributes=[content_type(names.SIGNED_DATA), message_digest()]),
        MALFORMED,
        "not that of the content",
    ),
    "no digest": (FORGERY.but(attributes=[content_type()]), MALFORMED, "message digest is missing"),
    "two digests in one": (
        FORGERY.but(attributes=[content_type(), attribute(names.MESSAGE_DIGEST, *[der.octet_string(b"x")] * 2)]),
        MALFORMED,
        "not one proper value",
    ),
    "two digest attributes": (
        FORGERY.but(attributes=[content_type(), message_digest(), message_digest(b"other")]),
        MALFORMED,
        "stands there twice",
    ),
    "an attribute of ours twice": (
        FORGERY.but(attributes=[content_type(), message_digest(), attribute("1.2.3.4"), attribute("1.2.3.4")]),
        MALFORMED,
        "1.2.3.4 stands there twice",
    ),
    "an attribute unknown to us": (
        FORGERY.but(attributes=[content_type(), message_digest(), attribute("1.2.3.4", der.NULL)]),
        GOOD,
        "",
    ),
    "another digest": (FORGERY.but(attributes=[content_type(), message_digest(b"other")]), BAD, "changed"),
    "another signature": (FORGERY.but(signature=b"\x01" * 256), BAD, "wrong"),
    "a signature of the wrong length": (FORGERY.but(signature=b"\x01"), BAD, "wrong"),
    "no signature": (FORGERY.but(signature=b""), BAD, "wrong"),
    "no time": (
        FORGERY.but(attributes=[content_type(), message_digest(), attribute(names.SIGNING_TIME)]),
        MALFORMED,
        "",
    ),
    "a time that is none": (
        FORGERY.but(
            attributes=[
                content_type(),
                message_digest(),
                attribute(names.SIGNING_TIME, der.element(0x17, b"261301120000Z")),
            ]
        ),
        MALFORMED,
        "signing time",
    ),
    "an unsigned time": (FORGERY.but(unsigned=[TIME]), MALFORMED, "is not signed"),
    "an unsigned attribute": (FORGERY.but(unsigned=[attribute("1.2.3.4", der.NULL)]), GOOD, ""),
    "SHA-1": (
        FORGERY.but(digest=SHA1, hash=hashes.SHA1(), attributes=[content_type(), message_digest(hashed="sha1")]),
        REFUSED,
        "SHA-1",
    ),
    "MD5": (FORGERY.but(digest=MD5), REFUSED, "MD5"),
    "a digest that nobody knows": (FORGERY.but(digest=der.algorithm("1.2.3")), UNSUPPORTED, "1.2.3"),
    "RSA with SHA-1 beside SHA-256": (
        FORGERY.but(algorithm=der.algorithm("1.2.840.113549.1.1.5", der.NULL)),
        REFUSED,
        "RSA with SHA-1",
    ),
    "RSA with SHA-256": (FORGERY.but(algorithm=der.algorithm("1.2.840.113549.1.1.11", der.NULL)), GOOD, ""),
    "RSA with another digest": (
        FORGERY.but(algorithm=der.algorithm("1.2.840.113549.1.1.13", der.NULL)),
        MALFORMED,
        "sha512",
    ),
    "DSA": (FORGERY.but(algorithm=der.algorithm("1.2.840.10040.4.3")), REFUSED, "DSA"),
    "ECDSA by an RSA key": (FORGERY.but(algorithm=der.algorithm("1.2.840.10045.4.3.2")), MALFORMED, "does not fit"),
    "ECDSA": (CURVE, GOOD, ""),
    "ECDSA with SHA-1": (CURVE.but(algorithm=der.algorithm("1.2.840.10045.4.1")), REFUSED, "ECDSA with SHA-1"),
    "ECDSA with another digest": (CURVE.but(algorithm=der.algorithm("1.2.840.10045.4.3.4")), MALFORMED, "sha512"),
    "ECDSA with SHA-3": (
        CURVE.but(
            digest=der.algorithm("2.16.840.1.101.3.4.2.8"),
            algorithm=der.algorithm("2.16.840.1.101.3.4.3.10"),
            hash=hashes.SHA3_256(),
            attributes=[content_type(), message_digest(hashed="sha3-256")],
        ),
        GOOD,
        "",
    ),
    "RSA by a curve": (CURVE.but(algorithm=der.algorithm(names.RSA, der.NULL)), MALFORMED, "does not fit"),
    "an algorithm that nobody knows": (FORGERY.but(algorithm=der.algorithm("1.2.3.4")), UNSUPPORTED, "1.2.3.4"),
    "PSS": (FORGERY.but(algorithm=pss(SHA256, SHA256), padding=SALTED), GOOD, ""),
    "PSS with another salt": (FORGERY.but(algorithm=pss(SHA256, SHA256, 31), padding=SALTED), BAD, "wrong"),
    "PSS with a mask of SHA-1": (FORGERY.but(algorithm=pss(SHA256, SHA1), padding=SALTED), REFUSED, "weak hash"),
    "PSS without parameters": (FORGERY.but(algorithm=der.algorithm(names.RSA_PSS), padding=SALTED), MALFORMED, "PSS"),
    "PSS of SHA-1, the default": (
        FORGERY.but(algorithm=der.algorithm(names.RSA_PSS, der.sequence()), padding=SALTED),
        REFUSED,
        "weak hash",
    ),
    "PSS with another hash": (
        FORGERY.but(algorithm=pss(der.algorithm("2.16.840.1.101.3.4.2.3"), SHA256), padding=SALTED),
        MALFORMED,
        "another hash",
    ),
    "PSS with a trailer of its own": (
        FORGERY.but(algorithm=pss(SHA256, SHA256, trailer=2), padding=SALTED),
        MALFORMED,
        "",
    ),
    "RSA of 1024 bits": (FORGERY.but(signer=person("rsa-1024")), REFUSED, "1024 bits"),
    "no announced digest": (FORGERY.but(announced=[]), MALFORMED, "not among the digests"),
    "another announced digest": (FORGERY.but(announced=[SHA1]), MALFORMED, "not among the digests"),
    "a digest announced with NULL": (
        FORGERY.but(announced=[SHA1, SHA256[:1] + b"\x0d" + SHA256[2:] + der.NULL]),
        GOOD,
        "",
    ),
    "no certificate": (FORGERY.but(certificates=[]), MALFORMED, "certificate of the signer is not there"),
    "another's certificate": (FORGERY.but(certificates=[person("p256").der]), MALFORMED, "not there"),
    "a certificate that is none": (FORGERY.but(certificates=[der.sequence(der.NULL)]), MALFORMED, "not there"),
    "signed attributes sold as content": (
        FORGERY.but(attributes=None, content=der.set_of([content_type(), message_digest()])),
        REFUSED,
        "reads like signed attributes",
    ),
    "no signed attributes around another type": (
        FORGERY.but(attributes=None, type="1.2.840.113549.1.9.16.1.4"),
        MALFORMED,
        "attributes are missing",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_signer_comes_to_its_status(name: str) -> None:
    forgery, status, reason = CASES[name]
    outcome = verify_signed_data(forgery.der(), None)
    (signer,) = outcome.signers
    assert (signer.status, outcome.good) == (status, status is GOOD), signer
    assert reason in signer.reason
    assert bool(signer.reason) == (status is not GOOD)


def signing_certificate(oid: str, *parts: bytes) -> bytes:
    return attribute(oid, der.sequence(der.sequence(der.sequence(*parts))))


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (signing_certificate(names.SIGNING_CERTIFICATE_V2, der.octet_string(b"\0" * 32)), BAD),
        (signing_certificate(names.SIGNING_CERTIFICATE, der.octet_string(b"\0" * 20)), BAD),
        (signing_certificate(names.SIGNING_CERTIFICATE_V2, SHA1, der.octet_string(b"\0" * 20)), REFUSED),
        (signing_certificate(names.SIGNING_CERTIFICATE_V2), MALFORMED),
        (attribute(names.SIGNING_CERTIFICATE_V2, der.sequence()), MALFORMED),
        (attribute(names.ALGORITHM_PROTECTION, der.sequence(SHA256, b"\xa1" + SHA256[1:])), BAD),
    ],
)
def test_what_binds_the_certificate_must_fit(value: bytes, status: SignatureStatus) -> None:
    (signer,) = verify_signed_data(
        FORGERY.but(attributes=[content_type(), message_digest(), value]).der(), None
    ).signers
    assert signer.status is status, signer


def test_the_key_alone_does_not_make_the_signer() -> None:
    """One key in two certificates of the same issuer and number: the signer has said which one it was."""
    real = person("rsa")
    signer = prepare_signer(real.identity, PROFILES["default"])
    data = signed_data([signer], ENTITY, detached=False, signing_time=NOW)
    twin = real.der.replace(b"anna@contoso.example", b"eves@contoso.example")
    assert twin != real.der
    (outcome,) = verify_signed_data(data.replace(real.der, twin), None).signers
    assert outcome.status is BAD
    assert "another certificate" in outcome.reason


def test_detached_and_opaque_are_not_mixed() -> None:
    for detached, content in ((ENTITY, True), (None, False)):
        outcome = verify_signed_data(FORGERY.but(opaque=content).der(), detached)
        assert outcome.reason
        assert [signer.status for signer in outcome.signers] == [MALFORMED]
        assert not outcome.good
    assert verify_signed_data(FORGERY.but(opaque=False).der(), ENTITY).good
    assert not verify_signed_data(FORGERY.but(opaque=False).der(), ENTITY + b"\r\n").good


def test_one_bad_signer_spoils_all() -> None:
    signers = [prepare_signer(person(kind).identity, PROFILES["default"]) for kind in ("rsa", "p256")]
    good = signed_data(signers, ENTITY, detached=False, signing_time=NOW)
    whole = verify_signed_data(good, None)
    assert whole.good
    place = good.rindex(b"\x04\x82\x01\x00") + 20  # inside of the RSA signature
    outcome = verify_signed_data(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :], None)
    assert sorted(signer.status.value for signer in outcome.signers) == ["bad", "good"]
    assert not outcome.good


def test_the_minimum_of_rsa_is_a_parameter() -> None:
    data = FORGERY.but(signer=person("rsa-1024")).der()
    assert verify_signed_data(data, None, minimum_rsa_bits=1024).good
    assert not verify_signed_data(FORGERY.der(), None, minimum_rsa_bits=3072).good


def test_a_certificate_may_be_handed_in() -> None:
    data = FORGERY.but(certificates=[]).der()
    outcome = verify_signed_data(data, None, [person("p256").der, b"junk", person("rsa").der])
    assert outcome.good
    assert outcome.certificates == ()


def test_a_signer_may_be_named_by_key() -> None:
    identifier = der.element(0x80, party(person("rsa").der).key_identifier)
    assert verify_signed_data(FORGERY.but(identifier=identifier).der(), None).good


def test_names_in_other_spellings_are_the_same() -> None:
    who = party(person("rsa").der)
    name = der.sequence(der.element(0x31, der.sequence(der.oid("2.5.4.3"), der.element(0x13, b"CONTOSO  Mail CA"))))
    assert name != who.issuer
    identifier = der.sequence(name, der.integer(who.serial))
    assert verify_signed_data(FORGERY.but(identifier=identifier).der(), None).good
    other = der.sequence(der.element(0x31, der.sequence(der.oid("2.5.4.3"), der.element(0x13, b"Fabrikam Mail CA"))))
    identifier = der.sequence(other, der.integer(who.serial))
    assert not verify_signed_data(FORGERY.but(identifier=identifier).der(), None).good


def test_signers_and_certificates_are_bounded() -> None:
    assert len(verify_signed_data(FORGERY.but(times=MAX_SIGNERS).der(), None).signers) == MAX_SIGNERS
    with pytest.raises(SmimeError, match="signers"):
        verify_signed_data(FORGERY.but(times=MAX_SIGNERS + 1).der(), None)
    with pytest.raises(SmimeError, match="certificates"):
        verify_signed_data(FORGERY.but(certificates=[der.sequence()] * (MAX_CERTIFICATES + 1)).der(), None)


def test_what_nobody_signed_is_not_good() -> None:
    outcome = verify_signed_data(certificates_only(person("rsa").der, person("p256").der), None)
    assert not outcome.good
    assert outcome.reason == "nobody signed it"
    assert set(outcome.certificates) == {person("rsa").der, person("p256").der}


def test_a_key_bound_to_pss_signs_with_nothing_else() -> None:
    """RFC 4055 §1.2; our own signer takes PSS for it whatever the profile says."""
    real = person("rsa")
    spki = party(real.der)
    plain, bound = der.algorithm(names.RSA, der.NULL), der.algorithm(names.RSA_PSS)
    assert plain in real.der
    certificate = with_key_algorithm(real.der, plain, bound)
    assert party(certificate).key == spki.key
    assert _status(FORGERY.but(certificates=[certificate])) is MALFORMED
    salted = FORGERY.but(certificates=[certificate], algorithm=pss(SHA256, SHA256), padding=SALTED)
    assert _status(salted) is GOOD
    signer = prepare_signer(SigningIdentity(certificate, (), real.key), PROFILES["default"])
    outcome = verify_signed_data(signed_data([signer], ENTITY, detached=False, signing_time=NOW), None)
    assert outcome.signers[0].scheme == "rsassa-pss-sha256"
    assert outcome.good


def _status(forgery: Forgery) -> SignatureStatus:
    return verify_signed_data(forgery.der(), None).signers[0].status


@pytest.mark.parametrize("kind", ["rsa", "p256", "ed25519"])
def test_a_strangers_key_signs_nothing(kind: str) -> None:
    identity = SigningIdentity(person(kind).der, (), person(kind, "stranger").key)
    with pytest.raises(SmimeError, match="not that of the certificate"):
        prepare_signer(identity, PROFILES["default"])


def test_a_certificate_for_encryption_signs_nothing() -> None:
    key = person("p256").key
    with pytest.raises(SmimeError, match="key usage"):
        prepare_signer(issue(key, "enc@contoso.example", "key_agreement").identity, PROFILES["default"])
    prepare_signer(issue(key, "sig@contoso.example", "content_commitment").identity, PROFILES["default"])


def test_small_keys_sign_nothing() -> None:
    with pytest.raises(SmimeError, match="1024 bits"):
        prepare_signer(person("rsa-1024").identity, PROFILES["default"])


def test_times_from_2050_on_are_written_in_full() -> None:
    signer = prepare_signer(person("p256").identity, PROFILES["default"])
    for when in (2_524_607_999.0, 2_524_608_000.0, 0.0):
        outcome = verify_signed_data(signed_data([signer], ENTITY, detached=False, signing_time=when), None)
        assert outcome.signers[0].signing_time == when


@pytest.mark.parametrize(("include", "count"), [("none", 0), ("leaf", 1), ("chain", 1), ("chain-root", 2)])
def test_the_chain_is_included_as_configured(include: str, count: int) -> None:
    signer = prepare_signer(person("p256").identity, with_words(PROFILES["default"], include_chain=include))
    data = signed_data([signer], ENTITY, detached=False, signing_time=NOW)
    assert len(verify_signed_data(data, None).certificates) == count
