"""Judging a peer's certificate against what a contract names: one set of rules for both directions.

Every failing condition is its own `Reason`, so that a person sees the whole gap at once. The words are stable:
`no-certificate`, `certificate-expired`, `certificate-not-yet-valid`, `certificate-untrusted`, `certificate-invalid`,
`certificate-name`, `certificate-pin`, `certificate-eku`, `certificate-revoked`, `revocation-unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from mta.model.tls import (
    HARD,
    NO_REVOCATION,
    OFF,
    CertificateFacts,
    PathFault,
    PathVerdict,
    Pin,
    Revocation,
    RevocationState,
    RevocationStatus,
    TlsFacts,
    TrustAnchors,
)
from mta.model.word import Word
from mta.policy.decision import Reason
from mta.ports import ChainVerifier
from mta.rfc.pkix import crl, ocsp
from mta.rfc.pkix.names import match_any, match_ip

SYSTEM = TrustAnchors("system")
"""The operating system's trust store: where a chain must lead when `names` are stated without a `ca`."""

SMALLEST_KEY = 2048  # bits of RSA and DSA; adapters/tls/chain.py says the same of paths
_CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"  # RFC 5280 §4.2.1.12: id-kp-clientAuth
_ANY_USAGE = "2.5.29.37.0"  # RFC 5280 §4.2.1.12: anyExtendedKeyUsage
_FAULT_WORDS = {
    PathFault.UNTRUSTED: Word.CERTIFICATE_UNTRUSTED,
    PathFault.EXPIRED: Word.CERTIFICATE_EXPIRED,
    PathFault.NOT_YET_VALID: Word.CERTIFICATE_NOT_YET_VALID,
}


@dataclass(frozen=True, slots=True)
class CertificateDemand:
    """What a certificate must be: `names` and `anchors` both hold, and one of `pins` if any are stated.

    A name is a DNS name, `*.x` (one label, or a presented `*.x`), `.x` (any name under x) or an IP address. Without
    names and anchors the pins alone are the proof: the chain is led to no CA, the leaf's dates are judged still.
    """

    names: tuple[str, ...] = ()
    anchors: TrustAnchors | None = None
    pins: tuple[Pin, ...] = ()
    client_usage: bool = False  # extended key usage, where stated, must allow clientAuth
    revocation: Revocation = NO_REVOCATION

    @property
    def trust(self) -> TrustAnchors | None:
        """Where the chain must lead; None: nowhere, the pins are the proof."""
        if self.anchors is None and self.names:
            return SYSTEM
        return self.anchors


def judge_certificate(
    demand: CertificateDemand, tls: TlsFacts | None, verifier: ChainVerifier, now: float
) -> tuple[Reason, ...]:
    """Every condition of `demand` that the peer's certificate fails at epoch second `now`; empty: all hold."""
    if tls is None or tls.leaf is None:
        why = "the session has no TLS" if tls is None else "the peer showed none"
        return (Reason(Word.NO_CERTIFICATE, f"a certificate is demanded ({describe(demand)}), {why}"),)
    faults: dict[str, Reason] = {}
    for reason in _faults(demand, tls, verifier, now):
        faults.setdefault(reason.word, reason)  # an expired leaf is told by its dates and by its path: once is enough
    return tuple(faults.values())


def _faults(demand: CertificateDemand, tls: TlsFacts, verifier: ChainVerifier, now: float) -> Iterator[Reason]:
    leaf = tls.chain[0]
    yield from _dates(leaf, now)
    path: tuple[CertificateFacts, ...] = ()
    if demand.trust is not None:
        verdict = verifier.verify(tls.chain, demand.trust, now)
        path = verdict.path
        yield from _untrusted(tls.chain, demand.trust, verdict)
        if verdict.trusted and not path and demand.revocation.mode == HARD:  # fail closed
            yield Reason(Word.REVOCATION_UNKNOWN, "nothing is known of the path to the authority")
    elif demand.pins:
        yield from _short(leaf)  # a path is judged by its strength, too
    else:
        # Fail closed: "any certificate" proves nobody.
        yield Reason(
            Word.CERTIFICATE_UNTRUSTED, "the contract states neither names, nor ca, nor pins that could prove it"
        )
    if demand.names and not any(name_matches(name, leaf) for name in demand.names):
        yield Reason(
            Word.CERTIFICATE_NAME, f"expected {_any_of(demand.names)}, the certificate names {_names_of(leaf)}"
        )
    if demand.pins and not any(pin.matches(leaf) for pin in demand.pins):
        shown = f"spki-sha256:{leaf.spki_sha256}, cert-sha256:{leaf.sha256}"
        yield Reason(Word.CERTIFICATE_PIN, f"expected {_any_of(str(pin) for pin in demand.pins)}, seen {shown}")
    if demand.client_usage and not _allows_client(leaf):
        usages = ", ".join(leaf.key_usage_oids)
        yield Reason(Word.CERTIFICATE_EKU, f"expected extended key usage clientAuth, the certificate states {usages}")
    yield from _revocation(demand.revocation, path, tls.staple, now)


def _dates(leaf: CertificateFacts, now: float) -> Iterator[Reason]:
    # RFC 5280 §4.1.2.5: the period of validity includes both its ends.
    if now > leaf.not_after:
        ago = (now - leaf.not_after) / 86400
        yield Reason(
            Word.CERTIFICATE_EXPIRED, f"{leaf.subject or 'the certificate'} expired {_on(leaf.not_after, ago)} ago"
        )
    if now < leaf.not_before:
        text = f"{leaf.subject or 'the certificate'} is {not_before(leaf.not_before, now)}"
        yield Reason(Word.CERTIFICATE_NOT_YET_VALID, text)


def not_before(begins: float, now: float) -> str:
    """A certificate's beginning in the future, beside the clock: one of the two is wrong, and often it is the clock."""
    return f"not valid before {_minute(begins)}, this machine's clock says {_minute(now)}"


def _minute(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _short(leaf: CertificateFacts) -> Iterator[Reason]:
    kind, _, bits = leaf.key.partition("-")
    if kind in ("rsa", "dsa") and bits.isdigit() and int(bits) < SMALLEST_KEY:
        yield Reason(Word.CERTIFICATE_INVALID, f"its key has {bits} bits, at least {SMALLEST_KEY} are needed")


def _untrusted(chain: tuple[CertificateFacts, ...], anchors: TrustAnchors, verdict: PathVerdict) -> Iterator[Reason]:
    if not verdict.trusted:
        word = _FAULT_WORDS.get(verdict.fault, Word.CERTIFICATE_INVALID)
        detail = f": {verdict.detail}" if verdict.detail else ""
        issuer = chain[-1].issuer or "unnamed"
        yield Reason(word, f"the chain does not lead to {_store(anchors)} (it ends at issuer {issuer}){detail}")


def _revocation(wanted: Revocation, path: tuple[CertificateFacts, ...], staple: bytes, now: float) -> Iterator[Reason]:
    for status in revocation(wanted, path, staple, now):
        if status.state == RevocationState.REVOKED:
            yield Reason(Word.CERTIFICATE_REVOKED, status.detail)
        elif status.state == RevocationState.UNKNOWN and wanted.mode == HARD:
            yield Reason(Word.REVOCATION_UNKNOWN, f"it must be known not to be revoked: {status.detail}")


def revocation(
    wanted: Revocation, path: tuple[CertificateFacts, ...], staple: bytes, now: float
) -> tuple[RevocationStatus, ...]:
    """What is known of each certificate of a trusted path but its anchor, leaf first; nothing where nobody asks.

    A staple is about the leaf alone (RFC 6066 §8). Who has both is revoked if either says so.
    """
    if wanted.mode == OFF:
        return ()
    statuses = []
    for depth, (certificate, issuer) in enumerate(pairwise(path)):
        answers = [crl.status(wanted.lists, certificate, issuer, now)] if wanted.lists else []
        if depth == 0 and (staple or not answers):
            answers.append(ocsp.status(staple, certificate, issuer, now))
        statuses.append(_together(answers, certificate))
    return tuple(statuses)


def _together(answers: list[RevocationStatus], certificate: CertificateFacts) -> RevocationStatus:
    for state in (RevocationState.REVOKED, RevocationState.GOOD):
        if said := next((status for status in answers if status.state == state), None):
            return said
    details = [status.detail for status in answers] or [f"nothing is known of {certificate.subject}"]
    return RevocationStatus(RevocationState.UNKNOWN, "; ".join(details))


def name_matches(expected: str, leaf: CertificateFacts) -> bool:
    """Whether the certificate presents `expected` (see `CertificateDemand` for its forms) among its SANs."""
    # RFC 9525 §6.3, §6.4: subjectAltName only, never the subject's common name.
    return match_any((expected,), leaf.dns_names) or match_ip(expected, leaf.ip_addresses)


def _allows_client(leaf: CertificateFacts) -> bool:
    stated = leaf.key_usage_oids
    return not stated or _CLIENT_AUTH in stated or _ANY_USAGE in stated


def describe(demand: CertificateDemand) -> str:
    """What is demanded, for the administrator."""
    parts = []
    if demand.names:
        parts.append(f"name {_any_of(demand.names)}")
    if demand.trust is not None:
        parts.append(f"of {_store(demand.trust)}")
    if demand.pins:
        parts.append(f"pin {_any_of(str(pin) for pin in demand.pins)}")
    return ", ".join(parts) or "nothing that could prove it"


def _any_of(names: Iterable[str]) -> str:
    return " or ".join(names)


def _names_of(leaf: CertificateFacts) -> str:
    return ", ".join((*leaf.dns_names, *leaf.ip_addresses)) or "nothing"


def _store(anchors: TrustAnchors) -> str:
    return "the system's trust store" if anchors.is_system else f"a CA of {anchors.path}"


def _on(moment: float, days: float) -> str:
    return f"{_minute(moment)}, {days:.1f} days"
