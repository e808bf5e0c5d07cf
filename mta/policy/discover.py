"""What is known of a next hop beside the contract, and what the sender asks: the inputs of policy/precedence.py."""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.values import HostPort
from mta.model.attempt import Failure
from mta.model.envelope import Envelope
from mta.model.published import DanePublished, Published, StsPublished
from mta.model.reporting import TlsReportFacts, TlsResult
from mta.model.word import Word
from mta.policy.dane import NOT_ASKED, DaneFinding, DaneState
from mta.policy.precedence import StsState
from mta.policy.route import Destination
from mta.policy.sts import NO_POLICY, StsFinding


@dataclass(frozen=True, slots=True)
class Findings:
    """What DANE and MTA-STS say of a host, and whether DNSSEC vouches for its name."""

    dane: DaneFinding = NOT_ASKED
    sts: StsFinding = NO_POLICY
    mx_secure: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What the sender of a message asks of TLS (RFC 8689): REQUIRETLS, or `TLS-Required: No`."""

    required: bool = False
    optional: bool = False


NOTHING_FOUND = Findings()
NO_WISH = Wish()


def wish_of(envelope: Envelope) -> Wish:
    """What the envelope says. A report that demands TLS is not lost for the want of it (RFC 8689 §5)."""
    return Wish(envelope.tls == "required" and envelope.sender is not None, envelope.tls == "optional")


def published(findings: Findings) -> Published | None:
    """The findings as they are kept with an attempt; None where nothing was asked."""
    dane = None if findings.dane.state is DaneState.OFF else _dane(findings.dane)
    sts = None if findings.sts.state is StsState.OFF else _sts(findings.sts)
    return None if dane is None and sts is None else Published(dane, sts)


def _dane(finding: DaneFinding) -> DanePublished:
    return DanePublished(
        finding.state.value, finding.base, finding.told, finding.unusable, finding.detail, finding.named
    )


def _sts(finding: StsFinding) -> StsPublished:
    problem = f"{finding.problem}: {finding.detail}" if finding.problem else ""
    return StsPublished(finding.state.value, finding.id, finding.policy.mx if finding.policy else None, problem)


# --- for the reports that the destination asks for ---------------------------------------------------------------

# the word of the failure that kept us from asking a host -> policy type and result of RFC 8460 §4.3
_REFUSED = {
    Word.DANE_UNKNOWN: ("tlsa", TlsResult.DNSSEC_INVALID),
    Word.DANE_UNUSABLE: ("tlsa", TlsResult.TLSA_INVALID),
    Word.DANE_REQUIRED: ("tlsa", TlsResult.DANE_REQUIRED),
    Word.STS_MX: ("sts", TlsResult.VALIDATION_FAILURE),
}


def troubles(
    destination: Destination, host: HostPort, findings: Findings, refused: Failure | None
) -> tuple[TlsReportFacts, ...]:
    """What a report says of a policy that could not be had, or that kept us from asking the host."""
    if destination.kind != "mx":
        return ()
    problems = []
    word = refused.word if refused else None
    if word in _REFUSED:
        problems.append((*_REFUSED[word], word))
    if findings.dane.state is DaneState.UNUSABLE and word is not Word.DANE_UNUSABLE:
        problems.append(("tlsa", TlsResult.TLSA_INVALID, Word.DANE_UNUSABLE))
    if findings.sts.problem:
        problems.append(("sts", findings.sts.problem, Word.STS_POLICY))
    return tuple(_facts(destination, host, findings, *each) for each in problems)


def _facts(
    destination: Destination, host: HostPort, findings: Findings, kind: str, result: str, word: str
) -> TlsReportFacts:
    policy = findings.sts.policy if kind == "sts" else None
    return TlsReportFacts(
        policy_type=kind,
        policy_domain=destination.name,
        policy_strings=policy.lines if policy else (),
        mx_hosts=policy.mx if policy else (),
        result_type=result,
        receiving_mx=host.host,
        failure_reason=word,
    )
