"""Certificates as the library is to see them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from mta.errors import SmimeError
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, certificate_facts
from mta.rfc.smime.bounds import prove

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate

LARGEST = 65_536  # octets of a certificate
# What the library and asn1crypto raise in the middle of what they cannot make sense of.
UNREADABLE = (*UNREADABLE_ERRORS, RecursionError, AttributeError, LookupError, NotImplementedError, AssertionError)


@lru_cache(1)
def _loader() -> type[Certificate]:
    """The library's certificate, without its constraints on names: those are rfc/pkix/constraints.py's.

    The library knows none on addresses in other forms, and stumbles over those of forms that it does not know.
    """
    from asn1crypto.x509 import Certificate

    return type("Unconstrained", (Certificate,), {"name_constraints_value": None})


def load(der: bytes) -> Certificate:
    """A certificate (DER) for the library. Raises what UNREADABLE names, also later, when it is asked."""
    return _loader().load(der, strict=True)


def readable(ders: Sequence[bytes]) -> list[Certificate]:
    """Those of the certificates lying by that both libraries can read; asn1crypto reads when it is asked."""
    certificates = []
    for der in ders:
        try:
            if len(der) > LARGEST or prove(der) or not certificate_facts(der):  # DER knows no open ends
                continue
            certificate = load(der)
            for part in ("critical_extensions", "key_identifier", "public_key", "issuer_serial"):
                getattr(certificate, part)
            certificate.subject.hashable  # noqa: B018
        except (SmimeError, *UNREADABLE):
            continue
        certificates.append(certificate)
    return certificates
