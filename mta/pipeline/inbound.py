"""The inbound half: accept, (authenticate), enqueue, in that order, for one client's conversation."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from functools import partial

from mta.errors import StorageError, StorageFull
from mta.model.envelope import Envelope, Recipient
from mta.model.lifecycle import QUEUED
from mta.model.message import Content, QueuedMessage
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.model.word import Word
from mta.observe import events
from mta.observe.log import aside
from mta.pipeline.accept import Judgement, Transaction, add_recipient, begin, begin_again, identify, judge_content
from mta.pipeline.callout import CallOuts
from mta.pipeline.enqueue import compose, would
from mta.pipeline.outbound import Outbound
from mta.pipeline.report import message_judged, report_in
from mta.pipeline.site import Contract, Shard, Site
from mta.pipeline.spools import Spools
from mta.pipeline.survive import broken_signatures
from mta.policy.decision import Decision, Reason, Verdict
from mta.policy.identify import Identity
from mta.ports import Spool

_OK_SENDER = Reply(250, "2.1.0", ("Sender ok",))
_OK_RECIPIENT = Reply(250, "2.1.5", ("Recipient ok",))
_TOO_MANY = Reply(421, "4.7.0", ("Too many connections, try again later",))
_TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", ("Too many recipients",))  # RFC 5321 §4.5.3.1.10
_NO_STORAGE = Reply(452, "4.3.1", ("Insufficient system storage, try again later",))
_CHANGED = Reply(451, "4.3.0", ("The configuration has changed, try again",))
_JUDGED_ANEW = 3  # times that a content is judged while reloads come in between
_STORAGE_TROUBLE = Reply(451, "4.3.0", ("Local error, try again later",))


class InboundRelay:
    """Opens sessions for one worker; new mail goes to `shard`."""

    def __init__(self, site: Site, shard: Shard, outbound: Outbound, wake: Callable[[], None]) -> None:
        self.site = site
        self.shard = shard
        self.outbound = outbound
        self.wake = wake
        self.callouts = CallOuts(site, outbound.hops)
        self.sessions = 0
        self.per_client: Counter[object] = Counter()
        self.sending = 0  # sessions between MAIL and the reply to their message
        self.idle = asyncio.Event()
        self.idle.set()

    def session(self) -> RelaySession:
        """For a client that has just connected."""
        return RelaySession(self)

    def counts_sending(self, change: int) -> None:
        """Tell the store how many are on their way: it may wait a moment for them to share a commit."""
        self.sending += change
        self.shard.store.expect(change)


class RelaySession:
    """One client's conversation, as `ports.InboundSession` describes it."""

    def __init__(self, relay: InboundRelay) -> None:
        self._relay = relay
        self._site = relay.site
        self._transaction: Transaction | None = None
        self._identity: tuple[int, bool, Identity] | None = None
        self._client: object = None
        self._messages = 0

    def opened(self, facts: SessionFacts) -> Reply | None:
        """Count it, unless there are too many already."""
        relay, limits = self._relay, self._site.contract.configuration.server.limits
        client = facts.client
        crowded = relay.sessions >= limits.connections
        if not crowded and relay.per_client[client] >= limits.connections_per_client:
            crowded = not self._identify(facts).proven  # a partner's gateway is one address with many messages
        if crowded:
            self._site.log.warning(
                events.SESSION_REFUSED, session=facts.session_id, client=facts.address, open=relay.sessions
            )
            return _TOO_MANY
        self._client = client
        relay.sessions += 1
        relay.per_client[client] += 1
        relay.idle.clear()
        return None

    def closed(self, facts: SessionFacts, reason: str) -> None:
        """Count it no more."""
        self.reset()
        if self._client is None:
            return
        relay = self._relay
        relay.sessions -= 1
        relay.per_client[self._client] -= 1
        if relay.per_client[self._client] <= 0:
            del relay.per_client[self._client]
        if not relay.sessions:
            relay.idle.set()
        self._client = None
        if reason or not self._messages:
            self._site.log.info(
                events.SESSION_CLOSED,
                session=facts.session_id,
                client=facts.address,
                reason=reason,
                messages=self._messages,
            )

    def mail(self, facts: SessionFacts, envelope: Envelope) -> Reply:
        """MAIL FROM."""
        contract = self._site.contract
        self._transaction = begin(self._site, self._identify(facts), contract, facts, envelope)
        self._relay.counts_sending(+1)
        decision = self._transaction.decision
        if decision.accepted:
            return _OK_SENDER
        self._refused(facts, decision, envelope.sender_text, "MAIL")
        self.reset()
        return _reply(decision)

    async def recipient(self, facts: SessionFacts, recipient: Recipient) -> Reply:
        """RCPT TO."""
        if refused := self._renewed(facts, "RCPT"):
            return refused
        transaction = self._transaction
        assert transaction is not None
        if len(transaction.recipients) >= transaction.contract.configuration.server.limits.recipients:
            return _TOO_MANY_RECIPIENTS
        decision = await add_recipient(self._relay.callouts, transaction, recipient)
        if decision.accepted:
            return _OK_RECIPIENT
        self._refused(facts, decision, transaction.envelope.sender_text, "RCPT", str(recipient.mailbox))
        return _reply(decision)

    def data_begins(self) -> None:
        """Nothing to do yet: the commit window is told at MAIL."""

    def spool(self) -> Spool:
        """Where a large message goes."""
        return self._relay.shard.store.spool()

    async def message(self, facts: SessionFacts, content: Content) -> Reply:
        """Judge the content, make it durable, answer, deliver."""
        async with Spools(self.spool) as spools:
            return await self._message(facts, content, spools)

    async def _message(self, facts: SessionFacts, content: Content, spools: Spools) -> Reply:
        try:
            outcome = await self._judge(facts, content, spools)
        except StorageError as error:
            return self._not_stored(facts, error)
        transaction = self._transaction
        assert transaction is not None
        if isinstance(outcome, Reply):
            return outcome
        judged, report = outcome
        decision = judged.decision
        if not decision.accepted and decision.verdict != Verdict.HOLD:
            self._refused(facts, decision, transaction.envelope.sender_text, "DATA")
            message_judged(self._site, judged.authentication, judged.decision, transaction.recipients)
            return _reply(decision)
        if _worse(decision, transaction.decision):
            transaction.decision = decision
        message = compose(self._site, transaction, facts, judged)
        reply = await self._store(facts, transaction, message)
        if reply.positive:
            aside(self._site.log, f"counts of {message.id}", partial(self._count, transaction, judged, report))
            self._sample(message.id, content, judged)
        return reply

    async def _judge(self, facts: SessionFacts, content: Content, spools: Spools) -> tuple[Judgement, bytes] | Reply:
        """The judgement by the contract that is in force when it is done, and the message if it brings reports.

        Where there is none, the reply: the contract does not let it go on, or was exchanged again and again.
        """
        for _ in range(_JUDGED_ANEW):
            if refused := self._renewed(facts, "DATA"):
                return refused
            assert self._transaction is not None
            transaction = self._transaction
            judged = await judge_content(self._site, transaction, facts, content, spools.new)
            report = await report_in(self._site, transaction.recipients, judged.content)
            if transaction.contract.generation == self._site.contract.generation:
                return judged, report
            await spools.discard()
        return self._outdated(facts, transaction, "DATA", judged.decision)

    def _count(self, transaction: Transaction, judged: Judgement, report: bytes) -> None:
        """For the daily reports: those that we send, and those that have come."""
        message_judged(self._site, judged.authentication, judged.decision, transaction.recipients)
        if report and self._site.arrivals is not None:
            self._site.arrivals(report)

    def _sample(self, identifier: str, content: Content, judged: Judgement) -> None:
        """Offer the message for a second opinion, as it came."""
        offer, facts = self._site.second_opinion, judged.authentication
        if offer is not None and facts is not None and content.data is not None:
            aside(self._site.log, f"second opinion of {identifier}", partial(offer, identifier, content.data, facts))

    async def _store(self, facts: SessionFacts, transaction: Transaction, message: QueuedMessage) -> Reply:
        relay = self._relay
        claim = relay.outbound.capacity > 0 and message.states[0].state == QUEUED
        try:
            # A client that vanishes now does not tear the commit: nothing cancels a session in a command.
            await relay.shard.store.enqueue(message, claim=claim)
        except StorageError as error:
            return self._not_stored(facts, error)
        # It is durable: nothing may stand between it and its delivery, nor between the client and its 250.
        self._messages += 1
        try:
            if claim:
                relay.outbound.submit(relay.shard, message)
            else:
                relay.wake()
        except Exception as error:
            aside(self._site.log, "log", partial(self._site.log.defect, f"delivery of {message.id}", error))
            with contextlib.suppress(Exception):
                await relay.shard.store.release_claim(message.id)  # the scheduler finds it
        aside(self._site.log, f"log of {message.id}", partial(self._accepted, facts, transaction, message))
        return Reply(250, "2.0.0", (f"Queued as {message.id}",))

    def _renewed(self, facts: SessionFacts, stage: str) -> Reply | None:
        """Judge a transaction that began before a reload by the contract of now; None: it goes on."""
        old, contract = self._transaction, self._site.contract
        assert old is not None
        if old.contract.generation == contract.generation:
            return None
        fresh, decision = begin_again(self._site, old, self._identify(facts), facts)
        if fresh is None:
            return self._outdated(facts, old, stage, decision)
        if decision.accepted:
            self._transaction = fresh
            return None
        self._refused(facts, decision, old.envelope.sender_text, stage)
        return _reply(decision)

    def _outdated(self, facts: SessionFacts, transaction: Transaction, stage: str, decision: Decision) -> Reply:
        """Something that was taken is so no more; the client may send it again and hear of each part of it."""
        reason = Reason(Word.CONTRACT_CHANGED, f"a reload came in between: {'; '.join(map(str, decision.reasons))}")
        outdated = Decision(Verdict.DEFER, decision.connector, reply=_CHANGED, reasons=(reason,))
        self._refused(facts, outdated, transaction.envelope.sender_text, stage)
        return _CHANGED

    def _not_stored(self, facts: SessionFacts, error: StorageError) -> Reply:
        self._site.log.error(events.MESSAGE_NOT_STORED, session=facts.session_id, error=str(error))
        return _NO_STORAGE if isinstance(error, StorageFull) else _STORAGE_TROUBLE

    def reset(self) -> None:
        """The transaction is over."""
        if self._transaction is not None:
            self._transaction = None
            self._relay.counts_sending(-1)

    def error(self, facts: SessionFacts, reply: Reply, line: str) -> None:
        """A grammar or order error: for us only. No room for what arrives is counted like no room at its end."""
        if reply.code == _NO_STORAGE.code and reply.enhanced == _NO_STORAGE.enhanced:
            self._site.log.error(events.MESSAGE_NOT_STORED, session=facts.session_id, error=line[:200])
            return
        self._site.log.info(
            events.SESSION_ERROR,
            session=facts.session_id,
            client=facts.address,
            reply=str(reply),
            line=line[:200],
        )

    def _identify(self, facts: SessionFacts) -> Identity:
        contract: Contract = self._site.contract
        cached = self._identity
        if cached and cached[0] == contract.generation and cached[1] == (facts.tls is not None):
            return cached[2]
        identity = identify(self._site, contract, facts)
        self._identity = (contract.generation, facts.tls is not None, identity)
        return identity

    def _refused(self, facts: SessionFacts, decision: Decision, sender: str, stage: str, recipient: str = "") -> None:
        self._site.log.warning(
            events.MAIL_REFUSED,
            session=facts.session_id,
            client=facts.address,
            helo=facts.helo,
            stage=stage,
            sender=sender,
            **({"recipient": recipient} if recipient else {}),
            connector=decision.connector,
            decision=decision.verdict,
            reply=str(decision.reply or ""),
            word=decision.reasons[0].word if decision.reasons else "",
            reasons=[str(reason) for reason in decision.reasons],
        )

    def _accepted(self, facts: SessionFacts, transaction: Transaction, message: QueuedMessage) -> None:
        decision = transaction.decision
        if broken := broken_signatures(message):
            self._site.log.warning(events.SIGNATURE_BROKEN, message=message.id, signatures=broken)
        if decision.would and not decision.would.accepted:
            self._site.log.warning(
                events.MAIL_WOULD_REFUSE, message=message.id, connector=decision.connector, **would(decision).to_json()
            )
        self._site.log.info(
            events.MESSAGE_ACCEPTED,
            message=message.id,
            session=facts.session_id,
            client=facts.address,
            sender=message.envelope.sender_text,
            recipients=len(message.envelope.recipients),
            size=message.content.size,
            connector=decision.connector,
            tls=f"{facts.tls.version}" if facts.tls else "none",
        )


def _reply(decision: Decision) -> Reply:
    return decision.reply or Reply(451, "4.7.0", ("Try again later",))


def _worse(header: Decision, mail: Decision) -> bool:
    """Whether an audit of the header From found what the audit of MAIL FROM had not."""
    refused = header.would is not None and not header.would.accepted
    return refused and (mail.would is None or mail.would.accepted)
