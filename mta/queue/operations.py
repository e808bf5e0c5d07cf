"""What an administrator asks of the queue: list, show, hold, release, retry, delete, trace.

The same functions answer over the control socket of a live worker and on a shard that a command has opened itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mta.errors import UsageError
from mta.model.message import QueuedMessage, RecipientState
from mta.observe import events
from mta.pipeline.site import Shard
from mta.ports import Event, QueueFilter, RecipientFate, Settlement, TraceRecord
from mta.queue.lifecycle import DELETED, HELD, MOVES, QUEUED

# command -> (event, the state it leads to, the states it is for)
_CHANGES = {
    "hold": (events.MESSAGE_HELD, HELD, (QUEUED,)),
    "release": (events.MESSAGE_RELEASED, QUEUED, (HELD,)),
    "retry": (events.MESSAGE_RETRIED, QUEUED, (QUEUED, HELD)),
    "delete": (events.MESSAGE_DELETED, DELETED, (QUEUED, HELD)),
}
FILTERS = ("id", "connector", "recipient", "sender", "state")


async def answer(
    shards: Sequence[Shard], request: dict[str, Any], now: float, wake: Callable[[], None]
) -> dict[str, Any]:
    """One request, `{"command": ..., filters}`, over all shards. Raises UsageError."""
    command = str(request.get("command", ""))
    which = selection(request)
    if command == "list":
        return {"messages": [message_document(m) for shard in shards for m in await shard.store.search(which)]}
    if command in ("show", "trace"):
        return {"messages": [trace_document(record) for shard in shards for record in await shard.store.trace(which)]}
    if command == "counts":
        return await _counts(shards)
    if command in _CHANGES:
        if not any(getattr(which, name) for name in FILTERS) and not request.get("all"):
            raise UsageError(f"{command}: name a message, a filter, or --all")
        note = str(request.get("note", ""))
        changed = [name for shard in shards for name in await _change(shard, command, which, now, note)]
        wake()
        return {"changed": changed}
    raise UsageError(f"unknown command {command!r}")


def selection(request: dict[str, Any]) -> QueueFilter:
    """The filter in a request."""
    values = {name: str(request.get(name) or "") for name in FILTERS}
    return QueueFilter(**values, since=float(request.get("since") or 0), limit=int(request.get("limit") or 1000))


async def _counts(shards: Sequence[Shard]) -> dict[str, Any]:
    states: dict[str, int] = {}
    octets = 0
    for shard in shards:
        counts = await shard.store.counts()
        octets += counts.octets
        for state, number in counts.states.items():
            states[state] = states.get(state, 0) + number
    return {"states": states, "octets": octets}


async def _change(shard: Shard, command: str, which: QueueFilter, now: float, note: str) -> list[str]:
    event, state, meant = _CHANGES[command]
    changed = []
    for message in await shard.store.search(which):
        fates = tuple(
            RecipientFate(recipient.index, state, _reason(command, recipient, note), due=now, counted=False)
            for recipient in message.states
            if recipient.state in meant and state in MOVES[recipient.state] and _is_meant(message, recipient, which)
        )
        if fates:
            history = (Event(now, event, {"by": "administrator", "note": note}, tuple(f.index for f in fates)),)
            await shard.store.settle(Settlement(message.id, now, fates, history, by_operator=True))
            changed.append(message.id)
    return changed


def _is_meant(message: QueuedMessage, recipient: RecipientState, which: QueueFilter) -> bool:
    """A filter by connector, recipient or state means those recipients of a message, not all of it."""
    mailbox = message.envelope.recipients[recipient.index].mailbox
    wanted = which.recipient.lower()
    return (
        (not which.connector or recipient.connector == which.connector)
        and (not which.state or recipient.state == which.state)
        and (not wanted or wanted in (mailbox.key, mailbox.ascii_domain))
    )


def _reason(command: str, recipient: RecipientState, note: str) -> str:
    words = {"hold": "held by the administrator", "delete": "deleted by the administrator"}
    text = words.get(command, recipient.reason)
    return f"{text}: {note}" if note and command in words else text


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
    return {
        **message_document(record.message),
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
