"""The enqueue step: stamp the trace header, make message and recipients durable; then, and only then, 250."""

from __future__ import annotations

from dataclasses import replace

from mta.model.author import FromField
from mta.model.envelope import Envelope
from mta.model.evidence.authentication import Authentication
from mta.model.evidence.message import Accepted, Author, Would
from mta.model.evidence.tls import days_left
from mta.model.lifecycle import HELD, QUEUED
from mta.model.message import QueuedMessage, RecipientState
from mta.model.session import SessionFacts
from mta.model.word import Word
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
        evidence=evidence(transaction, facts, judged, prefix, now).to_json(),
        hops=transaction.hops,
    )


def evidence(transaction: Transaction, facts: SessionFacts, judged: Judgement, prefix: bytes, now: float) -> Accepted:
    """Who sent this under which contract and why that one."""
    decision, connectors = transaction.decision, transaction.contract.configuration.connectors
    return Accepted(
        client=facts.address,
        helo=facts.helo,
        session=facts.session_id,
        identity=transaction.identity.connector.name,
        proven=transaction.identity.proven,
        connector=decision.connector,
        mode=decision.mode,
        reasons=tuple(map(str, decision.reasons)),
        would=would(decision) if decision.would else None,
        demanded=demanded(connectors.get(decision.connector, transaction.identity.connector).inbound),
        tls=facts.tls,
        tls_wish=transaction.envelope.tls,
        days_left=days_left(facts.tls.leaf, now) if facts.tls and facts.tls.leaf else None,
        foreign=judged.foreign,
        author=_author(judged.author) if judged.author else None,
        authentication=_authentication(judged, prefix),
    )


def _author(from_: FromField) -> Author:
    return Author(tuple(map(str, from_.authors)), from_.count, from_.error)


def _authentication(judged: Judgement, prefix: bytes) -> Authentication | None:
    facts = judged.authentication
    if facts is None or judged.original is None:
        return None
    broken = broken_on_arrival(facts, judged.original, judged.content, prefix)
    reasons = tuple(map(str, judged.decision.reasons))
    return Authentication(facts, judged.decision.verdict, reasons, tuple(map(str, broken)))


def would(decision: Decision) -> Would:
    """What an auditing connector would have decided."""
    assert decision.would is not None
    reply, reasons = str(decision.would.reply or ""), tuple(map(str, decision.would.reasons))
    return Would(decision.would.verdict, reply, reasons)


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
