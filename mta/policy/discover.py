"""What is known of a next hop beside the contract, and what the sender asks: the inputs of policy/precedence.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mta.contract.values import HostPort
from mta.model.attempt import Failure
from mta.model.envelope import Envelope
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


def evidence(found: Findings) -> dict[str, Any]:
    """The findings as they are kept with an attempt; nothing of what was not asked."""
    told: dict[str, Any] = {}
    dane, sts = found.dane, found.sts
    if dane.state is not DaneState.OFF:
        told["dane"] = {"state": dane.state.value, "base": dane.base, "records": list(dane.told)}
        told["dane"] |= {"unusable": list(dane.unusable)} if dane.unusable else {}
        told["dane"] |= {"detail": dane.detail} if dane.detail else {}
        told["dane"] |= {"mx": "secure" if dane.named else "insecure"}
    if sts.state is not StsState.OFF:
        told["mta_sts"] = {"state": sts.state.value, "id": sts.id}
        told["mta_sts"] |= {"mx": list(sts.policy.mx)} if sts.policy else {}
        told["mta_sts"] |= {"problem": f"{sts.problem}: {sts.detail}"} if sts.problem else {}
    return told


# --- for the reports that the destination asks for ---------------------------------------------------------------

# the word of the failure that kept us from asking a host -> policy type and result of RFC 8460 §4.3
_REFUSED = {
    Word.DANE_UNKNOWN: ("tlsa", TlsResult.DNSSEC_INVALID),
    Word.DANE_UNUSABLE: ("tlsa", TlsResult.TLSA_INVALID),
    Word.DANE_REQUIRED: ("tlsa", TlsResult.DANE_REQUIRED),
    Word.STS_MX: ("sts", TlsResult.VALIDATION_FAILURE),
}


def troubles(
    destination: Destination, host: HostPort, found: Findings, refused: Failure | None
) -> tuple[TlsReportFacts, ...]:
    """What a report says of a policy that could not be had, or that kept us from asking the host."""
    if destination.kind != "mx":
        return ()
    told = []
    word = refused.word if refused else None
    if word in _REFUSED:
        told.append((*_REFUSED[word], word))
    if found.dane.state is DaneState.UNUSABLE and word is not Word.DANE_UNUSABLE:
        told.append(("tlsa", TlsResult.TLSA_INVALID, Word.DANE_UNUSABLE))
    if found.sts.problem:
        told.append(("sts", found.sts.problem, Word.STS_POLICY))
    return tuple(_facts(destination, host, found, *each) for each in told)


def _facts(
    destination: Destination, host: HostPort, found: Findings, kind: str, result: str, word: str
) -> TlsReportFacts:
    policy = found.sts.policy if kind == "sts" else None
    return TlsReportFacts(
        policy_type=kind,
        policy_domain=destination.name,
        policy_strings=policy.lines if policy else (),
        mx_hosts=policy.mx if policy else (),
        result_type=result,
        receiving_mx=host.host,
        failure_reason=word,
    )
