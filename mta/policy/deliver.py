"""What a hop must prove before `MAIL FROM` is written, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mta.contract.outbound import Outbound
from mta.contract.values import HostPort
from mta.model.attempt import Failure, Scope
from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.model.reporting import NOTHING_PUBLISHED, PublishedTls
from mta.model.sts import NONE
from mta.model.tls import NO_REVOCATION, OFF, SOFT, Pin, Revocation, TlsFacts, TlsLevel, TrustAnchors
from mta.model.word import Word
from mta.policy.certificate import SYSTEM, CertificateDemand, judge_certificate, revocation
from mta.policy.dane import DaneDemand, judge_dane
from mta.policy.decision import Reason
from mta.policy.discover import NO_WISH, NOTHING_FOUND, Findings, Wish
from mta.policy.identify import version
from mta.policy.precedence import Outcome, combine, dane_says, sts_says
from mta.policy.route import Destination, is_address
from mta.ports import ChainVerifier


@frozen
class TlsRequirement:
    """What TLS to a host must be. Part of the key under which connections are kept, therefore hashable.

    `names` are the contract's, any of which will do: a name, `*.x` (one label) or `.x` (any depth under x).
    `anchors` None: the chain is not led to a CA. `sni`: the name asked for in the handshake; empty: none.
    `dane` and `webpki` (a host name, with the CAs that vouch for it) hold in addition; `by` says whose word they are.
    `requiretls`: the host must offer REQUIRETLS. `published` is the policy of the destination itself that went into
    it, for its reports.
    """

    level: TlsLevel
    names: tuple[str, ...] = ()
    anchors: TrustAnchors | None = None
    pins: tuple[Pin, ...] = ()
    min_version: str = "1.2"
    sni: str = ""
    revocation: Revocation = NO_REVOCATION
    published: PublishedTls = NOTHING_PUBLISHED
    dane: DaneDemand | None = None
    webpki: CertificateDemand | None = None
    by: tuple[str, ...] = ()
    requiretls: bool = False
    would: TlsRequirement | Failure | None = None  # of a contract in audit mode: what it demands itself

    @property
    def word(self) -> str:
        """Compact, for log lines and evidence: `verified:mail.fabrikam.example`, `verified:dane=mx.b.example`."""
        also = (f"{source}={self._about(source)}" for source in self.by)
        expected = (*self.names, *(str(pin) for pin in self.pins), *also)
        text = f"{self.level.word}:{','.join(expected)}" if expected else self.level.word
        return f"{text},requiretls" if self.requiretls else text

    @property
    def verdict(self) -> str:
        """What is reached where it is satisfied: `verified`, `verified:dane`, `encrypted:halfdane`."""
        return f"{self.level.word}:{'+'.join(self.by)}" if self.by else self.level.word

    @property
    def judges_certificate(self) -> bool:
        """Whether anything is demanded of the host's certificate."""
        return self.level >= TlsLevel.VERIFIED or self.dane is not None or self.webpki is not None

    def _about(self, source: str) -> str:
        if self.dane is not None and source.endswith("dane"):
            return self.dane.base
        return ",".join(self.webpki.names) if self.webpki else ""


@dataclass(frozen=True, slots=True)
class TlsJudgement:
    """Whether TLS satisfied the requirement.

    `verdict` says what was reached (`tls=none`, `tls=encrypted`, `tls=verified`, `tls=verified:dane`, `tls=pinned`)
    and, behind a `!`, what was demanded in vain: `tls=encrypted!verified`. TLS older than allowed is `tls=outdated!…`.
    """

    failure: Failure | None
    verdict: str
    revocation: str = ""  # what is known of it, leaf first: `good: staple`, or why nothing is


def strictest(
    outbound: Outbound,
    destination: Destination,
    host: HostPort,
    findings: Findings = NOTHING_FOUND,
    wish: Wish = NO_WISH,
) -> TlsRequirement | Failure:
    """What `host` must prove: connector, DANE, MTA-STS and the sender's wish together, or why it is not asked now."""
    needed = unusable(outbound) or _strictest(outbound, destination, host, findings, wish)
    if outbound.audited is None or isinstance(needed, Failure):
        return needed
    would = unusable(outbound.audited) or _strictest(outbound.audited, destination, host, findings, wish)
    return replace(needed, would=would)


def unusable(outbound: Outbound) -> Failure | None:
    """Why nothing leaves under this contract now: a file of its own cannot be used. The mail waits for that."""
    if not outbound.broken:
        return None
    # RFC 3463 §3.4: X.3.5 is a system that is incorrectly configured
    reply = Reply(450, "4.3.5", ("the contract for this destination cannot be applied now",))
    return Failure(Scope.DESTINATION, Word.CONTRACT_BROKEN, outbound.broken, reply, permanent=False, local=True)


def _strictest(
    outbound: Outbound, destination: Destination, host: HostPort, findings: Findings, wish: Wish
) -> TlsRequirement | Failure:
    tls = outbound.tls
    must = wish.required and tls.requiretls == "enforce"
    relaxed = wish.optional and not wish.required  # RFC 8689 §4.1: beside REQUIRETLS the field is ignored
    own = requirement(outbound, destination, host, findings.mx_secure)
    dane = dane_says(tls.dane, findings.dane.state, findings.dane.named, relaxed)
    sts = sts_says(tls.mta_sts, findings.sts.state, relaxed)
    outcome = combine(tls.level, dane, sts, must)
    if outcome.waits_for:
        return _waits(host, findings, outcome.waits_for)
    if must and tls.level is TlsLevel.NONE:
        return _returned(Word.REQUIRETLS, f"the contract speaks no TLS with {host}")
    if "proof" in outcome.parts and destination.kind == "mx" and not findings.mx_secure:
        text = f"nothing vouches for the name of {host}: neither signed MX records nor MTA-STS"
        return _returned(Word.REQUIRETLS, text)
    if outcome == Outcome(own.level) and not must and findings.sts.policy is None:
        return own  # nothing is added
    return replace(_with(own, outcome, findings, host), requiretls=must, published=_published(outcome, findings))


def _with(own: TlsRequirement, outcome: Outcome, findings: Findings, host: HostPort) -> TlsRequirement:
    """The connector's own requirement with what the others add."""
    dane = webpki = None
    sni = own.sni
    if outcome.parts & {"mta-sts", "proof"}:
        anchors = findings.sts.anchors if "mta-sts" in outcome.parts else None
        # RFC 8461 §4.1, RFC 8689 §4.2.1: the certificate names the host that was looked up
        webpki, sni = CertificateDemand((host.host.lower(),), anchors or SYSTEM), _sni((), host)
    if outcome.parts & {"dane", "halfdane"}:
        dane = DaneDemand(findings.dane.base, findings.dane.records, findings.dane.names)
        sni = findings.dane.base  # RFC 7672 §8.1: SNI is the TLSA base domain
    by = tuple(part for part in ("dane", "halfdane", "mta-sts") if part in outcome.parts)
    return replace(own, level=outcome.level, dane=dane, webpki=webpki, sni=sni, by=by)


def _published(outcome: Outcome, findings: Findings) -> PublishedTls:
    """The destination's own policy that applied, in the words of its reports (RFC 8460 §4.4)."""
    if outcome.parts & {"dane", "halfdane"}:
        strings = tuple(f"{r.usage} {r.selector} {r.matching} {r.data.hex()}" for r in findings.dane.records)
        return PublishedTls("tlsa", strings, (findings.dane.base,))
    if findings.sts.policy is not None and findings.sts.policy.mode != NONE:
        return PublishedTls("sts", findings.sts.policy.lines, findings.sts.policy.mx)
    return NOTHING_PUBLISHED


def _waits(host: HostPort, findings: Findings, whose: str) -> Failure:
    if whose == "dane":
        text = "the security of the host's DNS records could not be established"
        return _wait(findings.dane.word, f"{host}: {findings.dane.story}", text)
    text = "the host is not one that the domain's policy allows"
    return _wait(findings.sts.word, f"{host}: {findings.sts.story}", text)


def _returned(word: Word, story: str) -> Failure:
    # RFC 8689 §4.2.1: where no host can protect the message it MUST be returned.
    reply = Reply(550, "5.7.30", ("REQUIRETLS support required",))
    return Failure(Scope.HOST, word, story, reply, permanent=True, local=True)


def judge_keyword(requirement: TlsRequirement, offered: bool) -> Failure | None:
    """Whether the host's EHLO inside TLS offers REQUIRETLS, where the message demands it (RFC 8689 §4.2.1)."""
    if offered or not requirement.requiretls:
        return None
    return _returned(Word.REQUIRETLS, "the host does not offer REQUIRETLS")


def requirement(
    outbound: Outbound, destination: Destination, host: HostPort, mx_secure: bool = False
) -> TlsRequirement:
    """What `host` of `destination` must prove by the contract alone."""
    tls = outbound.tls
    level = tls.level
    if level < TlsLevel.VERIFIED:
        return TlsRequirement(level, min_version=tls.min_version, sni=_sni((), host))
    names, anchors = tls.names, tls.ca
    if level is TlsLevel.VERIFIED:
        names = names or _expected_names(destination, host, mx_secure)
    if names and anchors is None:
        anchors = SYSTEM
    return TlsRequirement(level, names, anchors, tls.pins, tls.min_version, _sni(tls.names, host), tls.revocation)


def _expected_names(destination: Destination, host: HostPort, mx_secure: bool) -> tuple[str, ...]:
    """What `verified` without names expects. The name an unsigned MX record gave is no proof: it may be forged."""
    if destination.kind == "hosts":
        return (host.host.lower(),)
    also = (host.host.lower(),) if mx_secure else ()
    return (destination.name, f".{destination.name}", *also)


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
        return _unmet(
            requirement, Reason(Word.STARTTLS_NOT_OFFERED, text), "TLS is required but not offered by the host"
        )
    if starttls_reply is not None and starttls_reply.code != 220:
        text = f"TLS is demanded ({requirement.word}), the host answered STARTTLS with {starttls_reply}"
        return _unmet(requirement, Reason(Word.STARTTLS_REFUSED, text), "TLS is required but the host refused STARTTLS")
    return None


def judge_tls(requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float) -> TlsJudgement:
    """Whether a finished handshake (None: there was none) satisfies the requirement; every mismatch in one text."""
    level = requirement.level
    if level.may_be_clear:
        return TlsJudgement(None, "tls=encrypted" if facts else "tls=none")
    reasons = _faults(requirement, facts, verifier, now)
    revoked = _revocation(requirement, facts, verifier, now)
    if not reasons:
        return TlsJudgement(None, f"tls={requirement.verdict}", revoked)
    reached = "encrypted" if facts else "none"
    if any(reason.word is Word.TLS_VERSION for reason in reasons):
        reached = "outdated"
    story = "; ".join((reasons[0].text, *map(str, reasons[1:])))
    failure = _unmet(requirement, Reason(reasons[0].word, story), _PUBLIC[reasons[0].word])
    return TlsJudgement(failure, f"tls={reached}!{requirement.verdict}", revoked)


def _faults(
    requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float
) -> tuple[Reason, ...]:
    if facts is None:
        return (Reason(Word.NO_TLS, f"TLS is demanded ({requirement.word}), the connection is in clear"),)
    faults: tuple[Reason, ...] = ()
    if version(facts.version) < version(requirement.min_version):
        text = f"TLS {requirement.min_version} or newer is demanded, the connection uses {facts.version}"
        faults = (Reason(Word.TLS_VERSION, text),)
    if requirement.judges_certificate:
        faults += _certificate_faults(requirement, facts, verifier, now)
    if requirement.level is TlsLevel.PINNED and not requirement.pins:  # fail closed
        faults += (Reason(Word.CERTIFICATE_PIN, "the level is pinned, but no pin is stated"),)
    return tuple(dict.fromkeys(faults))


def _certificate_faults(
    requirement: TlsRequirement, facts: TlsFacts, verifier: ChainVerifier, now: float
) -> tuple[Reason, ...]:
    """What DANE, the contract and the public CAs each find wanting: all who speak must be content."""
    faults: tuple[Reason, ...] = ()
    if requirement.dane is not None:
        faults += judge_dane(requirement.dane, facts, verifier, now)
    others_speak = requirement.dane is not None or requirement.webpki is not None
    if requirement.names or requirement.anchors or requirement.pins or not others_speak:
        faults += judge_certificate(_demand(requirement), facts, verifier, now)
    if requirement.webpki is not None:
        faults += judge_certificate(requirement.webpki, facts, verifier, now)
    return faults


def _demand(requirement: TlsRequirement) -> CertificateDemand:
    return CertificateDemand(requirement.names, requirement.anchors, requirement.pins, False, requirement.revocation)


def _revocation(requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float) -> str:
    """What is known of the path's certificates, for evidence: `soft` lets pass what is not known."""
    demand = _demand(requirement)
    wanted = demand.revocation
    if facts is None or demand.trust is None or wanted.mode == OFF:
        return ""
    if wanted.mode == SOFT and not wanted.lists and not facts.staple:
        return ""  # hardly a mail host staples: that nothing is known need not stand in every trace
    path = verifier.verify(facts.chain, demand.trust, now).path
    return "; ".join(str(each) for each in revocation(wanted, path, facts.staple, now))


# What a delivery report tells the sender.
_PUBLIC = {
    Word.NO_TLS: "TLS is required but was not used",
    Word.TLS_VERSION: "the host uses an outdated version of TLS",
    Word.NO_CERTIFICATE: "the host showed no certificate",
    Word.CERTIFICATE_EXPIRED: "the host's certificate has expired",
    Word.CERTIFICATE_NOT_YET_VALID: "the host's certificate is not valid yet",
    Word.CERTIFICATE_UNTRUSTED: "the host's certificate is not issued by an accepted authority",
    Word.CERTIFICATE_INVALID: "the host's certificate is not valid",
    Word.CERTIFICATE_NAME: "the host's certificate does not name the expected host",
    Word.CERTIFICATE_PIN: "the host's certificate is not the one agreed upon",
    Word.CERTIFICATE_REVOKED: "the host's certificate has been revoked",
    Word.REVOCATION_UNKNOWN: "whether the host's certificate is revoked cannot be told",
    Word.CERTIFICATE_TLSA: "the host's certificate is not the one its domain publishes",
}


def _unmet(requirement: TlsRequirement, why: Reason, text: str) -> Failure:
    """Not as demanded: the mail waits; one with REQUIRETLS is returned if no other host can protect it."""
    if requirement.requiretls:
        return _returned(why.word, f"{why.text} (the message demands it: REQUIRETLS)")
    return _wait(why.word, why.text, text)


def _wait(word: Word, story: str, text: str) -> Failure:
    # RFC 3463 §3.8: X.7.5 is a cryptographic failure. A host may be mended, so the mail waits; it never goes in clear.
    return Failure(Scope.HOST, word, story, Reply(450, "4.7.5", (text,)), permanent=False)


def judge_audit(
    requirement: TlsRequirement, facts: TlsFacts | None, verifier: ChainVerifier, now: float
) -> TlsJudgement | None:
    """What a contract in audit mode would have said of the handshake; None: there is no such contract."""
    if requirement.would is None:
        return None
    if isinstance(requirement.would, Failure):
        return TlsJudgement(requirement.would, "")
    return judge_tls(requirement.would, facts, verifier, now)


def may_authenticate(requirement: TlsRequirement, judgement: TlsJudgement, audit: TlsJudgement | None = None) -> bool:
    """Whether a password may be sent: to a verified or pinned peer only, also where that is only audited."""
    if isinstance(requirement.would, TlsRequirement) and audit is not None and audit.failure is None:
        requirement = requirement.would
    return requirement.level >= TlsLevel.VERIFIED and judgement.failure is None
