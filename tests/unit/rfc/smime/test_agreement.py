"""Key agreement against the formulas of RFC 5753 and RFC 8418, written out by hand."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.errors import SmimeError
from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.agreement import EC_KEY, X25519
from mta.rfc.smime.ber import read
from mta.rfc.smime.cipher import CIPHERS, seal
from mta.rfc.smime.decrypt import CANNOT, decrypt
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.party import party
from mta.rfc.smime.profile import PROFILES, with_words
from tests.support.smime import ENTITY, person

KEY = bytes(range(32))
X963 = {"sha1": "1.3.133.16.840.63.0.2", "sha256": "1.3.132.1.11.1", "sha384": "1.3.132.1.11.2"}
X963 |= {"sha512": "1.3.132.1.11.3"}
HKDF = {"sha256": "1.2.840.113549.1.9.16.3.19", "sha384": "1.2.840.113549.1.9.16.3.20"}
HKDF |= {"sha512": "1.2.840.113549.1.9.16.3.21"}
WRAP_256 = der.algorithm("2.16.840.1.101.3.4.1.45")


def shared_info(material: bytes | None) -> bytes:
    entity = der.element(0xA0, der.octet_string(material)) if material is not None else b""
    return der.sequence(WRAP_256, entity, der.element(0xA2, der.octet_string((256).to_bytes(4, "big"))))


def x963(digest: str, secret: bytes, material: bytes | None) -> bytes:
    """RFC 8418 §2.1: Hash(K || counter || DER(ECC-CMS-SharedInfo)), as often as needed."""
    info, stream = shared_info(material), b""
    for counter in (1, 2):
        stream += hashlib.new(digest, secret + counter.to_bytes(4, "big") + info).digest()
    return stream[:32]


def hkdf(digest: str, secret: bytes, material: bytes | None) -> bytes:
    """RFC 8418 §2.2: extract with the material as salt, then expand once."""
    size = hashlib.new(digest).digest_size
    extracted = hmac.digest(material or bytes(size), secret, digest)
    return hmac.digest(extracted, shared_info(material) + b"\x01", digest)[:32]


def agreed(kind: str) -> tuple[bytes, bytes, bytes]:
    """An ephemeral public key with its algorithm, and the secret shared with the person of this kind."""
    theirs: Any = person(kind).key.public_key()
    if kind == "x25519":
        key = x25519.X25519PrivateKey.generate()
        return der.algorithm(X25519), key.public_key().public_bytes_raw(), key.exchange(theirs)
    ephemeral = ec.generate_private_key(theirs.curve)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return der.algorithm(EC_KEY), point, ephemeral.exchange(ec.ECDH(), theirs)


def envelope(kind: str, public: tuple[bytes, bytes], scheme: bytes, wrapped: bytes, material: bytes | None) -> bytes:
    originator = der.explicit(0, der.explicit(1, public[0], der.element(0x03, b"\0", public[1])))
    ukm = der.explicit(1, der.octet_string(material)) if material is not None else b""
    name = party(person(kind).der).issuer_and_serial
    keys = der.sequence(der.sequence(name, der.octet_string(wrapped)))
    info = der.explicit(1, der.integer(3), originator, ukm, scheme, keys)
    sealing = seal(CIPHERS["aes256-cbc"], len(ENTITY), os.urandom)
    encryptor = sealing.encryptor(KEY)
    sealed = encryptor.update(ENTITY) + encryptor.update(sealing.padding)
    inner = der.sequence(der.oid(names.DATA), sealing.algorithm, der.element(0x80, sealed))
    body = der.sequence(der.integer(2), der.set_of([info]), inner)
    return der.sequence(der.oid(names.ENVELOPED_DATA), der.explicit(0, body))


@pytest.mark.parametrize("material", [None, b"", b"material of the sender"])
@pytest.mark.parametrize("digest", X963)
@pytest.mark.parametrize("kind", ["p256", "brainpool384", "x25519"])
def test_the_derivation_of_x9_63(kind: str, digest: str, material: bytes | None) -> None:
    algorithm, point, secret = agreed(kind)
    wrapped = aes_key_wrap(x963(digest, secret, material), KEY)
    data = envelope(kind, (algorithm, point), der.algorithm(X963[digest], WRAP_256), wrapped, material)
    outcome = decrypt(data, [person(kind).decryption_key])
    assert (outcome.content, outcome.key_transport) == (ENTITY, f"ecdh-x963-{digest}")


@pytest.mark.parametrize("material", [None, b"material of the sender"])
@pytest.mark.parametrize("digest", HKDF)
def test_the_derivation_of_hkdf(digest: str, material: bytes | None) -> None:
    algorithm, point, secret = agreed("x25519")
    wrapped = aes_key_wrap(hkdf(digest, secret, material), KEY)
    data = envelope("x25519", (algorithm, point), der.algorithm(HKDF[digest], WRAP_256), wrapped, material)
    outcome = decrypt(data, [person("x25519").decryption_key])
    assert (outcome.content, outcome.key_transport) == (ENTITY, f"ecdh-hkdf-{digest}")


@pytest.mark.parametrize("kind", ["p256", "x25519"])
def test_a_key_of_another_kind_opens_nothing(kind: str) -> None:
    """A point of another curve, no point at all, the zero of the Montgomery curve."""
    scheme = der.algorithm(X963["sha256"], WRAP_256)
    for point in (agreed("p384")[1], agreed("p256")[1][:-1], bytes(32), b"", b"\x04" + b"\xff" * 64):
        data = envelope(kind, (der.algorithm(EC_KEY), point), scheme, bytes(40), None)
        outcome = decrypt(data, [person(kind).decryption_key])
        assert (outcome.content, outcome.reason) == (None, CANNOT)


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        (der.algorithm("1.2.3.4", WRAP_256), "the key agreement 1.2.3.4"),
        (der.algorithm(X963["sha256"]), "without its key wrap"),
        (der.algorithm(X963["sha256"], der.algorithm("1.2.3.4")), "the key wrap 1.2.3.4"),
        (der.algorithm(X963["sha256"], der.sequence()), "no"),
    ],
)
def test_what_is_not_known_is_said(scheme: bytes, reason: str) -> None:
    algorithm, point, _ = agreed("p256")
    outcome = decrypt(envelope("p256", (algorithm, point), scheme, bytes(40), None), [person("p256").decryption_key])
    assert outcome.content is None
    assert reason in outcome.reason


def test_other_originators_are_not_known() -> None:
    scheme = der.algorithm(X963["sha256"], WRAP_256)
    data = envelope("p256", (der.algorithm("1.2.840.10046.2.1"), b"x"), scheme, bytes(40), None)
    assert "of the kind 1.2.840.10046.2.1" in decrypt(data, [person("p256").decryption_key]).reason


def test_ours_use_a_fresh_key_each_time() -> None:
    profile = PROFILES["default"]
    recipient = prepare_recipient(person("p256").der, profile)
    seen = set()
    for _ in range(3):
        body = list(read(enveloped_data([recipient], ENTITY, profile, os.urandom)).children())[1].parts(1)[0]
        (info,) = list(body.children())[1].children()
        seen.add(list(info.children())[1].raw)
    assert len(seen) == 3


def test_sizes_of_the_wrap_follow_the_profile() -> None:
    for cipher, wrap, oid in (
        ("aes128-cbc", "by-cipher", "2.16.840.1.101.3.4.1.5"),
        ("aes256-cbc", "by-cipher", "2.16.840.1.101.3.4.1.45"),
        ("aes128-cbc", "aes256", "2.16.840.1.101.3.4.1.45"),
    ):
        profile = with_words(PROFILES["default"], cipher=cipher, key_wrap=wrap)
        data = enveloped_data([prepare_recipient(person("p256").der, profile)], ENTITY, profile, os.urandom)
        assert der.oid(oid) in data
        assert decrypt(data, [person("p256").decryption_key]).content == ENTITY


def test_recipients_that_cannot_be_read_are_an_error() -> None:
    body = der.sequence(
        der.integer(2),
        der.set_of([der.explicit(1, der.integer(3))]),
        der.sequence(
            der.oid(names.DATA),
            der.algorithm(CIPHERS["aes256-cbc"].oid, der.octet_string(bytes(16))),
            der.element(0x80, bytes(16)),
        ),
    )
    with pytest.raises(SmimeError, match="a recipient that is none"):
        decrypt(der.sequence(der.oid(names.ENVELOPED_DATA), der.explicit(0, body)), [])
