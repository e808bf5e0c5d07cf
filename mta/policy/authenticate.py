"""Whether what SPF, DKIM, DMARC and ARC found is what the connector demands (RFC 7372 for the replies).

A demand is met, failed, or unknown for now; unknown is temporary. What happens then is the connector's `on_failure`:
refuse, quarantine (the message is held), or tag (the verdict stands in the header and in the trace, nothing more).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mta.contract.authentication import Authentication
from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome
from mta.model.author import FromField
from mta.model.reply import Reply
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict

_NO_DKIM = Reply(550, "5.7.20", ("No passing DKIM signature found",))  # RFC 7372 §3.1
_WEAK_DKIM = Reply(550, "5.7.21", ("No acceptable DKIM signature found",))
_NO_ALIGNED = Reply(550, "5.7.22", ("No valid author-matched DKIM signature found",))
_SPF_FAILED = Reply(550, "5.7.23", ("SPF validation failed",))  # RFC 7372 §3.2
_SPF_ERROR = Reply(550, "5.7.24", ("SPF validation error",))
_MULTIPLE = Reply(550, "5.7.26", ("Multiple authentication checks failed",))  # RFC 7372 §3.4
_DMARC_FAILED = Reply(550, "5.7.26", ("DMARC validation failed",))
_NULL_MX = Reply(550, "5.7.27", ("Sender address has null MX",))  # RFC 7505 §4.2
_ARC_FAILED = Reply(550, "5.7.29", ("ARC validation failure",))  # RFC 8617 §11.4
_TEMPORARY = Reply(451, "4.7.0", ("Authentication could not be checked, try again later",))
_WISHES = {"reject": Verdict.REFUSE, "quarantine": Verdict.HOLD}  # of a domain, by its `p=`


@dataclass(frozen=True, slots=True)
class _Failed:
    """A demand that was not met. `temporary`: it is unknown whether it would be."""

    reason: Reason
    reply: Reply
    temporary: bool = False
    verdict: str = ""  # of DMARC's own policy: what the domain asks for, whatever `on_failure` says


def judge_authentication(
    index: ConnectorIndex, connector: Connector, facts: AuthenticationFacts, from_: FromField
) -> Decision:
    """What `connector` makes of the facts: accept (perhaps tagged), refuse, defer or hold."""
    demands = connector.inbound.authentication
    fault = _null_mx(demands, facts) if demands.checked else None
    if fault is not None and demands.null_mx == "refuse" and not fault.temporary:
        return Decision(Verdict.REFUSE, connector.name, connector.mode, fault.reply, (fault.reason,))
    decision = _judge_demands(index, connector, facts, from_)
    if fault is None or decision.verdict == Verdict.REFUSE:
        return decision
    reasons = (*decision.reasons, fault.reason)
    if demands.null_mx == "refuse":
        return Decision(Verdict.DEFER, connector.name, connector.mode, fault.reply, reasons)
    return replace(decision, reasons=reasons)


def _null_mx(demands: Authentication, facts: AuthenticationFacts) -> _Failed | None:
    """What is to be said of the sender's domain; where it is only reported, that DNS does not answer is nothing."""
    sender = facts.sender
    if sender is not None and sender.result is AuthResult.FAIL:
        return _Failed(Reason(Word.NULL_MX, sender.reason), _NULL_MX)
    if sender is not None and sender.result is AuthResult.TEMPERROR and demands.null_mx == "refuse":
        return _Failed(Reason(Word.NULL_MX_UNKNOWN, sender.reason), _TEMPORARY, temporary=True)
    return None


def _judge_demands(
    index: ConnectorIndex, connector: Connector, facts: AuthenticationFacts, from_: FromField
) -> Decision:
    demands = connector.inbound.authentication
    if not demands.checked or not demands.demands:
        return Decision(Verdict.ACCEPT, connector.name, connector.mode)
    author = from_.domains[0] if len(from_.domains) == 1 and not from_.ambiguous else ""
    asked = _ask(index, connector, demands, facts, author)
    failed = tuple(fault for fault in asked if fault is not None)
    if not failed or (demands.require == "any" and len(failed) < len(asked)):
        return Decision(Verdict.ACCEPT, connector.name, connector.mode)
    if _vouched(demands, facts):
        why = Reason(Word.ARC, f"the chain of {facts.arc.sealers[0] if facts.arc else ''} vouches for the message")
        return Decision(Verdict.ACCEPT, connector.name, connector.mode, None, (why,))
    return _consequence(connector, demands, facts, (*failed, *_may_vouch(demands, facts)))


def _ask(
    index: ConnectorIndex, connector: Connector, demands: Authentication, facts: AuthenticationFacts, author: str
) -> tuple[_Failed | None, ...]:
    """The outcome of each demand; None: met. DMARC's is left out where the domain asks for nothing."""
    asked: list[_Failed | None] = []
    if demands.dkim != "none":
        asked.append(_dkim(index, connector, demands, facts, author))
    if demands.spf == "pass":
        asked.append(_spf(facts))
    if demands.dmarc == "pass" or (demands.dmarc == "enforce" and not _asks_nothing(facts)):
        asked.append(_dmarc(demands.dmarc, facts))
    return tuple(asked)


def _dkim(
    index: ConnectorIndex, connector: Connector, demands: Authentication, facts: AuthenticationFacts, author: str
) -> _Failed | None:
    # RFC 6376 §3.6.1: a signature made with a testing key (t=y) is worth what none is
    passed = [outcome for outcome in facts.dkim if outcome.result is AuthResult.PASS and not outcome.testing]
    strong = [outcome for outcome in passed if not outcome.key_bits or outcome.key_bits >= demands.min_rsa_bits]
    wanted = [
        outcome
        for outcome in facts.dkim
        if demands.dkim == "valid" or aligned(index, connector, outcome.domain, author)
    ]
    if any(outcome in strong for outcome in wanted):
        return None
    signatures = "; ".join(_in_words(outcome) for outcome in facts.dkim) or "the message is not signed"
    if any(outcome.result is AuthResult.TEMPERROR for outcome in wanted):
        return _Failed(Reason(Word.DKIM_UNKNOWN, signatures), _TEMPORARY, temporary=True)
    if strong:
        text = f"no signature of the author's domain ({author or 'which cannot be told'}): {signatures}"
        return _Failed(Reason(Word.DKIM_NOT_ALIGNED, text), _NO_ALIGNED)
    if passed:
        return _Failed(
            Reason(Word.DKIM_WEAK, f"RSA of {demands.min_rsa_bits} bits is demanded: {signatures}"), _WEAK_DKIM
        )
    return _Failed(Reason(Word.DKIM, f"no signature verifies: {signatures}"), _NO_DKIM)


def aligned(index: ConnectorIndex, connector: Connector, signer: str, author: str) -> bool:
    """Whether a signature of `signer` speaks for `author` under this contract.

    The same domain, or one under the other where both are the partner's by its `domains`: what an organisation is, the
    contract says, not a guess from the names.
    """
    if not signer or not author:
        return False
    if signer == author:
        return True
    related = author.endswith(f".{signer}") or signer.endswith(f".{author}")
    return related and index.claim(signer) is connector and index.claim(author) is connector


def _spf(facts: AuthenticationFacts) -> _Failed | None:
    outcome = facts.spf_mail_from
    if outcome.result is AuthResult.PASS:
        return None
    text = f"{outcome.result.value} for {outcome.domain}: {outcome.reason}"
    if outcome.result is AuthResult.TEMPERROR:
        return _Failed(Reason(Word.SPF_UNKNOWN, text), _TEMPORARY, temporary=True)
    return _Failed(Reason(Word.SPF, text), _SPF_ERROR if outcome.result is AuthResult.PERMERROR else _SPF_FAILED)


def _asks_nothing(facts: AuthenticationFacts) -> bool:
    """No pass, and no policy to enforce: that neither fails nor fulfils anything, not even one of any."""
    outcome = facts.dmarc
    if outcome is None or outcome.result in (AuthResult.PASS, AuthResult.TEMPERROR, AuthResult.PERMERROR):
        return False  # an author who cannot be told has no domain that could ask for anything: never let through
    return outcome.result is not AuthResult.FAIL or outcome.policy not in _WISHES


def _dmarc(demand: str, facts: AuthenticationFacts) -> _Failed | None:
    outcome = facts.dmarc
    if outcome is None or outcome.result is AuthResult.PASS:
        return (
            None if outcome is not None else _Failed(Reason(Word.DMARC, "was not judged"), _TEMPORARY, temporary=True)
        )
    text = f"{outcome.result.value} for {outcome.domain} (p={outcome.policy or 'none'}): {outcome.reason}"
    if outcome.result is AuthResult.TEMPERROR:
        return _Failed(Reason(Word.DMARC_UNKNOWN, text), _TEMPORARY, temporary=True)
    wish = _WISHES.get(outcome.policy, "") if demand == "enforce" else ""
    return _Failed(Reason(Word.DMARC, text), _DMARC_FAILED, verdict=wish)


def _vouched(demands: Authentication, facts: AuthenticationFacts) -> bool:
    """RFC 8617 §5.2: a chain that holds, whose newest seal is of somebody this contract trusts."""
    arc = facts.arc
    return bool(
        demands.trusted_sealers
        and arc is not None
        and arc.result is AuthResult.PASS
        and arc.sealers
        and arc.sealers[0] in demands.trusted_sealers
    )


def _may_vouch(demands: Authentication, facts: AuthenticationFacts) -> tuple[_Failed, ...]:
    """Whether somebody trusted may have sealed the message cannot be told now."""
    arc = facts.arc
    if not demands.trusted_sealers or arc is None or arc.result is not AuthResult.TEMPERROR:
        return ()
    if arc.sealers and arc.sealers[0] not in demands.trusted_sealers:
        return ()
    return (_Failed(Reason(Word.ARC_UNKNOWN, arc.reason), _TEMPORARY, temporary=True),)


def _consequence(
    connector: Connector, demands: Authentication, facts: AuthenticationFacts, failed: tuple[_Failed, ...]
) -> Decision:
    reasons = tuple(fault.reason for fault in failed)
    if demands.on_failure == "tag":
        return Decision(Verdict.ACCEPT, connector.name, connector.mode, None, reasons)
    if any(fault.temporary for fault in failed):
        return Decision(Verdict.DEFER, connector.name, connector.mode, _TEMPORARY, reasons)
    softest = all(fault.verdict == Verdict.HOLD for fault in failed)
    if demands.on_failure == "quarantine" or softest:
        return Decision(Verdict.HOLD, connector.name, connector.mode, None, reasons)
    reply = failed[0].reply if len(failed) == 1 else _MULTIPLE
    if demands.trusted_sealers and facts.arc is not None and facts.arc.result is AuthResult.FAIL:
        reply = _ARC_FAILED
    return Decision(Verdict.REFUSE, connector.name, connector.mode, reply, reasons)


def _in_words(outcome: DkimOutcome) -> str:
    size = f" {outcome.key_bits} bits" if outcome.key_bits else ""
    story = f" ({outcome.reason})" if outcome.reason else ""
    return f"d={outcome.domain} s={outcome.selector}{size} {outcome.result.value}{story}"
