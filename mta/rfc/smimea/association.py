"""Whether a certificate is what an SMIMEA record says (RFC 8162 §2): the form is that of TLSA, the meaning is not."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from mta.model.directory import Association
from mta.ports import TlsaRecord
from mta.rfc.dane.match import matches as matches_record
from mta.rfc.dane.parse import Matching, Selector, Usage
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, certificate_facts
from mta.rfc.pkix.person import person_facts

MOST_STEPS = 8  # of a chain up to the authority
MOST_BESIDE = 50  # certificates found beside the one in question


def holds_certificate(association: Association) -> bool:
    """Whether the record is the whole certificate of a person."""
    return (
        association.usage in (Usage.PKIX_EE, Usage.DANE_EE)
        and association.selector == Selector.CERTIFICATE
        and association.matching == Matching.FULL
    )


def fault(association: Association) -> str:
    """Why a record cannot be used, in words; empty: it can."""
    if association.usage not in tuple(Usage):
        return f"its usage {association.usage} is unknown"
    if association.selector not in tuple(Selector):
        return f"its selector {association.selector} is unknown"
    if association.matching not in tuple(Matching):
        return f"its matching type {association.matching} is unknown"
    octets = {Matching.SHA256: 32, Matching.SHA512: 64}.get(Matching(association.matching))
    if octets and len(association.data) != octets:
        return f"a digest of {len(association.data)} octets is none"
    return "" if association.data else "it holds nothing"


def matches(association: Association, der: bytes) -> bool:
    """Whether the certificate is the one that the record holds or digests."""
    record = TlsaRecord(association.usage, association.selector, association.matching, association.data)
    try:
        return matches_record(record, certificate_facts(der))
    except ValueError:
        return False


def vouches(association: Association, der: bytes, chain: Sequence[bytes], now: float) -> bool:
    """Whether the record alone vouches for the certificate: usage 3 names it, usage 2 a CA that it leads to.

    Usages 0 and 1 narrow what an anchor vouches for; they make nobody believed.
    """
    if fault(association):
        return False
    if association.usage == Usage.DANE_EE:
        return matches(association, der)
    return association.usage == Usage.DANE_TA and _leads_to(association, der, chain, now)


def _leads_to(association: Association, der: bytes, chain: Sequence[bytes], now: float) -> bool:
    whole = (association.selector, association.matching) == (Selector.CERTIFICATE, Matching.FULL)
    issuers = [*chain[:MOST_BESIDE], *((association.data,) if whole else ())]
    current = der
    for _ in range(MOST_STEPS):
        issuer = next(
            (candidate for candidate in issuers if candidate != current and _issued(candidate, current, now)), None
        )
        if issuer is None:
            return False
        if matches(association, issuer):
            return True
        current = issuer
    return False


def _issued(issuer: bytes, der: bytes, now: float) -> bool:
    """Whether `issuer` is a CA in its time whose signature the certificate bears."""
    try:
        facts, person = certificate_facts(issuer), person_facts(issuer)
        if not person.is_authority or not facts.not_before <= now <= facts.not_after:
            return False
        if person.key_usage is not None and "keyCertSign" not in person.key_usage:
            return False
        x509.load_der_x509_certificate(der).verify_directly_issued_by(x509.load_der_x509_certificate(issuer))
    except (InvalidSignature, *UNREADABLE_ERRORS):
        return False
    return True
