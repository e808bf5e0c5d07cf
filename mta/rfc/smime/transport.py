"""Content keys transported by RSA: PKCS #1 v1.5 (RFC 3370 §4.2.1) and OAEP (RFC 3560, RFC 4055), both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import (
    DIGEST_OF,
    DIGESTS,
    OAEP,
    PSPECIFIED,
    RSA,
    RSA_PSS,
    SHA1,
    Algorithm,
    hash_oid,
    mask_oid,
    read_algorithm,
)
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, Element, read
from mta.rfc.smime.capabilities import oaep_parameters
from mta.rfc.smime.identify import Identifier, read_identifier
from mta.rfc.smime.party import Party
from mta.rfc.smime.profile import Profile


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """A certificate made ready to be encrypted to.

    `info` gives the RecipientInfo (DER) for a content key; `version` is what this kind of recipient makes of the
    version of EnvelopedData (RFC 5652 §6.1); `transport` is the word for people.
    """

    certificate: bytes
    transport: str
    version: int
    info: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient as it was read. `open` takes the private key and the size that the content key must have.

    It returns None where that fails, however it fails. `fault` says what can be seen without a key: an algorithm that
    is not known here.
    """

    identifier: Identifier
    transport: str
    open: Callable[[Any, int], bytes | None]
    fault: str = ""


def recipient_name(who: Party, profile: Profile) -> bytes:
    """RecipientIdentifier (RFC 5652 §6.2.1)."""
    if profile.recipient_identifier == "ski":
        return der.element(0x80, who.key_identifier)
    return who.issuer_and_serial


def prepared(who: Party, profile: Profile) -> RecipientKey:
    """KeyTransRecipientInfo (RFC 5652 §6.2.1): all but the encrypted key is always the same, its length included."""
    if who.key_algorithm.oid == RSA_PSS:  # RFC 4055 §1.2
        raise SmimeError("the certificate's key is for signing only")
    bits = who.key.key_size
    if bits < profile.minimum_rsa_bits:
        raise SmimeError(f"an RSA key of {bits} bits, where {profile.minimum_rsa_bits} are the least")
    word, scheme, algorithm = _scheme(who, profile)
    named_by_key = profile.recipient_identifier == "ski"
    octets = (bits + 7) // 8
    head = der.integer(2 if named_by_key else 0) + recipient_name(who, profile) + algorithm + der.header(0x04, octets)
    head = der.header(0x30, len(head) + octets) + head
    encrypt = who.key.encrypt

    def info(key: bytes) -> bytes:
        try:
            return head + bytes(encrypt(key, scheme))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SmimeError(f"nothing can be encrypted to this key: {error}") from error

    return RecipientKey(who.der, word, 2 if named_by_key else 0, info)


def _scheme(who: Party, profile: Profile) -> tuple[str, padding.AsymmetricPadding, bytes]:
    bound = who.key_algorithm.oid == OAEP
    if profile.key_transport == "oaep" or (bound and profile.key_transport == "by-certificate"):
        hashed = hash_named(profile.oaep_digest)
        scheme = padding.OAEP(padding.MGF1(hashed), hashed, None)
        return f"rsaes-oaep-{profile.oaep_digest}", scheme, der.algorithm(OAEP, oaep_parameters(profile.oaep_digest))
    if bound:
        raise SmimeError("the certificate's key is for OAEP only (RFC 4055 §4)")
    return "rsa-pkcs1", padding.PKCS1v15(), der.algorithm(RSA, der.NULL)


# --- reading -----------------------------------------------------------------------------------------------------


def read_transported(info: Element) -> Entry:
    """A KeyTransRecipientInfo. Raises SmimeError for what is none."""
    parts = list(info.children())
    if len(parts) != 4 or [parts[0].tag, parts[2].tag, parts[3].tag] != [INTEGER, SEQUENCE, OCTET_STRING]:
        raise SmimeError("a recipient that is none")
    identifier, algorithm, encrypted = read_identifier(parts[1]), read_algorithm(parts[2]), parts[3].octets()
    try:
        word, scheme = _read_scheme(algorithm)
    except SmimeError as error:
        return Entry(identifier, algorithm.name, _never, str(error))
    return Entry(identifier, word, lambda key, size: _opened(key, encrypted, scheme, size))


def _never(key: object, size: int) -> bytes | None:
    return None


def _opened(key: object, encrypted: bytes, scheme: padding.AsymmetricPadding, size: int) -> bytes | None:
    """With PKCS #1 v1.5 a wrong padding is no error but a random answer (OpenSSL's implicit rejection)."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return None
    try:
        content_key = key.decrypt(encrypted, scheme)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return content_key if len(content_key) == size else None


def _read_scheme(algorithm: Algorithm) -> tuple[str, padding.AsymmetricPadding]:
    if algorithm.oid == RSA and algorithm.bare:
        return "rsa-pkcs1", padding.PKCS1v15()
    if algorithm.oid != OAEP:
        raise SmimeError(f"the key transport {algorithm.name} is not known here")
    hashed, masked, label = _read_oaep(algorithm.parameters)
    return f"rsaes-oaep-{hashed.name}", padding.OAEP(padding.MGF1(masked), hashed, label or None)


def _read_oaep(parameters: bytes) -> tuple[hashes.HashAlgorithm, hashes.HashAlgorithm, bytes]:
    """Hash, hash of the mask, and label of RSAES-OAEP-params (RFC 4055 §4.1), with their defaults."""
    hashed, mask, source = read(parameters, SEQUENCE).fields(0xA0, 0xA1, 0xA2)
    if source is None:
        return _hash(hash_oid(hashed)), _hash(mask_oid(mask)), b""
    kind, label = source.only(SEQUENCE)[0].only(OID, OCTET_STRING)
    if kind.oid() != PSPECIFIED:
        raise SmimeError("OAEP with a label from elsewhere")
    return _hash(hash_oid(hashed)), _hash(mask_oid(mask)), label.octets()


def _hash(oid: str) -> hashes.HashAlgorithm:
    name = "sha1" if oid == SHA1 else DIGEST_OF[oid].name if oid in DIGEST_OF else "unknown"
    if name in ("unknown", "shake256"):
        raise SmimeError("OAEP with a hash that is not known here")
    return hash_named(name)


def hash_named(name: str) -> hashes.HashAlgorithm:
    """The hash for a mask or a derivation, where SHA-1's collisions are of no use to anybody."""
    return hashes.SHA1() if name == "sha1" else DIGESTS[name].hash  # noqa: S303
