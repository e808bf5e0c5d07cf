"""What the MTA-STS policy of a domain says of one of its hosts (RFC 8461 §4, §5)."""

from __future__ import annotations

from dataclasses import dataclass

from mta.model.sts import ENFORCE, TESTING, StsAnswer, StsPolicy
from mta.model.tls import TlsFacts, TrustAnchors
from mta.model.word import Word
from mta.policy.certificate import SYSTEM, CertificateDemand, judge_certificate
from mta.policy.precedence import StsState
from mta.ports import ChainVerifier
from mta.rfc.mtasts.match import names_host


@dataclass(frozen=True, slots=True)
class StsFinding:
    """A policy as it counts for one host. `anchors`: the CAs that vouch for hosts; None: the system's."""

    state: StsState
    domain: str = ""
    id: str = ""
    policy: StsPolicy | None = None
    problem: str = ""  # a result type of RFC 8460 §4.3
    detail: str = ""
    anchors: TrustAnchors | None = None

    @property
    def word(self) -> Word:
        """Why a host is not asked, for machines."""
        return Word.STS_MX if self.state is StsState.UNNAMED else Word.STS_REQUIRED

    @property
    def story(self) -> str:
        """The same for people."""
        match self.state:
            case StsState.UNNAMED if self.policy:
                return f"the MTA-STS policy of {self.domain} does not name it, but {', '.join(self.policy.mx)}"
            case StsState.TESTING:
                return f"the contract demands MTA-STS, the policy of {self.domain} is in mode testing"
            case StsState.UNKNOWN:
                return f"the contract demands MTA-STS, the policy of {self.domain} is not to be had: {self.detail}"
        return f"the contract demands MTA-STS, {self.domain} has no policy"


NO_POLICY = StsFinding(StsState.OFF)


def about_host(domain: str, answer: StsAnswer, host: str, anchors: TrustAnchors | None = None) -> StsFinding:
    """What `answer` says of `host`, which MX records gave."""
    return StsFinding(_state(answer, host), domain, answer.id, answer.policy, answer.problem, answer.detail, anchors)


def rehearse(finding: StsFinding, host: str, tls: TlsFacts | None, verifier: ChainVerifier, now: float) -> Word | None:
    """Why a session would have failed, were the policy not in mode testing; None: it would not.

    RFC 8461 §5: such a policy is followed in reports alone.
    """
    if finding.state is not StsState.TESTING or finding.policy is None:
        return None
    if not names_host(finding.policy.mx, host):
        return Word.STS_MX
    if tls is None:
        return None  # that there was no TLS is told by itself
    demand = CertificateDemand((host.lower(),), finding.anchors or SYSTEM)
    return next((reason.word for reason in judge_certificate(demand, tls, verifier, now)), None)


def _state(answer: StsAnswer, host: str) -> StsState:
    policy = answer.policy
    if policy is None:
        return StsState.UNKNOWN if answer.problem else StsState.NONE
    if policy.mode == ENFORCE:
        return StsState.NAMED if names_host(policy.mx, host) else StsState.UNNAMED
    return StsState.TESTING if policy.mode == TESTING else StsState.NONE
