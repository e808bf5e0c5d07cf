"""What an administrator asks of the queue: list, show, hold, release, retry, bounce, delete, survey, trace.

The same functions answer over the control socket of a live worker and on a shard that a command has opened itself.
An answer comes in parts, so that twenty thousand messages need neither room nor patience: the lists of all parts belong
together, numbers are added up (`joined`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from mta.errors import UsageError
from mta.model.lifecycle import DELETED, HELD, QUEUED
from mta.model.message import QueuedMessage, RecipientState
from mta.model.word import Word
from mta.observe import events
from mta.pipeline.site import Shard
from mta.ports import QueueCommand, QueueFilter, QueueGroup, TraceRecord

# command -> (event, the state it leads to, the states it is for, the reason it leaves)
_CHANGES = {
    "hold": (events.MESSAGE_HELD, HELD, (QUEUED,), "held by the administrator"),
    "release": (events.MESSAGE_RELEASED, QUEUED, (HELD,), ""),
    "retry": (events.MESSAGE_RETRIED, QUEUED, (QUEUED, HELD), ""),
    "bounce": (events.MESSAGE_RETURNED, QUEUED, (QUEUED, HELD), "given up by the administrator"),
    "delete": (events.MESSAGE_DELETED, DELETED, (QUEUED, HELD), "deleted by the administrator"),
}
_WORDS = {"bounce": Word.RETURNED}  # what follows from a reason is decided by its word
_TEXTS = ("id", "connector", "recipient", "sender", "state", "reason")
_MOMENTS = ("since", "until")
_NUMBERS = ("larger", "smaller", "attempts")
MEANT = {command: meant for command, (_, _, meant, _) in _CHANGES.items()}  # the states that a command is for
FILTERS = (*_TEXTS, *_MOMENTS, *_NUMBERS)
_MINUTE = 60.0  # seconds
_PAGE = 50  # histories of a part

Part = dict[str, Any]


async def answer(
    shards: Sequence[Shard], request: dict[str, Any], now: float, wake: Callable[[], None]
) -> AsyncIterator[Part]:
    """One request, `{"command": ..., filters}`, over all shards. Raises UsageError."""
    command = str(request.get("command", ""))
    which = selection(request)
    if command in _CHANGES:
        if not any(getattr(which, name) for name in FILTERS) and not request.get("all"):
            raise UsageError(f"{command}: name a message, a filter, or --all")
        change = _command(command, which, now, str(request.get("note", "")))
        async for part in _change(shards, change, wake, int(request.get("rate") or 0)):
            yield part
    elif command == "list":
        for shard in shards:
            async for page in shard.store.browse(which):
                yield {"messages": [message_document(message) for message in page]}
    elif command in ("show", "trace"):
        for shard in shards:
            records = await shard.store.trace(which)
            for start in range(0, len(records), _PAGE):
                yield {"messages": [trace_document(record) for record in records[start : start + _PAGE]]}
    elif command == "survey":
        for shard in shards:
            async for window in shard.store.survey(which, now):
                yield {"messages": window.messages, "groups": [_group_document(group) for group in window.groups]}
    elif command == "counts":
        yield await _counts(shards)
    else:
        raise UsageError(f"unknown command {command!r}")


def joined(parts: Iterable[Part]) -> Part:
    """The parts of an answer, or the answers of several workers, as one: lists are joined, numbers added."""
    whole: Part = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, list):
                whole.setdefault(key, []).extend(value)
            elif isinstance(value, dict):
                whole[key] = _added(whole.get(key, {}), value)
            else:
                whole[key] = whole.get(key, 0) + value
    return whole


def _added(counts: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: counts.get(key, 0) + other.get(key, 0) for key in {**counts, **other}}


def selection(request: dict[str, Any]) -> QueueFilter:
    """The filter in a request."""
    values: dict[str, Any] = {name: str(request.get(name) or "") for name in _TEXTS}
    values |= {name: float(request.get(name) or 0) for name in _MOMENTS}
    values |= {name: int(request.get(name) or 0) for name in _NUMBERS}
    return QueueFilter(**values, limit=int(request.get("limit") or 1000))


def _group_document(group: QueueGroup) -> dict[str, Any]:
    return {field.name: getattr(group, field.name) for field in fields(group)}


async def _counts(shards: Sequence[Shard]) -> dict[str, Any]:
    states: dict[str, int] = {}
    octets = 0
    for shard in shards:
        counts = await shard.store.counts()
        octets += counts.octets
        for state, number in counts.states.items():
            states[state] = states.get(state, 0) + number
    return {"states": states, "octets": octets}


def _command(name: str, which: QueueFilter, now: float, note: str) -> QueueCommand:
    event, state, meant, reason = _CHANGES[name]
    text = f"{reason}: {note}" if reason and note else reason
    return QueueCommand(which, event, state, meant, now, text, note, asked=name == "retry", word=_WORDS.get(name, ""))


async def _change(
    shards: Sequence[Shard], command: QueueCommand, wake: Callable[[], None], rate: int
) -> AsyncIterator[Part]:
    """`rate`: messages a minute, at the most; 0: as fast as can be."""
    left = command.which.limit
    if rate:
        command = replace(command, step=max(1, min(command.step, rate // 60)))
    try:
        for shard in shards:
            which = replace(command.which, limit=left)
            async for ids in shard.store.change(replace(command, which=which)):
                left -= len(ids)
                yield {"changed": ids}
                if rate and ids:
                    wake()
                    await asyncio.sleep(len(ids) * _MINUTE / rate)
    finally:
        wake()


def message_document(message: QueuedMessage) -> dict[str, Any]:
    """A message as the commands print it."""
    return {
        "id": message.id,
        "sender": message.envelope.sender_text,
        "size": message.size,
        "received": round(message.received, 3),
        "inbound": message.inbound,
        "recipients": [_recipient_document(message, state) for state in message.states],
    }


def _recipient_document(message: QueuedMessage, state: RecipientState) -> dict[str, Any]:
    return {
        "address": str(message.envelope.recipients[state.index].mailbox),
        "connector": state.connector,
        "state": state.state,
        "due": round(state.due, 3),
        "attempts": state.attempts,
        "reason": state.reason,
    }


def trace_document(record: TraceRecord) -> dict[str, Any]:
    """A message with its whole history."""
    addresses = [str(recipient.mailbox) for recipient in record.message.envelope.recipients]
    document = message_document(record.message)
    for state, shown in zip(record.message.states, document["recipients"], strict=True):
        shown["attempts"] = max(state.attempts, _made(record, state.index))
    return {
        **document,
        "accepted": record.message.evidence,
        "events": [
            {
                "time": round(event.at, 3),
                "event": event.name,
                "recipients": [addresses[index] for index in event.recipients] or addresses,
                **event.detail,
            }
            for event in record.events
        ],
    }


def _made(record: TraceRecord, index: int) -> int:
    """Attempts in the history: those that a person asked for do not count for the pauses, but were made."""
    return sum(
        "attempts" in event.detail and (not event.recipients or index in event.recipients) for event in record.events
    )
