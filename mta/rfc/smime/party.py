"""A certificate as CMS sees it: how it is named in a message, and its public key. Whom it belongs to is not asked."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.utils import CryptographyDeprecationWarning

from mta.errors import SmimeError
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import OAEP, RSA, RSA_PSS, Algorithm, read_algorithm
from mta.rfc.smime.ber import BIT_STRING, INTEGER, SEQUENCE, Element, read

SMALLEST_CURVE = 224  # bits
LARGEST = 65_536  # octets of a certificate; post-quantum ones have some 8,000


@dataclass(frozen=True, slots=True)
class Party:
    """Who signs or receives. `key` is None where `cryptography` cannot read it; `key_algorithm` says what it is.

    `key_identifier` is the extension's, or SHA-1 of the key (RFC 5280 §4.2.1.2) where there is none. `usage` holds
    the names of the permitted uses, None where the certificate does not restrict them.
    """

    der: bytes
    issuer: bytes  # names in DER
    subject: bytes
    serial: int
    key_identifier: bytes
    key_algorithm: Algorithm
    key: Any
    usage: frozenset[str] | None

    @property
    def issuer_and_serial(self) -> bytes:
        """IssuerAndSerialNumber (RFC 5652 §10.2.4)."""
        return der.sequence(self.issuer, der.integer(self.serial))

    def check_curve(self) -> None:
        """Raises SmimeError for a key of an elliptic curve that is too weak for anything."""
        if isinstance(self.key, ec.EllipticCurvePublicKey) and self.key.curve.key_size < SMALLEST_CURVE:
            raise SmimeError(f"the curve {self.key.curve.name} is too weak")

    def may(self, *uses: str) -> bool:
        """Whether the key usage permits one of these, or is not restricted."""
        return self.usage is None or not self.usage.isdisjoint(uses)


def parties(certificates: Iterable[bytes]) -> tuple[Party, ...]:
    """Those of the certificates that can be read: the others neither sign nor receive, and are in nobody's way."""
    return tuple(who for who in map(_party_or_none, dict.fromkeys(certificates)) if who is not None)


def _party_or_none(certificate: bytes) -> Party | None:
    try:
        return party(certificate)
    except SmimeError:
        return None


def party(certificate: bytes) -> Party:
    """The party of a certificate (DER). Raises SmimeError for what is no certificate."""
    if len(certificate) > LARGEST:
        raise SmimeError("a certificate of more than 64 KiB")
    return _cached(bytes(certificate)) if len(certificate) <= 16_384 else _read(bytes(certificate))


def _read(certificate: bytes) -> Party:
    tbs, _, _ = read(certificate, SEQUENCE).only(SEQUENCE, SEQUENCE, BIT_STRING)
    fields = list(tbs.children())
    # RFC 5280 §4.1: [0] version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    fields = fields[1:] if fields and fields[0].tag == 0xA0 else fields
    if len(fields) < 6 or fields[0].tag != INTEGER or fields[2].tag != SEQUENCE or fields[5].tag != SEQUENCE:
        raise SmimeError("no certificate")
    spki = fields[5]
    algorithm, bits = spki.only(SEQUENCE, BIT_STRING)
    key_algorithm = read_algorithm(algorithm)
    identifier, usage = _extensions(certificate)
    return Party(
        der=certificate,
        issuer=fields[2].raw,
        subject=fields[4].raw,
        serial=fields[0].integer(),
        key_identifier=identifier or hashlib.sha1(bits.body[1:], usedforsecurity=False).digest(),
        key_algorithm=key_algorithm,
        key=_key(spki, key_algorithm, bits),
        usage=usage,
    )


_cached = lru_cache(1024)(_read)  # a partner's certificate comes again and again


def _key(spki: Element, algorithm: Algorithm, bits: Element) -> Any:
    """The public key. One bound to PSS or OAEP (RFC 4055 §1.2) is an RSA key like any other to `cryptography`."""
    info = spki.raw
    if algorithm.oid in (RSA_PSS, OAEP):
        info = der.sequence(der.algorithm(RSA, der.NULL), bits.raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            return load_der_public_key(info)
        except UNREADABLE_ERRORS:
            return None


_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign"),
)


def _extensions(certificate: bytes) -> tuple[bytes, frozenset[str] | None]:
    """Subject key identifier and key usage; a certificate whose extensions cannot be read has neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            extensions = x509.load_der_x509_certificate(certificate).extensions
        except UNREADABLE_ERRORS:
            return b"", None
    identifier, usage = b"", None
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectKeyIdentifier):
            identifier = extension.value.digest
        elif isinstance(extension.value, x509.KeyUsage):
            usage = frozenset(use for use in _USES if getattr(extension.value, use))
    return identifier, usage
