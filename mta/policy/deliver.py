"""What a hop must prove before `MAIL FROM` is written, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass

from mta.config.contract import HostPort, Outbound
from mta.model.attempt import Failure, Scope
from mta.model.reply import Reply
from mta.model.reporting import NOTHING_PUBLISHED, PublishedTls
from mta.model.tls import NO_REVOCATION, OFF, Pin, Revocation, TlsFacts, TlsLevel, TrustAnchors
from mta.policy.certificate import SYSTEM, CertificateDemand, judge_certificate, revocation
from mta.policy.decision import Reason
from mta.policy.identify import version
from mta.policy.route import Destination, is_address
from mta.ports import ChainVerifier


@dataclass(frozen=True, slots=True)
class TlsRequirement:
    """What TLS to a host must be. Part of the key under which connections are kept, therefore hashable.

    `names` are the expected ones, any of which will do: a name, `*.x` (one label) or `.x` (any depth under x).
    `anchors` None: the chain is not led to a CA. `sni`: the name asked for in the handshake; empty: none.
    `published` is the policy of the destination itself that went into it, for its reports.
    """

    level: TlsLevel
    names: tuple[str, ...] = ()
    anchors: TrustAnchors | None = None
    pins: tuple[Pin, ...] = ()
    min_version: str = "1.2"
    sni: str = ""
    revocation: Revocation = NO_REVOCATION
    published: PublishedTls = NOTHING_PUBLISHED

    @property
    def word(self) -> str:
        """Compact, for log lines and evidence: `verified:mail.fabrikam.example`."""
        expected = (*self.names, *(str(pin) for pin in self.pins))
        return f"{self.level.word}:{','.join(expected)}" if expected else self.level.word


@dataclass(frozen=True, slots=True)
class TlsJudgement:
    """Whether TLS satisfied the requirement.

    `verdict` says what was reached (`tls=none`, `tls=encrypted`, `tls=verified`, `tls=pinned`) and, behind a `!`,
    what was demanded in vain: `tls=encrypted!verified`. TLS older than allowed is `tls=outdated!…`.
    """

    failure: Failure | None
    verdict: str
    revocation: str = ""  # what is known of it, leaf first: `good: staple`, or why nothing is


def requirement(outbound: Outbound, destination: Destination, host: HostPort) -> TlsRequirement:
    """What `host` of `destination` must prove under `outbound`."""
    tls = outbound.tls
    level = tls.level
    if level < TlsLevel.VERIFIED:
        return TlsRequirement(level, min_version=tls.min_version, sni=_sni((), host))
    names, anchors = tls.names, tls.ca
    if level is TlsLevel.VERIFIED:
        names = names or _expected_names(destination, host)
    if names and anchors is None:
        anchors = SYSTEM
    return TlsRequirement(level, names, anchors, tls.pins, tls.min_version, _sni(tls.names, host), tls.revocation)


def _expected_names(destination: Destination, host: HostPort) -> tuple[str, ...]:
    """What `verified` without names expects. The name an MX record gave is no proof: DNS may have been forged."""
    if destination.kind == "hosts":
        return (host.host.lower(),)
    return (destination.name, f".{destination.name}")


def _sni(stated: tuple[str, ...], host: HostPort) -> str:
    """The one name the contract states, where it states one plain name; else the host dialled."""
    name = stated[0] if len(stated) == 1 and not stated[0].startswith(("*", ".")) else host.host
    return "" if is_address(name) else name.lower()  # RFC 6066 §3: literal addresses are not permitted


def judge_offer(requirement: TlsRequirement, offered: bool, starttls_reply: Reply | None) -> Failure | None:
    """Whether the conversation may go on without TLS: the host does not offer STARTTLS, or refused it.

    `starttls_reply` is None if STARTTLS was not said.
    """
    if requirement.level.may_be_clear:
        return None
    if not offered:
        # RFC 3207 §6: a man in the middle may have removed the keyword, so we never go on in clear.
        text = f"TLS is demanded ({requirement.word}), the host does not offer STARTTLS"
        return _wait(f"starttls-not-offered: {text}", "TLS is required but not offered by the host")
    if starttls_reply is not None and starttls_reply.code != 220:
        text = f"TLS is demanded ({requirement.word}), the host answered STARTTLS with {starttls_reply}"
        return _wait(f"starttls-refused: {text}", "TLS is required but the host refused STARTTLS")
    return None


def judge_tls(requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float) -> TlsJudgement:
    """Whether a finished handshake (None: there was none) satisfies the requirement; every mismatch in one text."""
    level = requirement.level
    if level.may_be_clear:
        return TlsJudgement(None, "tls=encrypted" if facts else "tls=none")
    reasons = _faults(requirement, facts, verifier, now)
    known = _revocation(requirement, facts, verifier, now)
    if not reasons:
        return TlsJudgement(None, f"tls={level.word}", known)
    reached = "encrypted" if facts else "none"
    if any(reason.word == "tls-version" for reason in reasons):
        reached = "outdated"
    story = "; ".join(str(reason) for reason in reasons)
    return TlsJudgement(_wait(story, _PUBLIC[reasons[0].word]), f"tls={reached}!{level.word}", known)


def _faults(
    requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float
) -> tuple[Reason, ...]:
    if facts is None:
        return (Reason("no-tls", f"TLS is demanded ({requirement.word}), the connection is in clear"),)
    faults: tuple[Reason, ...] = ()
    if version(facts.version) < version(requirement.min_version):
        text = f"TLS {requirement.min_version} or newer is demanded, the connection uses {facts.version}"
        faults = (Reason("tls-version", text),)
    if requirement.level < TlsLevel.VERIFIED:
        return faults
    faults += judge_certificate(_demand(requirement), facts, verifier, now)
    if requirement.level is TlsLevel.PINNED and not requirement.pins:  # fail closed
        faults += (Reason("certificate-pin", "the level is pinned, but no pin is stated"),)
    return faults


def _demand(requirement: TlsRequirement) -> CertificateDemand:
    return CertificateDemand(requirement.names, requirement.anchors, requirement.pins, False, requirement.revocation)


def _revocation(requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float) -> str:
    """What is known of the path's certificates, for evidence: `soft` lets pass what is not known."""
    demand = _demand(requirement)
    if facts is None or demand.trust is None or demand.revocation.mode == OFF:
        return ""
    path = verifier.verify(facts.chain, demand.trust, now).path
    return "; ".join(str(each) for each in revocation(demand.revocation, path, facts.staple, now))


# What a delivery report tells the sender.
_PUBLIC = {
    "no-tls": "TLS is required but was not used",
    "tls-version": "the host uses an outdated version of TLS",
    "no-certificate": "the host showed no certificate",
    "certificate-expired": "the host's certificate has expired",
    "certificate-not-yet-valid": "the host's certificate is not valid yet",
    "certificate-untrusted": "the host's certificate is not issued by an accepted authority",
    "certificate-invalid": "the host's certificate is not valid",
    "certificate-name": "the host's certificate does not name the expected host",
    "certificate-pin": "the host's certificate is not the one agreed upon",
    "certificate-revoked": "the host's certificate has been revoked",
    "revocation-unknown": "whether the host's certificate is revoked cannot be told",
}


def _wait(reason: str, text: str) -> Failure:
    # RFC 3463 §3.8: X.7.5 is a cryptographic failure. A host may be mended, so the mail waits; it never goes in clear.
    return Failure(Scope.HOST, Reply(450, "4.7.5", (text,)), reason, permanent=False)


def may_authenticate(requirement: TlsRequirement, judgement: TlsJudgement) -> bool:
    """Whether a password may be sent: to a verified or pinned peer only."""
    return requirement.level >= TlsLevel.VERIFIED and judgement.failure is None
