"""The settle step: each recipient's fate, the evidence and the reports to the sender, in one transaction.

A settlement that cannot be written is tried until it can: what the next hop has taken must not be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial

from mta.errors import LocalProtocolError, StorageError
from mta.model.attempt import DeliveryResult, Failure, HostAttempt, RecipientResult, Scope
from mta.model.evidence.attempt import Attempt
from mta.model.evidence.delivery import Delivery
from mta.model.evidence.message import Written
from mta.model.message import QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.observe import events
from mta.observe.log import aside
from mta.pipeline.deliver import Job
from mta.pipeline.notify import reports
from mta.pipeline.site import Shard, Site
from mta.policy import settle as policy
from mta.policy.settle import State
from mta.ports import Event, QueueFilter, RecipientFate, Settlement

_EVENTS = {
    State.DELIVERED: events.DELIVERED,
    State.QUEUED: events.DELIVERY_DEFERRED,
    State.FAILED: events.DELIVERY_FAILED,
    State.EXPIRED: events.MESSAGE_EXPIRED,
    State.HELD: events.MESSAGE_HELD,
}
_LONGEST_WAY_OF_A_CODE = 300.0  # seconds
_AGAIN_AFTER = 1.0  # seconds between tries to write a settlement
_LONGEST_PAUSE = 60.0  # between tries of one that a defect of ours is in the way of


async def settle(site: Site, shard: Shard, job: Job, result: DeliveryResult) -> bool:
    """Write what one attempt came to; whether anything waits in the store because of it."""
    now = site.clock.now()
    limits = site.contract.configuration.server.limits
    fates = policy.settle(job.message, result, limits, now, site.random.uniform(-1.0, 1.0))
    notices = reports(site, job, fates, result)
    groups = _grouped(fates)
    history = [_event(now, job, group, result) for group in groups]
    history.extend(_broken(site, job, fates, result))
    history.extend(
        Event(now, events.NOTICE_SENT, {"kind": notice.kind, "to": str(notice.to), "id": notice.id}, notice.indices)
        for notice, _ in notices
    )
    history.extend(_told(now, job, notice) for notice in result.notices)
    settlement = Settlement(
        message_id=job.message.id,
        at=now,
        fates=fates,
        events=tuple(history),
        notices=(*(queued for _, queued in notices), *result.notices),
        forms=policy.forms_to_keep(result, fates),
    )
    await write(site, shard, settlement)
    aside(site.log, f"log of {job.message.id}", partial(_log, site, job, groups, result))
    return bool(settlement.notices) or any(fate.state == State.QUEUED for fate in fates)


async def settle_held(site: Site, shard: Shard, message: QueuedMessage, states: tuple[RecipientState, ...]) -> None:
    """Hold recipients whose connector is in the configuration no more."""
    now = site.clock.now()
    fates = tuple(
        RecipientFate(
            state.index,
            State.HELD,
            f"{Word.CONNECTOR_MISSING}: connector {state.connector} is not in the configuration any more; "
            f"put one of that name back and release the message; it goes by whichever claims the recipient then",
            counted=False,
            word=Word.CONNECTOR_MISSING,
        )
        for state in states
    )
    fields: dict[str, object] = {"word": fates[0].word, "reason": fates[0].reason}
    history = (Event(now, events.MESSAGE_HELD, fields, tuple(fate.index for fate in fates)),)
    await write(site, shard, Settlement(message.id, now, fates, history))
    aside(site.log, "log", partial(site.log.warning, events.MESSAGE_HELD, message=message.id, **fields))


async def settle_bare(site: Site, shard: Shard, job: Job, result: DeliveryResult) -> None:
    """Settle an attempt that could not be settled whole, for a defect of ours: no report, no evidence.

    What has left is written down as gone, whatever it takes; what has not waits for its next attempt. Raises nothing
    but CancelledError; a message that is in the queue no more needs no settlement.
    """
    now, pause = site.clock.now(), _AGAIN_AFTER
    due = now + site.contract.configuration.server.limits.retry_min
    note = f"{Word.DEFECT}: this attempt could not be recorded in full; the log has the whole story"
    fates = tuple(
        RecipientFate(recipient.index, State.QUEUED, note, due=due, word=Word.DEFECT)
        if recipient.failure or result.notices  # its notice is lost: the item is found again
        else RecipientFate(recipient.index, State.DELIVERED, f"{note}; the next hop said {recipient.reply.code}")
        for recipient in result.recipients
    )
    history = tuple(Event(now, _EVENTS[fate.state], {"reason": fate.reason}, (fate.index,)) for fate in fates)
    while True:
        try:
            await write(site, shard, Settlement(job.message.id, now, fates, history))
            return
        except Exception as error:
            site.log.defect(f"settlement of {job.message.id}", error)
            if isinstance(error, LocalProtocolError) and await _is_gone(shard, job.message.id):
                await shard.store.release_claim(job.message.id)
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _is_gone(shard: Shard, id_: str) -> bool:
    try:
        return not any(record.message.id == id_ for record in await shard.store.trace(QueueFilter(id=id_)))
    except StorageError:
        return False


def defect(job: Job, error: Exception) -> DeliveryResult:
    """What an attempt comes to that ended in a defect of ours."""
    story, reply = (
        f"{type(error).__name__} during delivery; the log has the whole story",
        Reply(451, "4.3.0", ("Local error",)),
    )
    failure = Failure(Scope.DESTINATION, Word.DEFECT, story, reply, permanent=False, local=True)
    return DeliveryResult((), tuple(RecipientResult(state.index, failure.reply, failure) for state in job.recipients))


def returned(job: Job) -> DeliveryResult:
    """What comes of recipients that an administrator has given up (RFC 3463 §3.8: "Other or undefined policy")."""
    reply = Reply(550, "5.7.0", ("Given up by the administrator",))
    failures = {
        state.index: Failure(Scope.RECIPIENT, Word.RETURNED, state.reason, reply, permanent=True, local=True)
        for state in job.recipients
    }
    ended = (RecipientResult(index, reply, failure, host=None) for index, failure in failures.items())
    return DeliveryResult((), tuple(ended))


async def write(site: Site, shard: Shard, settlement: Settlement) -> None:
    """Make a settlement durable, however long the store is in trouble."""
    while True:
        try:
            await shard.store.settle(settlement)
            return
        except StorageError as error:
            fields = {"message": settlement.message_id, "error": str(error)}
            aside(site.log, "log", partial(site.log.error, events.SETTLEMENT_NOT_STORED, **fields))
            await asyncio.sleep(_AGAIN_AFTER)


def _told(now: float, job: Job, notice: QueuedMessage) -> Event:
    """That a recipient of mail at the portal is told so."""
    to = notice.envelope.recipients[0].mailbox
    places = tuple(
        state.index for state in job.recipients if job.message.envelope.recipients[state.index].mailbox == to
    )
    kind = Written.from_json(notice.evidence).notice
    return Event(now, events.NOTICE_SENT, {"kind": kind, "to": str(to), "id": notice.id}, places)


def _grouped(fates: tuple[RecipientFate, ...]) -> list[tuple[RecipientFate, ...]]:
    """Recipients with the same fate and reason share one line of history."""
    if len(fates) == 1:
        return [fates]
    groups: dict[tuple[str, str], list[RecipientFate]] = {}
    for fate in fates:
        groups.setdefault((fate.state, fate.reason), []).append(fate)
    return [tuple(group) for group in groups.values()]


def _event(now: float, job: Job, fates: tuple[RecipientFate, ...], result: DeliveryResult) -> Event:
    first = fates[0]
    protection = (_protection(job, places, done, fates) for places, done in result.protection)
    detail = Delivery(
        job.connector.name,
        job.destination.name,
        first.reason,
        first.word,
        tuple(map(Attempt.of, result.hosts)),
        tuple(each for each in protection if each),
        round(min(fate.due for fate in fates), 3) if first.state == State.QUEUED else None,
    ).to_json()
    return Event(now, _EVENTS[first.state], detail, tuple(fate.index for fate in fates))


def _broken(site: Site, job: Job, fates: tuple[RecipientFate, ...], result: DeliveryResult) -> Iterator[Event]:
    """That a message has left without a signature it came with; told once it has."""
    gone = tuple(fate.index for fate in fates if fate.state == State.DELIVERED)
    if result.broken and gone:
        site.log.warning(events.SIGNATURE_BROKEN, message=job.message.id, signatures=list(result.broken))
        yield Event(site.clock.now(), events.SIGNATURE_BROKEN, {"signatures": list(result.broken)}, gone)


def _protection(
    job: Job, places: tuple[int, ...], done: Mapping[str, object], fates: tuple[RecipientFate, ...]
) -> dict[str, object]:
    """What S/MIME did, told of those of its recipients that share this fate."""
    shared = {fate.index for fate in fates}.intersection(places)
    to = [str(job.message.envelope.recipients[index].mailbox) for index in sorted(shared)]
    return {"to": to, **done} if to else {}


def _version(last: HostAttempt | None) -> str:
    """Of TLS, `none` where the mail was told in clear; empty where it did not come so far with any host."""
    if last is not None and last.tls is not None:
        return last.tls.version
    return "none" if last is not None and last.verdict and "!" not in last.verdict else ""


def _code_is_late(site: Site, job: Job, state: str) -> bool:
    """Whether a reader waits for a code that does not come; it is good for ten minutes."""
    if job.message.evidence.get("portal") != "code" or state == State.DELIVERED:
        return False
    return state != State.QUEUED or site.clock.now() - job.message.received > _LONGEST_WAY_OF_A_CODE


def _log(site: Site, job: Job, groups: list[tuple[RecipientFate, ...]], result: DeliveryResult) -> None:
    last = result.hosts[-1] if result.hosts else None
    for number, group in enumerate(groups):
        state = group[0].state
        write_line = site.log.info if state == State.DELIVERED else site.log.warning
        write_line(
            _EVENTS[state],
            message=job.message.id,
            to=[str(job.message.envelope.recipients[fate.index].mailbox) for fate in group],
            connector=job.connector.name,
            host=f"{last.host}[{last.address}]:{last.port}" if last else "",
            tls=(last.verdict if last else "").removeprefix("tls="),
            **({"version": _version(last)} if number == 0 else {}),  # one attempt, however many lines
            **({"word": group[0].word} if group[0].word else {}),
            reason=group[0].reason,
            **({"would_wait": last.would} if last and last.would else {}),
            delay=round(site.clock.now() - job.message.received, 3),
        )
        if _code_is_late(site, job, state):
            text = f"a mail of the portal's does not reach its reader ({job.message.id}): {group[0].reason}"
            site.log.error(events.ALARM, alarm="portal.code", where=job.connector.name, text=text)
