"""The accept step: asks the policy at MAIL, at RCPT and at the end of data, and remembers what it answered."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mta.contract.limits import Limits
from mta.errors import StorageError
from mta.model.auth import AuthenticationFacts
from mta.model.author import FromField
from mta.model.envelope import Envelope, Recipient
from mta.model.foreign import Foreign
from mta.model.frozen import frozen
from mta.model.message import Content, HeaderBlock
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.model.word import Word
from mta.pipeline.authenticate import (
    Incoming,
    LookUps,
    authenticate,
    header_fields,
    seen_by,
    without_forgeries,
)
from mta.pipeline.author import author_of
from mta.pipeline.callout import CallOuts
from mta.pipeline.foreign import foreign_in
from mta.pipeline.site import Contract, Site
from mta.policy.concerned import accept_for_author, concerned, judge_all
from mta.policy.decision import Decision, Reason, Verdict
from mta.policy.enforce import judge_header_from, judge_mail, judge_recipient
from mta.policy.foreign import judge_foreign
from mta.policy.identify import Identity, session
from mta.policy.route import Route
from mta.ports import Spool
from mta.rfc.mime.header import HeaderError, begins_oddly, count_received, scan_header
from mta.rfc.mime.structure import check_structure
from mta.rfc.mime.tls_required import says_no


@dataclass(slots=True)
class Transaction:
    """One mail transaction while it is received, under one contract: a reload makes it begin again."""

    contract: Contract
    envelope: Envelope
    identity: Identity
    decision: Decision
    recipients: list[Recipient] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    hops: int = 0


def begin(site: Site, identity: Identity, contract: Contract, facts: SessionFacts, envelope: Envelope) -> Transaction:
    """MAIL FROM: who must this be, and is it?"""
    decision = judge_mail(contract.index, facts, identity, envelope.sender, site.verifier, site.clock.now())
    return Transaction(contract, envelope, identity, decision)


def begin_again(
    site: Site, old: Transaction, identity: Identity, facts: SessionFacts
) -> tuple[Transaction | None, Decision]:
    """The transaction under the contract of now, with the recipients it has; None if one of them is taken no more.

    The decision is that of MAIL, or the one that refuses a recipient.
    """
    contract = site.contract
    fresh = begin(site, identity, contract, facts, old.envelope)
    for recipient in old.recipients:
        # that a mailbox exists was just asked; the contract has no say in it
        judged = judge_recipient(contract.index, identity, recipient.mailbox, True)
        if not judged.decision.accepted or judged.route is None:
            return None, judged.decision
        fresh.recipients.append(replace(recipient, mailbox=judged.mailbox))
        fresh.routes.append(judged.route)
    return fresh, fresh.decision


def identify(site: Site, contract: Contract, facts: SessionFacts) -> Identity:
    """Who the peer is without claiming to be anyone."""
    return session(contract.index, facts, site.verifier, site.clock.now())


async def add_recipient(callouts: CallOuts, transaction: Transaction, recipient: Recipient) -> Decision:
    """RCPT TO: ours, or a relay's to name? A recipient that must be verified is called out for."""
    index, identity = transaction.contract.index, transaction.identity
    judged = judge_recipient(index, identity, recipient.mailbox, None)
    if judged.needs_callout and judged.route is not None:
        exists = await callouts.exists(transaction.contract, judged.mailbox, judged.route)
        if exists is None:
            reply = Reply(450, "4.2.1", ("Recipient cannot be verified now, try again later",))
            reason = Reason(Word.CALLOUT_UNKNOWN, f"{judged.mailbox}: the next hop did not say whether it exists")
            return Decision(Verdict.DEFER, judged.route.connector.name, reply=reply, reasons=(reason,))
        judged = judge_recipient(index, identity, recipient.mailbox, exists)
    if judged.decision.accepted and judged.route is not None:
        transaction.recipients.append(Recipient(judged.mailbox, recipient.notify, recipient.orcpt))
        transaction.routes.append(judged.route)
    return judged.decision


@frozen
class Judgement:
    """What came of a whole message: the decision, the content without forged fields, the fields to put in front."""

    decision: Decision
    content: Content
    fields: bytes = b""
    authentication: AuthenticationFacts | None = None
    original: HeaderBlock | None = None  # as it was judged
    author: FromField | None = None
    foreign: tuple[Foreign, ...] = ()  # parts under others' rights management


async def judge_content(
    site: Site, transaction: Transaction, facts: SessionFacts, content: Content, spool: Callable[[], Spool]
) -> Judgement:
    """The end of data: bounds, hop count, structure, authentication, the claim of the header From.

    Raises StorageError. `spool` makes room for a large message that must be written anew.
    """
    limits = transaction.contract.configuration.server.limits
    try:
        block = scan_header(content.beginning, limits.header_size)
    except HeaderError as error:
        reason = Reason(Word.HEADER, str(error))
        return Judgement(_refuse(transaction, 552, "5.3.4", "Message header too large", reason), content)
    if begins_oddly(block):  # behind our own Received it would be a part of that
        reason = Reason(Word.HEADER, "the first line of the header is none that a field can begin with")
        return Judgement(_refuse(transaction, 554, "5.6.0", "Message header not accepted", reason), content)
    transaction.hops = count_received(block)
    if transaction.hops > limits.hops:  # RFC 5321 §6.3
        reason = Reason(
            Word.HOPS, f"{transaction.hops} Received fields, {limits.hops} allowed: the mail goes in circles"
        )
        return Judgement(_refuse(transaction, 554, "5.4.6", "Too many hops", reason), content)
    if problem := await _structure_problem(content, block, limits):
        reason = Reason(Word.STRUCTURE, problem)
        return Judgement(_refuse(transaction, 554, "5.6.0", "Message structure not accepted", reason), content)
    if not transaction.envelope.tls and says_no(block):  # RFC 8689 §4.1: beside REQUIRETLS the field is ignored
        transaction.envelope = replace(transaction.envelope, tls="optional")
    author = await author_of(block, limits.header_addresses)
    incoming = Incoming(facts.client_ip, facts.helo, transaction.envelope.sender, content, block, author)
    judged = await _judge_author(site, transaction, facts, incoming, spool)
    protection = transaction.contract.configuration.protection
    foreign = await foreign_in(protection, content)
    if protection is None or not foreign:
        return judged
    return replace(judged, foreign=foreign, decision=judge_foreign(judged.decision, foreign, protection.foreign))


async def _judge_author(
    site: Site, transaction: Transaction, facts: SessionFacts, incoming: Incoming, spool: Callable[[], Spool]
) -> Judgement:
    """Who really sent it, by what the contract demands of SPF, DKIM and DMARC, and by the claim of the header From."""
    index, identity = transaction.contract.index, transaction.identity
    server = transaction.contract.configuration.server
    connectors = concerned(index, identity, transaction.decision.connector, incoming.author)
    judgements = await authenticate(LookUps(site.resolver, site.clock, server.hostname), connectors, incoming)
    authentication = judgements[0] if judgements else None
    decision = _judge_claim(site, transaction, facts, incoming.author, authentication)
    if judgements and decision.accepted:
        decision = judge_all(index, tuple(zip(connectors, judgements, strict=True)), incoming.author, decision)
    content = incoming.content
    if not identity.relays and (decision.accepted or decision.verdict == Verdict.HOLD):
        content = await without_forgeries(content, incoming.block, server.authserv_id, spool)
    checked = authentication is not None and any(connector.inbound.authentication.checked for connector in connectors)
    if authentication is None or not checked:
        return Judgement(decision, content, author=incoming.author)
    fields = header_fields(server, authentication, seen_by(connectors[0], incoming))
    return Judgement(decision, content, fields, authentication, incoming.block, incoming.author)


def _judge_claim(
    site: Site,
    transaction: Transaction,
    facts: SessionFacts,
    author: FromField,
    authentication: AuthenticationFacts | None,
) -> Decision:
    index, now = transaction.contract.index, site.clock.now()
    decision = judge_header_from(index, facts, transaction.identity, transaction.decision, author, site.verifier, now)
    if decision.accepted or authentication is None:
        return decision
    return accept_for_author(index, decision, authentication, author)


async def _structure_problem(content: Content, block: HeaderBlock, limits: Limits) -> str:
    """Why the structure of the whole message is not to be taken; a spooled one is looked at by a thread."""
    if content.path is None:
        return check_structure(content.beginning, block, limits.mime_nesting, limits.boundary_length)
    return await asyncio.get_running_loop().run_in_executor(None, _spooled_problem, content.path, block, limits)


def _spooled_problem(path: str, block: HeaderBlock, limits: Limits) -> str:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return check_structure(content, block, limits.mime_nesting, limits.boundary_length)
    except (OSError, ValueError) as error:  # ValueError: nothing was written
        raise StorageError(f"a message cannot be read back: {path}: {error}") from error


def _refuse(transaction: Transaction, code: int, enhanced: str, text: str, reason: Reason) -> Decision:
    return Decision(
        Verdict.REFUSE, transaction.decision.connector, reply=Reply(code, enhanced, (text,)), reasons=(reason,)
    )
