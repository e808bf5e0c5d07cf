"""What another configuration would have done to mail that came and went: the live decisions, asked of its history.

Each part of the answer is one of four words: `same`; `worse` (the mail would have been refused, deferred, held, or
would have waited for better TLS); `other` (it would have gone another way); `unknown` where the history does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mta.contract.index import ConnectorIndex
from mta.contract.values import HostPort
from mta.model.address import Mailbox
from mta.model.evidence.message import Accepted
from mta.model.tls import TlsLevel
from mta.policy.decision import Verdict
from mta.policy.deliver import judge_tls, requirement
from mta.policy.explain import Question, Seen, explain, whose
from mta.policy.recorded import RecordedVerifier, authentication, author, handed_on, mailbox, session_facts
from mta.policy.route import choose, destination

SAME, WORSE, OTHER, UNKNOWN = "same", "worse", "other", "unknown"
_ORDER = (WORSE, UNKNOWN, OTHER, SAME)


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: str
    reasons: tuple[str, ...] = ()


def replay(index: ConnectorIndex, message: Mapping[str, Any]) -> dict[str, Any] | None:
    """The document about one message of `mta trace --json`; None for what this relay wrote itself."""
    accepted = Accepted.from_json(message["accepted"])
    facts = session_facts(accepted)
    if facts is None:
        return None
    verifier, at = RecordedVerifier(), float(message["received"])
    recipients = [(recipient, found) for recipient in message["recipients"] if (found := mailbox(recipient["address"]))]
    question = Question(facts, mailbox(message["sender"]), tuple(box for _, box in recipients), author(accepted))
    wanting = whose(index, question, verifier, at)
    judged = authentication(accepted)
    judgements = tuple(Seen(connector, judged) for connector in wanting) if judged else ()
    question = Question(question.facts, question.sender, question.recipients, question.from_field, judgements)
    document = explain(index, question, verifier, at)
    doubt = _doubt(index, question, unjudged=bool(wanting) and not judged, guessed=verifier.guessed)
    inbound = _inbound(document["inbound"], doubt)
    parts = [
        _recipient(index, recipient, box, part, message["events"])
        for (recipient, box), part in zip(recipients, document["recipients"], strict=True)
    ]
    return {
        "id": message["id"],
        "received": message["received"],
        "sender": message["sender"],
        "outcome": _worst([inbound.outcome, *(part["outcome"] for part in parts)]),
        "inbound": {
            "outcome": inbound.outcome,
            "connector": {"was": message["inbound"], "now": document["inbound"]["connector"]},
            "decision": document["inbound"]["decision"],
            "would": document["inbound"]["would"],
            "reply": document["inbound"]["reply"],
            "reasons": list(inbound.reasons),
        },
        "recipients": parts,
    }


def _worst(outcomes: list[str]) -> str:
    return next(word for word in _ORDER if word in outcomes or word == SAME)


def _doubt(index: ConnectorIndex, question: Question, *, unjudged: bool, guessed: bool) -> str:
    """What the history does not tell and the decision may rest on; empty: it tells all."""
    if unjudged:
        return "SPF, DKIM and DMARC were not looked at when the message came"
    if question.from_field is None and index.any_header_from_claim:
        return "whom From named was not kept"
    if guessed and question.facts.tls and question.facts.tls.chain:
        return "whether a CA of the system vouches for the certificate cannot be told from its names"
    return ""


def _inbound(explained: Mapping[str, Any], doubt: str) -> _Answer:
    enforced = explained["would"] or explained["decision"]  # what the contract says once it is enforced
    if enforced != Verdict.ACCEPT:
        return _Answer(WORSE, tuple(explained["reasons"]))
    return _Answer(UNKNOWN, (doubt,)) if doubt else _Answer(SAME)


def _recipient(
    index: ConnectorIndex, recipient: Mapping[str, Any], box: Mailbox, part: Mapping[str, Any], events: list[Any]
) -> dict[str, Any]:
    document = {
        "address": recipient["address"],
        "connector": {"was": recipient["connector"], "now": part["connector"]},
        "level": part["tls"]["level"],
    }
    decision = part["would"] or part["decision"]
    if decision != Verdict.ACCEPT:
        return document | {"outcome": WORSE, "reasons": list(part["reasons"])}
    answer = _delivery(index, box, str(recipient["address"]), events)
    if answer.outcome == SAME and recipient["connector"] != part["connector"]:
        answer = _Answer(OTHER)
    return document | {"outcome": answer.outcome, "reasons": list(answer.reasons)}


def _delivery(index: ConnectorIndex, box: Mailbox, address: str, events: list[Any]) -> _Answer:
    """Whether the TLS that was spoken when it was handed on is what the contract would have demanded."""
    at, _, attempt = handed_on(address, events) or (0.0, None, None)
    if attempt is None:
        return _Answer(SAME)  # it never was: no TLS to compare
    route = choose(index, box)
    outbound = route.would or route.connector.outbound  # of a connector that audits: as it would be
    target = destination(outbound, route.own, box.ascii_domain)
    host = HostPort(attempt.host, attempt.port)
    if target.hosts and host not in target.hosts:
        return _Answer(UNKNOWN, (f"it would have gone to {target.hosts[0]}, of which nothing is known",))
    verifier = RecordedVerifier()
    needed = requirement(outbound, target, host, mx_secure=False)
    judged = judge_tls(needed, attempt.tls, verifier, at)
    if judged.failure is not None:
        return _Answer(WORSE, (judged.failure.reason,))
    if verifier.guessed and not (attempt.reached(TlsLevel.VERIFIED) or attempt.reached(TlsLevel.PINNED)):
        text = f"{host}: whether a CA of the system vouches for the certificate cannot be told from its names"
        return _Answer(UNKNOWN, (text,))
    if "mandatory" in (outbound.tls.dane, outbound.tls.mta_sts) and attempt.published is None:
        return _Answer(UNKNOWN, (f"{host}: what its domain publishes (DANE, MTA-STS) was not asked for then",))
    return _Answer(SAME)


def summary(documents: list[dict[str, Any]]) -> dict[str, int]:
    """How many messages came to each outcome."""
    counts = dict.fromkeys(_ORDER, 0)
    for document in documents:
        counts[document["outcome"]] += 1
    return counts


def words(document: Mapping[str, Any]) -> Iterator[str]:
    """One message for people: what would have become of it, and why."""
    inbound = document["inbound"]
    sender = document["sender"] or "<>"
    yield f"{document['id']}  from {sender}: {document['outcome']}"
    if inbound["outcome"] != SAME:
        was, now = inbound["connector"]["was"], inbound["connector"]["now"]
        yield f"  in    {inbound['outcome']}: {inbound['would'] or inbound['decision']} by {now} (came under {was})"
        yield from (f"        because {reason}" for reason in inbound["reasons"])
    for part in document["recipients"]:
        if part["outcome"] != SAME:
            was, now = part["connector"]["was"], part["connector"]["now"]
            yield f"  out   {part['outcome']}: {part['address']} by {now} at {part['level']} (went by {was})"
            yield from (f"        because {reason}" for reason in part["reasons"])
