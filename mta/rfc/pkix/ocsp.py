"""OCSP responses that a server staples to its handshake (RFC 6066 §8, RFC 6960): whether one proves anything."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mta.model.tls import CertificateFacts, RevocationState, RevocationStatus
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, read_certificate

SKEW = 300.0  # seconds that a responder's clock may be ahead of ours
UNDATED = 86_400.0  # RFC 6960 §4.2.2.1: without nextUpdate newer word is always to be had; a day old is old
LONGEST = 16_384  # octets of a response that is looked at
BROKEN_HASHES = frozenset({"md5", "sha1"})
_CANNOT = (*UNREADABLE_ERRORS, UnsupportedAlgorithm, InvalidSignature)


def status(staple: bytes, certificate: CertificateFacts, issuer: CertificateFacts, now: float) -> RevocationStatus:
    """What the stapled response says of `certificate`, which `issuer` has issued, at epoch second `now`."""
    if not staple:
        return _unknown("the peer stapled no OCSP response")
    if len(staple) > LONGEST:
        return _unknown(f"the OCSP response of {len(staple)} octets is too large")
    try:
        response = ocsp.load_der_ocsp_response(staple)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return _unknown(f"the OCSP responder answered {response.response_status.name.lower()}")
        single = next((response for response in response.responses if _is_about(response, certificate, issuer)), None)
        if single is None:
            return _unknown("the OCSP response is about another certificate")
        doubt = _doubt(staple, issuer.der, now) or _staleness(single, now)
    except _CANNOT as error:
        return _unknown(f"the OCSP response cannot be read: {error}")
    return _unknown(f"the OCSP response does not count: {doubt}") if doubt else _said(single, certificate)


def _unknown(detail: str) -> RevocationStatus:
    return RevocationStatus(RevocationState.UNKNOWN, detail)


def _said(single: ocsp.OCSPSingleResponse, certificate: CertificateFacts) -> RevocationStatus:
    if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
        return RevocationStatus(RevocationState.GOOD, "staple")
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        why = f", {single.revocation_reason.value}" if single.revocation_reason else ""
        return RevocationStatus(RevocationState.REVOKED, f"{certificate.subject}: so its OCSP response says{why}")
    return _unknown(f"the OCSP responder does not know {certificate.subject}")


def _is_about(single: ocsp.OCSPSingleResponse, certificate: CertificateFacts, issuer: CertificateFacts) -> bool:
    # RFC 6960 §4.1.1: CertID is the serial number with digests of the issuer's name and key.
    asked = (read_certificate(certificate.der), read_certificate(issuer.der), single.hash_algorithm)
    wanted = ocsp.OCSPRequestBuilder().add_certificate(*asked).build()
    identity = (single.serial_number, single.issuer_name_hash, single.issuer_key_hash)
    return identity == (wanted.serial_number, wanted.issuer_name_hash, wanted.issuer_key_hash)


def _staleness(single: ocsp.OCSPSingleResponse, now: float) -> str:
    this_update, next_update = single.this_update_utc.timestamp(), _epoch(single.next_update_utc)
    if this_update > now + SKEW:
        return "it is not valid yet"
    if (next_update or this_update + UNDATED) < now:
        return "it is out of date"
    return ""


def _epoch(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def _doubt(staple: bytes, issuer_der: bytes, now: float) -> str:
    """Why the response is not the issuer's word, or that of a responder it has appointed; empty if it is."""
    doubt, until = _signer(staple, issuer_der)
    if doubt:
        return doubt
    return "the certificate of its responder is not valid today" if not until[0] <= now <= until[1] else ""


@lru_cache(256)
def _signer(staple: bytes, issuer_der: bytes) -> tuple[str, tuple[float, float]]:
    """Who signed it: a doubt, or none and the span in which the signer may do so."""
    response, issuer = ocsp.load_der_ocsp_response(staple), read_certificate(issuer_der)
    always = (0.0, float("inf"))
    algorithm = response.signature_hash_algorithm
    if algorithm is not None and algorithm.name in BROKEN_HASHES:
        return f"signed with {algorithm.name}, which is broken", always
    if _signed_by(response, issuer):
        return "", always
    for responder in response.certificates:
        if not _signed_by(response, responder):
            continue
        # RFC 6960 §4.2.2.2: a delegate is issued by the very CA, for this purpose.
        if not _issued(responder, issuer) or not _is_responder(responder):
            return "its signer was not appointed by the issuer", always
        return "", (responder.not_valid_before_utc.timestamp(), responder.not_valid_after_utc.timestamp())
    return "its signature is not the issuer's", always


def _signed_by(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    algorithm = response.signature_hash_algorithm
    try:
        return _verify(signer.public_key(), response.signature, response.tbs_response_bytes, algorithm)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False


def _verify(key: object, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm | None) -> bool:
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, data)
    elif algorithm is None:
        return False
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, data, ec.ECDSA(algorithm))
    else:
        return False
    return True


def _issued(responder: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        responder.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_responder(responder: x509.Certificate) -> bool:
    try:
        usage = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage
