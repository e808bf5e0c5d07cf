"""What would become of a message: the live decisions, asked in order and told with their losers.

Pure, and no judgement of its own: whatever live mail is decided by, decides here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mta.contract.connectors import DEFAULT, Connector
from mta.contract.index import ConnectorIndex
from mta.contract.outbound import Outbound
from mta.contract.smime import Smime
from mta.contract.values import HostPort
from mta.model.address import Mailbox
from mta.model.attempt import Failure, Scope
from mta.model.auth import AuthenticationFacts
from mta.model.author import FromField
from mta.model.directory import DirectoryAnswer
from mta.model.evidence.authentication import facts_to_json
from mta.model.foreign import Foreign
from mta.model.session import SessionFacts
from mta.model.tls import TlsLevel
from mta.policy.concerned import accept_for_author, concerned, judge_all
from mta.policy.decision import Decision, Verdict
from mta.policy.deliver import requirement, unusable
from mta.policy.enforce import judge_header_from, judge_mail, judge_recipient
from mta.policy.foreign import judge_foreign
from mta.policy.identify import Identity, can_identify, judge_proof, session
from mta.policy.precedence import OFF
from mta.policy.route import Destination, Route, destination
from mta.policy.transform import Author, Found, copy_for
from mta.ports import ChainVerifier


@dataclass(frozen=True, slots=True)
class Seen:
    """What one connector sees of a message: SPF, DKIM, DMARC and ARC, and the fields that would be written."""

    connector: Connector
    facts: AuthenticationFacts
    fields: bytes = b""


@dataclass(frozen=True, slots=True)
class Question:
    """A message that might come: the peer, the envelope and, where the content is known, its From.

    `seen` is what those found that `whose` names.
    """

    facts: SessionFacts
    sender: Mailbox | None
    recipients: tuple[Mailbox, ...]
    from_field: FromField | None = None
    seen: tuple[Seen, ...] = ()
    foreign: tuple[Foreign, ...] = ()  # its parts under others' rights management


def whose(index: ConnectorIndex, question: Question, verifier: ChainVerifier, now: float) -> tuple[Connector, ...]:
    """The connectors that want to know who really sent the message: for them it is to be authenticated."""
    if question.from_field is None:
        return ()
    identity = session(index, question.facts, verifier, now)
    mail = judge_mail(index, question.facts, identity, question.sender, verifier, now)
    return concerned(index, identity, mail.connector, question.from_field)


def explain(index: ConnectorIndex, question: Question, verifier: ChainVerifier, now: float) -> dict[str, Any]:
    """The document of `mta explain --json`; JSON types only."""
    identity = session(index, question.facts, verifier, now)
    decisions = _inbound_decisions(index, question, identity, verifier, now)
    chosen = _decisive(decisions)
    losers = _inbound_losers(index, question, chosen.connector, verifier, now)
    return {
        "inbound": _inbound(decisions, chosen)
        | ({"foreign": [asdict(part) for part in question.foreign]} if question.foreign else {})
        | {"authentication": _authentication(question), "losers": [_loser(*pair) for pair in losers]},
        "recipients": [_recipient(index, identity, mailbox) for mailbox in question.recipients],
    }


def accepted(document: dict[str, Any]) -> bool:
    """Whether the message would be taken for every one of its recipients; one that is held was taken."""
    parts = (document["inbound"], *document["recipients"])
    return all(part["decision"] in (Verdict.ACCEPT, Verdict.HOLD) for part in parts)


# --- inbound -----------------------------------------------------------------------------------------------------


def _inbound_decisions(
    index: ConnectorIndex, question: Question, identity: Identity, verifier: ChainVerifier, now: float
) -> tuple[Decision, ...]:
    facts = question.facts
    mail = judge_mail(index, facts, identity, question.sender, verifier, now)
    if question.from_field is None:
        return (mail,)
    author, judgements = question.from_field, question.seen
    header = judge_header_from(index, facts, identity, mail, author, verifier, now)
    if judgements and not header.accepted:
        header = accept_for_author(index, header, judgements[0].facts, author)
    if judgements and header.accepted:
        header = judge_all(index, [(judgement.connector, judgement.facts) for judgement in judgements], author, header)
    if protection := index.configuration.protection:
        header = judge_foreign(header, question.foreign, protection.foreign)
    return (mail, header)


def _authentication(question: Question) -> dict[str, Any] | None:
    """What SPF, DKIM, DMARC and ARC found, as the connector that governs sees it; None where nothing is looked up."""
    if not question.seen:
        return None
    first = question.seen[0]
    return facts_to_json(first.facts) | {"authentication_results": first.fields.decode("utf-8").strip()}


def _decisive(decisions: tuple[Decision, ...]) -> Decision:
    """The decision that settles the message: the first refusal, else the first an audit would have made one."""
    refused = (decision for decision in decisions if not decision.accepted)
    spared = (decision for decision in decisions if decision.would and not decision.would.accepted)
    audited = (decision for decision in decisions if decision.would)
    return next(refused, None) or next(spared, None) or next(audited, None) or decisions[0]


def _inbound(decisions: tuple[Decision, ...], chosen: Decision) -> dict[str, Any]:
    ordered = (chosen, *(decision for decision in decisions if decision is not chosen))
    enforced = [decision.would or decision for decision in ordered]
    would = next((decision for decision in enforced if not decision.accepted), enforced[0])
    return {
        "connector": chosen.connector,
        "mode": chosen.mode,
        "decision": chosen.verdict,
        "would": would.verdict if any(decision.would for decision in decisions) else None,
        "reply": _reply(chosen),
        "reasons": _reasons(*ordered),
    }


def _inbound_losers(
    index: ConnectorIndex, question: Question, chosen: str, verifier: ChainVerifier, now: float
) -> Iterator[tuple[str, str]]:
    """Every connector that was not chosen, each with its first failing condition."""
    domain = question.sender.ascii_domain if question.sender else ""
    trace = dict(index.claim_trace(domain)) if domain else {}
    claimant = index.claim(domain) if domain else None
    if claimant is not None and claimant.audits:
        trace[claimant.name] = "it claims the sender, but is in audit mode: it refuses nothing"
    for connector in index.configuration.connectors.values():
        if connector.name != chosen:
            yield connector.name, _why_not(connector, question, trace, verifier, now)


def _why_not(
    connector: Connector, question: Question, trace: dict[str, str], verifier: ChainVerifier, now: float
) -> str:
    if connector.name == DEFAULT:
        return "another connector claims the sender or was proved"
    if can_identify(connector):
        faults = judge_proof(connector, question.facts, verifier, now)
        return str(faults[0]) if faults else "proved, but another connector governs this sender"
    if connector.name in trace:
        return trace[connector.name]
    return "its domains are not the sender's" if connector.domains else "it demands nothing that would prove a peer"


# --- recipients --------------------------------------------------------------------------------------------------


def _recipient(index: ConnectorIndex, identity: Identity, mailbox: Mailbox) -> dict[str, Any]:
    judged = judge_recipient(index, identity, mailbox, None)
    route = judged.route
    target = destination(route.connector.outbound, route.own, judged.mailbox.ascii_domain)
    document: dict[str, Any] = {
        "address": str(mailbox),
        "connector": route.connector.name,
        "mode": route.connector.outbound_mode,
        "route": _route(target),
        "tls": _tls(route.connector.outbound, target),
        "decision": judged.decision.verdict,
        "would": judged.decision.would.verdict if judged.decision.would else None,
        "reply": _reply(judged.decision),
        "reasons": _reasons(judged.decision),
        "losers": [_loser(*pair) for pair in _outbound_losers(index, judged.mailbox, route)],
    }
    if failure := unusable(route.connector.outbound):
        document["reasons"].append(f"mail would wait: {failure.reason}")
    if judged.mailbox != mailbox:
        document["mailbox"] = str(judged.mailbox)
    if judged.needs_callout:
        document["reasons"].append("callout: the domain's own host will be asked whether the recipient exists")
    if route.would:
        document["tls"]["would"] = _tls(route.would, destination(route.would, route.own, judged.mailbox.ascii_domain))
    return document


def _route(target: Destination) -> object:
    """In the words of connectors.yaml: `mx`, or the hosts."""
    return "mx" if target.kind == "mx" else {"hosts": [str(host) for host in target.hosts]}


def _tls(outbound: Outbound, target: Destination) -> dict[str, Any]:
    hosts = target.hosts or (HostPort(target.name, outbound.port),)
    needed = [requirement(outbound, target, host) for host in hosts]
    first = needed[0]
    return {
        "level": first.level.word,
        "names": list(dict.fromkeys(name for one in needed for name in one.names)),
        "ca": first.anchors.path if first.anchors else None,
        "pins": [str(pin) for pin in first.pins],
        "min_version": first.min_version,
        "revocation": first.revocation.mode,
        "dane": outbound.tls.dane if first.level is not TlsLevel.NONE else OFF,
        "mta_sts": outbound.tls.mta_sts if first.level is not TlsLevel.NONE and target.kind == "mx" else OFF,
    }


def _outbound_losers(index: ConnectorIndex, mailbox: Mailbox, route: Route) -> Iterator[tuple[str, str]]:
    chosen = route.connector.name
    trace = dict(index.claim_trace(mailbox.ascii_domain)) if mailbox.ascii_domain else {}
    for name, connector in index.configuration.connectors.items():
        if name == chosen:
            continue
        if route.own:
            yield name, f"{route.own.name} is a domain of ours and goes by {chosen}"
        elif name == DEFAULT:
            yield name, "another connector claims the recipient's domain"
        else:
            nothing = "its domains are not the recipient's" if connector.domains else "it claims no domains"
            yield name, trace.get(name, nothing)


# --- S/MIME ------------------------------------------------------------------------------------------------------


def copy_document(smime: Smime, claim: Found, author: Author, answer: DirectoryAnswer | None) -> dict[str, Any]:
    """How the copy of a recipient would leave; decided by what decides live mail."""
    copy = copy_for(smime, claim, author, answer)
    if isinstance(copy, Failure):
        end = "held" if copy.scope is Scope.CONTRACT else "refused" if copy.permanent else "waits"
        return {"decision": end, "reason": copy.reason, "reply": str(copy.reply), "signs": False}
    words = [word for word, done in (("signed", copy.sign), ("encrypted", copy.certificate is not None)) if done]
    decision = " and ".join(words) or "as it is"
    return {"decision": decision, "reason": copy.note, "reply": None, "signs": copy.sign}


# --- shared ------------------------------------------------------------------------------------------------------


def _loser(connector: str, reason: str) -> dict[str, str]:
    return {"connector": connector, "reason": reason}


def _reply(decision: Decision) -> str | None:
    return str(decision.reply) if decision.reply else None


def _reasons(*decisions: Decision) -> list[str]:
    """Every reason once, those of what an audit would have decided included."""
    alternatives = (
        alternative for decision in decisions for alternative in (decision, decision.would) if alternative is not None
    )
    return list(dict.fromkeys(str(reason) for decision in alternatives for reason in decision.reasons))
