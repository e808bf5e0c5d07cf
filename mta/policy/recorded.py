"""Facts out of a message's history: what `mta trace --json` tells, as the policies want it.

A history keeps what certificates said, not the certificates: whether a chain is sound cannot be computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from mta.model.address import Mailbox
from mta.model.auth import AuthenticationFacts
from mta.model.author import FromField
from mta.model.evidence.attempt import Attempt
from mta.model.evidence.delivery import Delivery
from mta.model.evidence.message import Accepted
from mta.model.session import SessionFacts
from mta.model.tls import CertificateFacts, PathFault, PathVerdict, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.smtp.address import AddressError, parse_mailbox


class RecordedVerifier:
    """ports.ChainVerifier for chains of which only the words are known.

    Dates are judged, and whether an issuer is called like one of the CAs. Where only the system's CAs could tell, the
    chain is taken for good and `guessed` says so.
    """

    def __init__(self) -> None:
        self.guessed = False
        self._subjects: dict[str, frozenset[str]] = {}

    def verify(self, chain: Sequence[CertificateFacts], anchors: TrustAnchors, now: float) -> PathVerdict:
        """As far as it can be told from names and dates."""
        if now > chain[0].not_after:
            return PathVerdict(PathFault.EXPIRED, "certificate has expired")
        if now < chain[0].not_before:
            return PathVerdict(PathFault.NOT_YET_VALID, "certificate is not yet valid")
        if anchors.is_system:
            self.guessed = True
            return PathVerdict(path=tuple(chain))
        subjects = self._subjects_of(anchors)
        if any(certificate.issuer in subjects or certificate.subject in subjects for certificate in chain):
            return PathVerdict(path=tuple(chain))
        return PathVerdict(
            PathFault.UNTRUSTED, f"no certificate of the chain was issued in the name of a CA of {anchors.path}"
        )

    def _subjects_of(self, anchors: TrustAnchors) -> frozenset[str]:
        if anchors.digest not in self._subjects:
            subjects = frozenset(certificate_facts(der).subject for der in anchors.certificates)
            self._subjects[anchors.digest] = subjects
        return self._subjects[anchors.digest]


def session_facts(accepted: Accepted) -> SessionFacts | None:
    """The session that brought the message; None where nobody did: we wrote it."""
    try:
        client = ip_address(accepted.client)
    except ValueError:
        return None
    return SessionFacts(client, helo=accepted.helo, esmtp=True, tls=accepted.tls)


def mailbox(text: str) -> Mailbox | None:
    """An address of the history; None for the null sender, or one that is none any more."""
    try:
        return parse_mailbox(text) if text else None
    except AddressError:
        return Mailbox(text, "", "") if "@" not in text else None


def author(accepted: Accepted) -> FromField | None:
    """Whom From named; None where that was not kept."""
    kept = accepted.author
    if kept is None:
        return None
    return FromField(tuple(filter(None, map(mailbox, kept.authors))), kept.count, kept.error)


def authentication(accepted: Accepted) -> AuthenticationFacts | None:
    """What SPF, DKIM, DMARC and ARC found; None where they were not looked at."""
    return accepted.authentication.facts if accepted.authentication else None


def handed_on(address: str, history: Sequence[Any]) -> tuple[float, Delivery, Attempt | None] | None:
    """When this recipient was taken (epoch seconds), in which attempt, and by which host; None: nobody took it."""
    for event in reversed(history):
        if event["event"] == "delivery.delivered" and address in event["recipients"]:
            delivery = Delivery.from_json(event)
            host = next((attempt for attempt in reversed(delivery.attempts) if attempt.failure is None), None)
            return float(event["time"]), delivery, host
    return None
