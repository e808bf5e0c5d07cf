"""Whether a chain is what TLSA records say. Names and dates are judged elsewhere, where they count at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mta.model.tls import CertificateFacts
from mta.ports import TlsaRecord
from mta.rfc.dane.parse import Matching, Selector, Usage
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS
from mta.rfc.pkix.der import public_key_info

MOST_CERTIFICATES = 10  # of a chain; what comes after is no part of a sane one
SMALLEST_KEY = 2048  # bits of RSA


def end_entity(records: Sequence[TlsaRecord], chain: Sequence[CertificateFacts]) -> TlsaRecord | None:
    """The DANE-EE(3) record that the leaf matches. It is proof enough: no name, date or usage counts beside it."""
    # RFC 7672 §3.1.1: the binding is the record's, the expiration date and names of the certificate MUST be ignored.
    leaf = chain[0] if chain else None
    return next((r for r in records if r.usage == Usage.DANE_EE and leaf and matches(r, leaf)), None)


def trust_anchors(records: Sequence[TlsaRecord], chain: Sequence[CertificateFacts]) -> tuple[bytes, ...]:
    """Certificates (DER) to which DANE-TA(2) records let a path lead.

    Such a CA is in the chain (RFC 7672 §3.1.2: the server must send it), or the record holds the whole certificate,
    or the whole key that signed one of the chain. The leaf is nobody's CA, its own as little, as for OpenSSL.
    """
    anchors: dict[bytes, None] = {}
    certificates = tuple(chain[:MOST_CERTIFICATES])
    for record in records:
        if record.usage == Usage.DANE_TA:
            anchors.update(dict.fromkeys(_anchors(record, certificates)))
    return tuple(anchors)


def matches(record: TlsaRecord, certificate: CertificateFacts) -> bool:
    """Whether `certificate` is what the record holds, all of it or its digest (RFC 6698 §2.1)."""
    try:
        part = public_key_info(certificate.der) if record.selector == Selector.KEY else certificate.der
    except ValueError:
        return False
    if record.matching == Matching.FULL:
        return part == record.data
    if record.matching == Matching.SHA256:
        return hashlib.sha256(part).digest() == record.data
    return record.matching == Matching.SHA512 and hashlib.sha512(part).digest() == record.data


def _anchors(record: TlsaRecord, chain: Sequence[CertificateFacts]) -> Iterator[bytes]:
    for depth, certificate in enumerate(chain):
        if depth > 0 and matches(record, certificate):  # RFC 7671 §5.2: it issued the leaf, it is not the leaf
            yield certificate.der
    if record.matching != Matching.FULL:
        return
    if record.selector == Selector.CERTIFICATE:
        if not chain or record.data != chain[0].der:
            yield record.data  # RFC 7671 §5.2.2: the record may stand in for what the server left out
        return
    for certificate in chain:
        if not matches(record, certificate) and _is_signed_by(certificate.der, record.data):
            yield certificate.der  # whoever was signed by the anchor's key is as good as the anchor


def _is_signed_by(der: bytes, key_info: bytes) -> bool:
    """Whether the key of `key_info` (SubjectPublicKeyInfo) signed the certificate, by nothing that is broken."""
    try:
        certificate, key = x509.load_der_x509_certificate(der), load_der_public_key(key_info)
        return _verifies(certificate, key)
    except (InvalidSignature, *UNREADABLE_ERRORS):
        return False


def _verifies(certificate: x509.Certificate, key: object) -> bool:
    """Raises InvalidSignature where the signature is another key's."""
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, signed)
        return True
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, MD5 | SHA1):
        return False
    parameters = certificate.signature_algorithm_parameters
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        key.verify(signature, signed, parameters)
        return True
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SMALLEST_KEY:
        return False
    if not isinstance(parameters, padding.PKCS1v15 | padding.PSS):
        return False
    key.verify(signature, signed, parameters, algorithm)
    return True
