"""The tests' PKI: the product's own maker, its authorities shared where a test needs no world of its own."""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from hashlib import sha256

import pytest

from mta.adapters.pki import Authority, Issued, cert_pin, make_key, self_signed, spki_pin
from mta.model.tls import CertificateFacts, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts

__all__ = [
    "Authority",
    "Issued",
    "anchors",
    "authority",
    "cert_pin",
    "facts",
    "make_key",
    "needs_openssl",
    "self_signed",
    "spki_pin",
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
