"""Content keys agreed on over elliptic curves: ephemeral-static ECDH, both directions.

RFC 5753 for the curves of NIST and Brainpool, RFC 8418 for X25519. Each recipient of each message gets an ephemeral
key of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import Algorithm, read_algorithm
from mta.rfc.smime.ber import BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, Element
from mta.rfc.smime.identify import read_identifier
from mta.rfc.smime.party import Party
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.transport import Entry, RecipientKey, hash_named
from mta.rfc.smime.wrap import AES_WRAPS, key_size, read_wrap, unwrap

EC_KEY, X25519 = "1.2.840.10045.2.1", "1.3.101.110"
_X963 = {  # RFC 5753 §7.1.4, single pass with and without cofactor: one and the same where the cofactor is 1
    "1.3.132.1.11.1": "sha256",
    "1.3.132.1.11.2": "sha384",
    "1.3.132.1.11.3": "sha512",
    "1.3.132.1.11.0": "sha224",
    "1.3.133.16.840.63.0.2": "sha1",
    "1.3.132.1.14.1": "sha256",
    "1.3.132.1.14.2": "sha384",
    "1.3.132.1.14.3": "sha512",
    "1.3.132.1.14.0": "sha224",
    "1.3.133.16.840.63.0.3": "sha1",
}
_HKDF = {  # RFC 8418 §7
    "1.2.840.113549.1.9.16.3.19": "sha256",
    "1.2.840.113549.1.9.16.3.20": "sha384",
    "1.2.840.113549.1.9.16.3.21": "sha512",
}
_VERSION_3 = der.integer(3)


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a secret becomes the key that wraps the content key: the function, its hash, the wrap's algorithm."""

    oid: str
    digest: str
    wrap: Algorithm
    size: int  # octets of the wrapping key
    material: bytes | None = None  # ukm

    def key(self, secret: bytes) -> bytes:
        """The wrapping key."""
        hashed = hash_named(self.digest)
        if self.oid in _HKDF:
            return HKDF(hashed, self.size, self.material, self._shared_info()).derive(secret)
        return X963KDF(hashed, self.size, self._shared_info()).derive(secret)

    def _shared_info(self) -> bytes:
        """ECC-CMS-SharedInfo (RFC 5753 §7.2)."""
        entity = der.explicit(0, der.octet_string(self.material)) if self.material is not None else b""
        bits = der.explicit(2, der.octet_string((8 * self.size).to_bytes(4, "big")))
        return der.sequence(self.wrap.raw, entity, bits)


def prepared(who: Party, profile: Profile) -> RecipientKey:
    """KeyAgreeRecipientInfo (RFC 5652 §6.2.2) with an ephemeral key of the recipient's curve."""
    montgomery = isinstance(who.key, x25519.X25519PublicKey)
    table = _HKDF if montgomery else _X963
    scheme = next(oid for oid, digest in table.items() if digest == profile.key_derivation)
    kind = der.algorithm(X25519 if montgomery else EC_KEY)
    if profile.recipient_identifier == "ski":
        name = der.explicit(0, der.octet_string(who.key_identifier))
    else:
        name = who.issuer_and_serial

    def info(key: bytes) -> bytes:
        size = len(key) if profile.key_wrap == "by-cipher" else int(profile.key_wrap[3:]) // 8
        wrap = Algorithm(AES_WRAPS[size], b"", der.algorithm(AES_WRAPS[size]))
        try:
            public, secret = _ephemeral(who.key)
            wrapped = aes_key_wrap(Derivation(scheme, profile.key_derivation, wrap, size).key(secret), key)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SmimeError(f"nothing can be encrypted to this key: {error}") from error
        originator = der.explicit(0, der.explicit(1, kind, der.element(BIT_STRING, b"\0", public)))
        encrypted = der.sequence(der.sequence(name, der.octet_string(wrapped)))
        return der.explicit(1, _VERSION_3, originator, der.algorithm(scheme, wrap.raw), encrypted)

    return RecipientKey(who.der, _word(scheme, profile.key_derivation), 2, info)


def _ephemeral(peer: Any) -> tuple[bytes, bytes]:
    """A fresh public key, and the secret shared with the peer."""
    if isinstance(peer, x25519.X25519PublicKey):
        key = x25519.X25519PrivateKey.generate()
        return key.public_key().public_bytes_raw(), key.exchange(peer)
    ephemeral = ec.generate_private_key(peer.curve)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return point, ephemeral.exchange(ec.ECDH(), peer)


def _word(scheme: str, digest: str) -> str:
    return f"ecdh-hkdf-{digest}" if scheme in _HKDF else f"ecdh-x963-{digest}"


# --- reading -----------------------------------------------------------------------------------------------------


def read_agreed(info: Element) -> Iterator[Entry]:
    """The recipients of a KeyAgreeRecipientInfo. Raises SmimeError for what is none."""
    version, originator, material, algorithm, keys = info.fields(INTEGER, 0xA0, 0xA1, SEQUENCE, SEQUENCE)
    if version is None or originator is None or algorithm is None or keys is None:
        raise SmimeError("a recipient that is none")
    scheme = read_algorithm(algorithm)
    point, fault = _originator(originator)
    derivation = None
    try:
        derivation = _derivation(scheme, material)
    except SmimeError as error:
        fault = fault or str(error)
    for each in keys.children():
        name, encrypted = each.parts(2)
        yield _entry(name, encrypted.octets(), (point, derivation, fault))


def _entry(name: Element, wrapped: bytes, agreed: tuple[bytes, Derivation | None, str]) -> Entry:
    point, derivation, fault = agreed
    identifier = read_identifier(name)
    if derivation is None or fault:
        return Entry(identifier, "ecdh", lambda key, size: None, fault or "unknown")
    word = _word(derivation.oid, derivation.digest)
    return Entry(identifier, word, lambda key, size: _opened(key, point, derivation, wrapped))


def _originator(element: Element) -> tuple[bytes, str]:
    """The ephemeral public key. A static one named by its certificate is no longer used by anybody."""
    (inside,) = element.parts(1)
    if inside.tag != 0xA1:
        return b"", "the originator's key is not in the message"
    kind, bits = inside.only(SEQUENCE, BIT_STRING)
    oid = read_algorithm(kind).oid
    if oid not in (EC_KEY, X25519):
        return b"", f"key agreement with a key of the kind {oid} is not known here"
    return bytes(bits.body[1:]), ""


def _derivation(scheme: Algorithm, material: Element | None) -> Derivation:
    digest = _X963.get(scheme.oid) or _HKDF.get(scheme.oid)
    if digest is None:
        raise SmimeError(f"the key agreement {scheme.name} is not known here")
    if not scheme.parameters:
        raise SmimeError("a key agreement without its key wrap")
    wrap = read_wrap(scheme.parameters)
    inside = list(material.children()) if material else []
    if material and [each.tag for each in inside] != [OCTET_STRING]:
        raise SmimeError("keying material that is none")
    return Derivation(scheme.oid, digest, wrap, key_size(wrap), inside[0].octets() if inside else None)


def _opened(key: object, point: bytes, derivation: Derivation, wrapped: bytes) -> bytes | None:
    """The content key; None for a point that is not on the curve and for a failed unwrapping alike."""
    try:
        if isinstance(key, x25519.X25519PrivateKey):
            secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(point))
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            secret = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point))
        else:
            return None
        return unwrap(derivation.wrap, derivation.key(secret), wrapped)
    except (InvalidUnwrap, ValueError, TypeError, UnsupportedAlgorithm):
        return None
