"""Facts out of a message's history: what `mta trace --json` tells, as the policies want it.

A history keeps what certificates said, not the certificates: whether a chain is sound cannot be computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from mta.model.address import Mailbox
from mta.model.auth import (
    ArcOutcome,
    AuthenticationFacts,
    AuthResult,
    DkimOutcome,
    DmarcOutcome,
    SenderOutcome,
    SpfOutcome,
)
from mta.model.author import FromField
from mta.model.session import SessionFacts
from mta.model.tls import CertificateFacts, PathFault, PathVerdict, TlsFacts, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.smtp.address import AddressError, parse_mailbox

Evidence = Mapping[str, Any]


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
        known = self._subjects_of(anchors)
        if any(one.issuer in known or one.subject in known for one in chain):
            return PathVerdict(path=tuple(chain))
        return PathVerdict(
            PathFault.UNTRUSTED, f"no certificate of the chain was issued in the name of a CA of {anchors.path}"
        )

    def _subjects_of(self, anchors: TrustAnchors) -> frozenset[str]:
        if anchors.digest not in self._subjects:
            found = frozenset(certificate_facts(der).subject for der in anchors.certificates)
            self._subjects[anchors.digest] = found
        return self._subjects[anchors.digest]


def session_facts(accepted: Evidence) -> SessionFacts | None:
    """The session that brought the message; None where nobody did: we wrote it."""
    try:
        client = ip_address(str(accepted.get("client", "")))
    except ValueError:
        return None
    return SessionFacts(client, helo=str(accepted.get("helo", "")), esmtp=True, tls=tls_facts(accepted.get("tls")))


def tls_facts(evidence: Any) -> TlsFacts | None:
    """A handshake; None: in clear."""
    if not isinstance(evidence, Mapping) or not evidence.get("used"):
        return None
    chain = tuple(_certificate(one) for one in evidence.get("chain", ()))
    version, cipher, group, sni = (_text(evidence, key) for key in ("version", "cipher", "group", "sni"))
    return TlsFacts(version, cipher, group, sni, chain)


def _certificate(evidence: Evidence) -> CertificateFacts:
    names = [str(name) for name in evidence.get("names", ())]
    return CertificateFacts(
        der=b"",
        subject=str(evidence.get("subject", "")),
        issuer=str(evidence.get("issuer", "")),
        serial=str(evidence.get("serial", "")),
        sha256=str(evidence.get("sha256", "")),
        spki_sha256=str(evidence.get("spki_sha256", "")),
        dns_names=tuple(name for name in names if not _is_address(name)),
        ip_addresses=tuple(name for name in names if _is_address(name)),
        emails=(),
        not_before=float(evidence.get("not_before", 0)),
        not_after=float(evidence.get("not_after", 0)),
        key_usage_oids=tuple(map(str, evidence.get("usages", ()))),
        key=str(evidence.get("key", "")),
        signed=str(evidence.get("signed", "")),
    )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def mailbox(text: str) -> Mailbox | None:
    """An address of the history; None for the null sender, or one that is none any more."""
    try:
        return parse_mailbox(text) if text else None
    except AddressError:
        return Mailbox(text, "", "") if "@" not in text else None


def author(accepted: Evidence) -> FromField | None:
    """Whom From named; None where that was not kept."""
    told = accepted.get("from")
    if not isinstance(told, Mapping):
        return None
    found = tuple(one for one in (mailbox(str(text)) for text in told.get("authors", ())) if one is not None)
    return FromField(found, int(told.get("count", 0)), str(told.get("error", "")))


def authentication(accepted: Evidence) -> AuthenticationFacts | None:
    """What SPF, DKIM, DMARC and ARC found; None where they were not looked at."""
    told = accepted.get("authentication")
    if not isinstance(told, Mapping):
        return None
    spf, dmarc, arc = told.get("spf", {}), told.get("dmarc", {}), told.get("arc", {})
    sender = told.get("sender", {})
    return AuthenticationFacts(
        _spf(spf.get("helo", {})),
        _spf(spf.get("mail_from", {})),
        tuple(map(_dkim, told.get("dkim", ()))),
        DmarcOutcome(
            _result(dmarc),
            _text(dmarc, "policy"),
            _text(dmarc, "domain"),
            _text(dmarc, "policy_domain"),
            _reason(dmarc),
        ),
        ArcOutcome(_result(arc), tuple(arc.get("sealers", ())), _reason(arc)),
        SenderOutcome(_result(sender), _text(sender, "domain"), _reason(sender)),
    )


def _spf(told: Evidence) -> SpfOutcome:
    return SpfOutcome(_result(told), _text(told, "domain"), _reason(told))


def _dkim(told: Evidence) -> DkimOutcome:
    return DkimOutcome(
        _result(told),
        _text(told, "domain"),
        _text(told, "selector"),
        _text(told, "algorithm"),
        _reason(told),
        int(told.get("bits", 0)),
        testing=bool(told.get("testing")),
    )


def _result(told: Evidence) -> AuthResult:
    try:
        return AuthResult(told.get("result", "none"))
    except ValueError:
        return AuthResult.NONE


def _text(told: Evidence, key: str) -> str:
    return str(told.get(key, ""))


def _reason(told: Evidence) -> str:
    return _text(told, "reason")
