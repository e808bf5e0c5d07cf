"""What the library does not look at, or not as it must be: purposes, anchors, and constraints on names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from mta.model.tls import CertificateFacts, PathFault, PathVerdict
from mta.rfc.pkix.certificate import certificate_facts, read_certificate
from mta.rfc.pkix.constraints import constraint_fault
from mta.rfc.pkix.issuer import issuer_fault
from mta.rfc.pkix.person import ANY_USAGE, EMAIL_PROTECTION, PersonFacts

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate

Purpose = Literal["sign", "encrypt"]
_USAGES = {"sign": {"digitalSignature", "nonRepudiation"}, "encrypt": {"keyEncipherment", "keyAgreement"}}
_KNOWN_CRITICAL = {
    *("2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.32"),  # usage, names, constraints, policies
    *("2.5.29.33", "2.5.29.36", "2.5.29.37", "2.5.29.54"),  # mappings, policy constraints, purposes, anyPolicy
}


def anchor_fault(anchor: Certificate, leaf: Certificate, now: float) -> PathVerdict | None:
    """RFC 5937 leaves it to us: an anchor, too, has its time, and vouches for others only as a CA for mail."""
    facts = certificate_facts(anchor.dump())
    if now > facts.not_after:
        return PathVerdict(PathFault.EXPIRED, f"the anchor {facts.subject} expired on {_day(facts.not_after)}")
    if now < facts.not_before:
        detail = f"the anchor {facts.subject} is not valid before {_day(facts.not_before)}"
        return PathVerdict(PathFault.NOT_YET_VALID, detail)
    wrong = issuer_fault(facts.der) if facts.der != leaf.dump() else ""
    return PathVerdict(PathFault.INVALID, f"the anchor {facts.subject} cannot vouch for it: {wrong}") if wrong else None


def bounds_fault(chain: Sequence[CertificateFacts]) -> PathVerdict | None:
    """What a sound path (leaf first) may lack still: CAs that are for mail, and names that are theirs to give."""
    for issuer in chain[1:-1]:
        if wrong := issuer_fault(issuer.der):
            return PathVerdict(PathFault.INVALID, f"{issuer.subject} cannot vouch for it: {wrong}")
    wrong = constraint_fault([certificate.der for certificate in chain])
    return PathVerdict(PathFault.INVALID, wrong) if wrong else None


def usage_fault(person: PersonFacts, purpose: Purpose, require_usage: bool) -> str:
    """RFC 8550 §4.4.2 and §4.4.4: what is stated must allow it."""
    if person.key_usage is not None and not person.key_usage & _USAGES[purpose]:
        stated = ", ".join(sorted(person.key_usage)) or "nothing"
        return f"its key usage states {stated}"
    if person.purposes is None:
        return "it states no extended key usage" if require_usage else ""
    if not {EMAIL_PROTECTION, ANY_USAGE} & set(person.purposes):
        return f"its extended key usage is {', '.join(person.purposes) or 'unreadable'}"
    return ""


def critical_fault(der: bytes) -> str:
    """RFC 5280 §4.2: a critical extension that is not understood makes a certificate unusable."""
    for extension in read_certificate(der).extensions:
        if extension.critical and extension.oid.dotted_string not in _KNOWN_CRITICAL:
            return f"its critical extension {extension.oid.dotted_string} is not understood"
    return ""


def _day(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
