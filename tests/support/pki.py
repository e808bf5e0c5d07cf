"""The tests' PKI: the product's own maker, its authorities shared where a test needs no world of its own."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mta.adapters.pki import Authority, Issued, cert_pin, make_key, self_signed, spki_pin
from mta.model.tls import CertificateFacts, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts
from tests.support.moment import BEGAN

__all__ = [
    "NOW",
    "Authority",
    "Issued",
    "anchors",
    "authority",
    "cert_pin",
    "crl",
    "facts",
    "make_key",
    "needs_openssl",
    "self_signed",
    "spki_pin",
    "staple",
]

# On a desk without the program such a test is skipped, on CI it fails.
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None and "CI" not in os.environ, reason="the program openssl is not installed"
)


@lru_cache(64)
def authority(name: str = "Test Root CA") -> Authority:
    """A root of this name, the same for the whole run."""
    return Authority(name)


def facts(issued: Issued) -> tuple[CertificateFacts, ...]:
    """The chain of `issued` as a peer would show it, leaf first."""
    return tuple(map(certificate_facts, issued.ders))


def anchors(*authorities: Authority, path: str = "test-ca.pem") -> TrustAnchors:
    """What a CA file with these authorities is read to."""
    certificates = tuple(each.der for each in authorities)
    return TrustAnchors(path, certificates, sha256(b"".join(certificates)).hexdigest())


# --- revocation ----------------------------------------------------------------------------------------------------

NOW = BEGAN


def crl(issuer: Authority, *revoked: Issued, **wishes: Any) -> bytes:
    """A list of `issuer` (DER). Wishes: `last` and `next` (moments), `extensions` ((value, critical) pairs), `key`,
    `hash`."""
    until = wishes.get("next", NOW + timedelta(days=7))
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(wishes.get("last", min(NOW, until) - timedelta(hours=1)))
        .next_update(until)
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(NOW - timedelta(hours=2)).build())
    for value, critical in wishes.get("extensions", ()):
        builder = builder.add_extension(value, critical=critical)
    signed = builder.sign(wishes.get("key", issuer.key), wishes.get("hash", hashes.SHA256()))
    return signed.public_bytes(Encoding.DER)


def staple(issuer: Authority, about: Issued, **wishes: Any) -> bytes:
    """An OCSP response (DER) of `issuer`. Wishes: `status`, `last`, `next`, `responder` (Issued), `hash`."""
    status = wishes.get("status", ocsp.OCSPCertStatus.GOOD)
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    responder = wishes.get("responder")
    signer = responder.certificate if responder else issuer.certificate
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=about.certificate,
            issuer=issuer.certificate,
            algorithm=wishes.get("id_hash", hashes.SHA1()),
            cert_status=status,
            this_update=wishes.get("last", NOW - timedelta(hours=1)),
            next_update=wishes.get("next", NOW + timedelta(days=3)),
            revocation_time=NOW - timedelta(hours=2) if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
    )
    if responder:
        builder = builder.certificates([responder.certificate])
    key = responder.key if responder else issuer.key
    return builder.sign(key, wishes.get("hash", hashes.SHA256())).public_bytes(Encoding.DER)
