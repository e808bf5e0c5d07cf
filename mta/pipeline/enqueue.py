"""The enqueue step: stamp the trace header, make message and recipients durable; then, and only then, 250."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from mta.model.envelope import Envelope
from mta.model.lifecycle import HELD, QUEUED
from mta.model.message import QueuedMessage, RecipientState
from mta.model.session import SessionFacts
from mta.model.word import Word
from mta.observe.trace import authentication_evidence, author_evidence, days_left, tls_evidence
from mta.pipeline.accept import Judgement, Transaction
from mta.pipeline.site import Site
from mta.pipeline.survive import broken_on_arrival
from mta.policy.decision import Decision, Verdict
from mta.policy.identify import demanded
from mta.rfc.mime.received import Stamp, received_field


def compose(site: Site, transaction: Transaction, facts: SessionFacts, judged: Judgement) -> QueuedMessage:
    """The message as the queue will hold it: the original bytes, our fields in front, the evidence beside it.

    Where the decision is to hold, every recipient waits for a person.
    """
    now = site.clock.now()
    identifier = site.ids.next()
    envelope = replace(transaction.envelope, recipients=tuple(transaction.recipients))
    held = judged.decision.verdict == Verdict.HOLD
    reason = f"{Word.QUARANTINE}: {'; '.join(map(str, judged.decision.reasons))}" if held else ""
    word = Word.QUARANTINE if held else ""
    prefix = judged.fields + _received(transaction, envelope, facts, identifier, now)
    states = tuple(
        RecipientState(number, route.connector.name, HELD if held else QUEUED, due=now, reason=reason, word=word)
        for number, route in enumerate(transaction.routes)
    )
    return QueuedMessage(
        id=identifier,
        envelope=envelope,
        content=judged.content,
        prefix=prefix,
        received=now,
        inbound=transaction.decision.connector,
        states=states,
        evidence=evidence(transaction, facts, judged, prefix, now),
        hops=transaction.hops,
    )


def evidence(
    transaction: Transaction, facts: SessionFacts, judged: Judgement, prefix: bytes, now: float
) -> dict[str, Any]:
    """Who sent this under which contract and why that one, in JSON types."""
    decision, connectors = transaction.decision, transaction.contract.configuration.connectors
    return {
        "client": facts.address,
        "helo": facts.helo,
        "session": facts.session_id,
        "identity": transaction.identity.connector.name,
        "proven": transaction.identity.proven,
        "connector": decision.connector,
        "mode": decision.mode,
        "reasons": [str(reason) for reason in decision.reasons],
        **({"would": would(decision)} if decision.would else {}),
        "demanded": demanded(connectors.get(decision.connector, transaction.identity.connector).inbound),
        "tls": tls_evidence(facts.tls),
        **({"tls_wish": transaction.envelope.tls} if transaction.envelope.tls else {}),
        **({"days_left": days_left(facts.tls.leaf, now)} if facts.tls and facts.tls.leaf else {}),
        **({"foreign": [asdict(one) for one in judged.foreign]} if judged.foreign else {}),
        **({"from": author_evidence(judged.author)} if judged.author else {}),
        **_authentication(judged, prefix),
    }


def _authentication(judged: Judgement, prefix: bytes) -> dict[str, Any]:
    found = judged.authentication
    if found is None or judged.original is None:
        return {}
    verdict = {"decision": judged.decision.verdict, "reasons": [str(reason) for reason in judged.decision.reasons]}
    broken = broken_on_arrival(found, judged.original, judged.content, prefix)
    told = {"broken_signatures": [str(signature) for signature in broken]} if broken else {}
    return {"authentication": {**authentication_evidence(found), **verdict, **told}}


def would(decision: Decision) -> dict[str, Any]:
    """What an auditing connector would have decided."""
    assert decision.would is not None
    return {
        "decision": decision.would.verdict,
        "reply": str(decision.would.reply or ""),
        "reasons": [str(reason) for reason in decision.would.reasons],
    }


def _received(transaction: Transaction, envelope: Envelope, facts: SessionFacts, identifier: str, now: float) -> bytes:
    only = envelope.recipients[0].mailbox.in_ascii if len(envelope.recipients) == 1 else ""
    stamp = Stamp(
        hostname=transaction.contract.configuration.server.hostname,
        id=identifier,
        now=now,
        recipient=only,
        smtputf8=envelope.smtputf8,
    )
    return received_field(facts, stamp)
