"""What is told in the reports that other domains ask for: TLS-RPT (RFC 8460) and DMARC (RFC 9990)."""

from __future__ import annotations

from dataclasses import replace

from mta.model.attempt import HostAttempt
from mta.model.auth import AuthenticationFacts, AuthResult, DmarcOutcome
from mta.model.reporting import NO_POLICY_FOUND, TlsReportFacts, TlsResult
from mta.model.word import Word
from mta.policy.decision import Decision, Verdict
from mta.policy.deliver import TlsRequirement
from mta.policy.route import Destination
from mta.rfc.dmarc.parse import DmarcRecord, parse_record
from mta.rfc.dmarc.report import ReportRow, row_of

STS_POLICY = "sts"  # RFC 8460 §4.4

# a failure's word -> what RFC 8460 §4.3 calls it
_NO_TLS = {
    Word.STARTTLS_NOT_OFFERED: TlsResult.STARTTLS_NOT_SUPPORTED,
    Word.STARTTLS_REFUSED: TlsResult.STARTTLS_NOT_SUPPORTED,
    Word.NO_TLS: TlsResult.STARTTLS_NOT_SUPPORTED,
    Word.TLS_FAILED: TlsResult.VALIDATION_FAILURE,
    Word.TLS_VERSION: TlsResult.VALIDATION_FAILURE,
}
_CERTIFICATE = {
    Word.NO_CERTIFICATE: TlsResult.VALIDATION_FAILURE,
    Word.CERTIFICATE_EXPIRED: TlsResult.EXPIRED,
    Word.CERTIFICATE_NOT_YET_VALID: TlsResult.VALIDATION_FAILURE,
    Word.CERTIFICATE_UNTRUSTED: TlsResult.NOT_TRUSTED,
    Word.CERTIFICATE_INVALID: TlsResult.VALIDATION_FAILURE,
    Word.CERTIFICATE_NAME: TlsResult.HOST_MISMATCH,
    Word.CERTIFICATE_TLSA: TlsResult.VALIDATION_FAILURE,
    Word.CERTIFICATE_REVOKED: TlsResult.VALIDATION_FAILURE,
    Word.STS_MX: TlsResult.VALIDATION_FAILURE,
}


def tls_session(
    destination: Destination, requirement: TlsRequirement, attempt: HostAttempt, rehearsed: Word | None = None
) -> TlsReportFacts | None:
    """What a report says of a session that was dialled; None: nothing.

    Only hosts that the destination's own MX records name are told about: with fixed hosts the contract is between us
    and them. A host that could not be reached at all says nothing of TLS. What our contract alone demands of a
    certificate is nothing that a domain without DANE and MTA-STS has published: such a session counts as good.
    `rehearsed`: why it would have failed under a policy in mode testing.
    """
    if destination.kind != "mx":
        return None
    published = requirement.published
    trouble = attempt.failure or attempt.tls_given_up
    word = trouble.word if trouble else None
    if word is None and published.type == STS_POLICY:
        word = rehearsed
    result = _NO_TLS.get(word, "") if word else ""
    if word and not result and published.type != NO_POLICY_FOUND and not _ours_alone(requirement, word):
        result = _CERTIFICATE.get(word, "")
    if not result and attempt.tls is None:
        if attempt.failure is not None:
            return None
        result, word = TlsResult.STARTTLS_NOT_SUPPORTED, Word.IN_CLEAR
    return TlsReportFacts(
        policy_type=published.type,
        policy_domain=destination.name,
        policy_strings=published.strings,
        mx_hosts=published.mx_hosts,
        result_type=result,
        receiving_mx=attempt.host,
        receiving_ip=attempt.address,
        sending_ip=attempt.local_address,
        failure_reason=word if word and result else "",
    )


def _ours_alone(requirement: TlsRequirement, word: Word) -> bool:
    """Whether the contract's own names, CA or pins are not met, while the TLSA records of the domain are."""
    stated = requirement.names or requirement.anchors or requirement.pins
    return bool(stated and requirement.published.type == "tlsa" and word is not Word.CERTIFICATE_TLSA)


_DISPOSITIONS = {Verdict.REFUSE: "reject", Verdict.HOLD: "quarantine", Verdict.ACCEPT: "none"}


def dmarc_row(facts: AuthenticationFacts, decision: Decision, envelope_to: str) -> ReportRow | None:
    """The row of a judged message, whatever else it was refused for; None: nothing is told.

    Nothing is told to a domain that asks for no reports, nor of mail that could not be judged and will come again.
    """
    dmarc = facts.dmarc
    if dmarc is None or dmarc.result not in (AuthResult.PASS, AuthResult.FAIL) or not facts.source:
        return None
    record = _record(dmarc.record)
    if decision.verdict not in _DISPOSITIONS or record is None or not record.rua:
        return None
    row = row_of(facts, facts.source, _DISPOSITIONS[decision.verdict], envelope_to)
    if dmarc.result is AuthResult.PASS:
        return row
    return replace(row, override=_override(dmarc, decision, row.disposition, record))


def _override(dmarc: DmarcOutcome, decision: Decision, done: str, record: DmarcRecord) -> tuple[str, str]:
    """RFC 9990 §3.1.1.9: a disposition that is not the published policy has a reason."""
    asked = dmarc.policy or "none"
    if done == asked:
        return ("policy_test_mode", "") if record.testing and record.p != "none" else ("", "")
    if any(reason.word is Word.ARC for reason in decision.reasons):
        return ("trusted_forwarder", "")
    return ("local_policy", "")


def _record(text: str) -> DmarcRecord | None:
    return parse_record(text.encode("latin-1", "replace"))
