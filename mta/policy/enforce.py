"""Whether mail may come in: at MAIL FROM, at RCPT TO (policy/recipient.py) and, by its From, at the end of data.

A connector in audit mode changes nothing: the mail is judged as if that connector were not there, and `would` tells
what enforcing it would have decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.model.address import Mailbox
from mta.model.author import FromField
from mta.model.frozen import frozen
from mta.model.session import SessionFacts
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict, with_audit
from mta.policy.identify import Identity, judge_proof
from mta.policy.recipient import RecipientDecision, judge_recipient
from mta.policy.refusal import refuse
from mta.ports import ChainVerifier

__all__ = ["RecipientDecision", "claimed", "judge_header_from", "judge_mail", "judge_recipient"]

MAIL_FROM = "mail_from"
HEADER_FROM = "header_from"


@frozen
class _Hearing:
    """All that a judgement of one session's mail stands on."""

    index: ConnectorIndex
    facts: SessionFacts
    identity: Identity
    verifier: ChainVerifier
    now: float

    def unproven(self, connector: Connector) -> tuple[Reason, ...]:
        """What this peer has not proved of the connector's demands."""
        if self.identity.proven and self.identity.connector.name == connector.name:
            return ()  # that is how it was identified
        return judge_proof(connector, self.facts, self.verifier, self.now)

    @property
    def enforced(self) -> _Hearing:
        """The same as if connectors in audit mode were enforced."""
        return replace(self, identity=self.identity.enforced)


def judge_mail(
    index: ConnectorIndex,
    facts: SessionFacts,
    identity: Identity,
    sender: Mailbox | None,
    verifier: ChainVerifier,
    now: float,
) -> Decision:
    """MAIL FROM: the connector that claims the sender's domain decides, else the one that identified the session.

    A claim's whole proof is demanded whoever the peer has otherwise proved to be. The null sender claims nothing.
    """
    hearing = _Hearing(index, facts, identity, verifier, now)
    domain = sender.ascii_domain if sender else ""
    claimant, in_force = claimed(index, domain, MAIL_FROM), _enforcing_claimant(index, domain, MAIL_FROM)
    effective = _mail(hearing, in_force, sender)
    if in_force is claimant and identity.enforced is identity:
        return effective
    return with_audit(effective, _mail(hearing.enforced, _enforcing(claimant), sender))


def _mail(hearing: _Hearing, claimant: Connector | None, sender: Mailbox | None) -> Decision:
    governing = claimant or hearing.identity.connector
    domain = sender.ascii_domain if sender else ""
    faults = () if governing.audits else hearing.unproven(governing)  # only `default` can come here in audit mode
    if faults:
        faults += _own_sender(hearing, governing, sender)
        return refuse(governing, faults, domain if claimant else "")
    if faults := _own_sender(hearing, governing, sender):
        return refuse(governing, faults, domain)
    if claimant:
        why = Reason(Word.CLAIM, f"MAIL FROM {domain} is claimed by {claimant.name}, which it satisfies")
        return Decision(Verdict.ACCEPT, governing.name, governing.mode, None, (why,), hearing.identity.losers)
    why = _unclaimed(hearing.index, domain)
    reasons = (why, *hearing.identity.reasons)
    return Decision(Verdict.ACCEPT, governing.name, governing.mode, None, reasons, hearing.identity.losers)


def _unclaimed(index: ConnectorIndex, domain: str) -> Reason:
    """Why no claim binds the sender."""
    if not domain:
        return Reason(Word.NO_CLAIM, "null sender")
    auditing = claimed(index, domain, MAIL_FROM)
    if auditing is not None and auditing.audits:
        return Reason(Word.AUDITED_CLAIM, f"{auditing.name} claims {domain}, but is in audit mode: it refuses nothing")
    return Reason(Word.NO_CLAIM, f"no connector claims {domain}")


def _own_sender(hearing: _Hearing, governing: Connector, sender: Mailbox | None) -> tuple[Reason, ...]:
    own = hearing.index.our_domain(sender.ascii_domain) if sender else None
    if own is None or hearing.identity.relays or own.allow_own_sender or governing.inbound.allow_own_sender:
        return ()
    if hearing.identity.undecided:
        return (hearing.identity.undecided,)  # it may be one of ours: that cannot be told now
    peer = hearing.identity.connector.name
    text = f"MAIL FROM {own.name}, a domain of ours, needs a session of a relay connector; the peer is {peer}"
    return (Reason(Word.OWN_SENDER, f"{text}; allow_own_sender would permit it"),)


def claimed(index: ConnectorIndex, domain: str, by: str) -> Connector | None:
    """The connector that claims `domain` by `mail_from` or `header_from`, whether it audits or not."""
    return _claims(index.claim(domain), by) if domain else None


def _enforcing_claimant(index: ConnectorIndex, domain: str, by: str) -> Connector | None:
    """The connector that enforces a claim on this domain, None if nobody does.

    The longest match may be in audit mode, and refuses nothing. Then the next shorter match that enforces counts, as if
    the one in audit mode were not there.
    """
    claimant = index.claim(domain) if domain else None
    while claimant is not None and claimant.audits:
        domain = domain.partition(".")[2]
        claimant = index.claim(f"*.{domain}") if domain else None  # whoever claims all subdomains
    return _claims(claimant, by)


def _claims(connector: Connector | None, by: str) -> Connector | None:
    return connector if connector is not None and by in connector.inbound.claims else None


def _enforcing(connector: Connector | None) -> Connector | None:
    return replace(connector, mode="enforce") if connector is not None and connector.audits else connector


def judge_header_from(
    index: ConnectorIndex,
    facts: SessionFacts,
    identity: Identity,
    mail: Decision,
    from_: FromField,
    verifier: ChainVerifier,
    now: float,
) -> Decision:
    """The header From at the end of data, judged apart from MAIL FROM (whose decision is `mail`): both must pass.

    In a session that may relay From is no claim: forwarders keep the author's. A message without a From that can be
    read may show any author: readers take Sender, or nothing at all, for it.
    """
    if identity.enforced is identity and (  # nearly always the case
        (identity.relays and mail.mode == "enforce") or (_is_plain(index, from_) and not _claimed_any(index, from_))
    ):
        return Decision(Verdict.ACCEPT, mail.connector, mail.mode)
    hearing = _Hearing(index, facts, identity, verifier, now)
    binding, claim = _claim_in_force(index, from_), _claim_enforced(index, from_)
    effective = _header(hearing, mail, binding)
    if binding == claim and identity.enforced is identity:
        return effective
    return with_audit(effective, _header(hearing.enforced, mail, claim))


def _is_plain(index: ConnectorIndex, from_: FromField) -> bool:
    return not from_.ambiguous and (from_.count > 0 or not index.any_header_from_claim)


def _claimed_any(index: ConnectorIndex, from_: FromField) -> bool:
    return any(claimed(index, domain, HEADER_FROM) is not None for domain in from_.domains)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a header From claims: the claimants its authors name, with the domain each is named by."""

    claimants: tuple[tuple[Connector, str], ...] = ()
    ambiguity: str = ""


def _claim_in_force(index: ConnectorIndex, from_: FromField) -> _Claim:
    pairs = ((_enforcing_claimant(index, domain, HEADER_FROM), domain) for domain in from_.domains)
    return _claim_of(pairs, from_, (c for c in _claiming(index, from_) if not c.audits))


def _claim_enforced(index: ConnectorIndex, from_: FromField) -> _Claim:
    pairs = ((_enforcing(claimed(index, domain, HEADER_FROM)), domain) for domain in from_.domains)
    return _claim_of(pairs, from_, (replace(c, mode="enforce") for c in _claiming(index, from_)))


def _claim_of(pairs: Iterable[tuple[Connector | None, str]], from_: FromField, claiming: Iterable[Connector]) -> _Claim:
    claimants = tuple((connector, domain) for connector, domain in pairs if connector is not None)
    if not from_.ambiguous and from_.count:
        return _Claim(claimants)
    # A connector without an `inbound` of its own demands what is demanded of everyone: no claim of its could be meant.
    meant = tuple(pair for pair in claimants if pair[0].own_inbound)
    anyone = tuple((connector, "") for connector in islice(claiming, 1))
    text = from_.error or f"{from_.count or 'no'} From field(s) name {len(from_.authors)} authors"
    return _Claim(meant + anyone, text)


def _claiming(index: ConnectorIndex, from_: FromField) -> Iterator[Connector]:
    """Whom an author could claim who cannot be told, for a syntax error or for want of a From: anyone who claims."""
    if (from_.error or not from_.count) and index.any_header_from_claim:
        for connector in index.configuration.connectors.values():
            if connector.domains and connector.own_inbound and HEADER_FROM in connector.inbound.claims:
                yield connector


def _header(hearing: _Hearing, mail: Decision, claim: _Claim) -> Decision:
    if hearing.identity.relays or not claim.claimants:
        return Decision(Verdict.ACCEPT, mail.connector, mail.mode)
    claimant, domain = claim.claimants[0]
    if claim.ambiguity:
        text = f"a claim of {claimant.name} could be meant: {claim.ambiguity}"
        return refuse(claimant, (Reason(Word.AMBIGUOUS_FROM, text),), domain, at_data=True)
    settled = mail.accepted and mail.mode == "enforce" and mail.connector == claimant.name
    faults = () if settled else hearing.unproven(claimant)  # at MAIL FROM the same proof was demanded
    if faults:
        return refuse(claimant, faults, domain, at_data=True)
    why = Reason(Word.CLAIM, f"From {domain} is claimed by {claimant.name}, which it satisfies")
    return Decision(Verdict.ACCEPT, claimant.name, claimant.mode, None, (why,))
