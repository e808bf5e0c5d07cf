"""`mta queue rescue`: what lies beside the queue since it was damaged, and its way back on explicit demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any, cast

from mta.contract.index import ConnectorIndex
from mta.errors import LocalProtocolError, StorageError, UsageError
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.pipeline.site import Shard
from mta.policy.route import choose
from mta.ports import QueueFilter
from mta.rfc.mime.header import HeaderError, scan_header
from mta.rfc.smtp.address import parse_mailbox

if TYPE_CHECKING:
    from mta.adapters.sqlite import SqliteQueueStore
    from mta.adapters.sqlite.rescue import Body

_SHOWN = ("From", "To", "Cc", "Subject", "Date", "Message-ID", "Received")
_LONGEST = 300  # octets of a field that are shown


async def answer_rescue(
    shards: Sequence[Shard], index: ConnectorIndex, request: dict[str, Any], now: float, wake: Callable[[], None]
) -> AsyncIterator[dict[str, Any]]:
    """`rescue` lists, `rescue-requeue` queues those that `names` mentions (file names or ids). Raises UsageError."""
    from mta.adapters.sqlite.rescue import bodies

    names = set(map(str, request.get("names") or ()))
    requeue = request.get("command") == "rescue-requeue"
    for shard in shards:
        if not hasattr(shard.store, "folder"):
            continue  # of a shared queue no file is left behind
        store = cast("SqliteQueueStore", shard.store)
        for body in await asyncio.to_thread(list, bodies(store.folder)):
            if names and not names & {body.name, body.kept.id if body.kept else ""}:
                continue
            document = await _document(store, body)
            if requeue:
                document["requeued"], document["problem"] = await _requeue(store, body, index, request, now)
            yield {"bodies": [document]}
    if requeue:
        wake()


async def _document(store: SqliteQueueStore, body: Body) -> dict[str, Any]:
    kept = body.kept
    return {
        "name": body.name,
        "path": str(body.path),
        "size": body.size,
        "id": kept.id if kept else "",
        "received": round(kept.received, 3) if kept else None,
        "sender": kept.envelope.sender_text if kept else None,
        "recipients": [str(each.mailbox) for each in kept.envelope.recipients] if kept else None,
        "fault": body.fault,
        "in_queue": await _states(store, kept.id) if kept else [],
        "header": _header(body.head),
    }


async def _states(store: SqliteQueueStore, message_id: str) -> list[str]:
    """The states of its recipients in the queue or its history."""
    found = await store.trace(QueueFilter(id=message_id, limit=2))
    return sorted(
        {state.state for record in found if record.message.id == message_id for state in record.message.states}
    )


def _header(head: bytes) -> dict[str, list[str]]:
    try:
        block = scan_header(head, len(head))
    except HeaderError:
        return {}
    found = {name: block.values(name.lower().encode()) for name in _SHOWN}
    return {
        name: [" ".join(value[:_LONGEST].decode("utf-8", "replace").split()) for value in values[:3]]
        for name, values in found.items()
        if values
    }


async def _requeue(
    store: SqliteQueueStore, body: Body, index: ConnectorIndex, request: dict[str, Any], now: float
) -> tuple[str, str]:
    """Under which id it was queued, or why not."""
    from mta.adapters.sqlite.rescue import take_back

    try:
        message = _message(body, index, request, now)
        if body.fault and not request.get("damaged"):
            raise UsageError(f"{body.fault}; --damaged queues it as it is")
        if states := await _states(store, message.id):
            if not request.get("again"):
                told = ", ".join(states)
                raise UsageError(f"{message.id} is in the queue or its history ({told}); --again queues it")
            message = _message(body, index, request, now, f"{message.id}-{token_hex(2)}")
        await take_back(store, body, message)
    except (UsageError, StorageError, LocalProtocolError) as error:
        return "", str(error)
    return message.id, ""


def _message(
    body: Body, index: ConnectorIndex, request: dict[str, Any], now: float, message_id: str = ""
) -> QueuedMessage:
    """Made of its own envelope, or of one that a person gives. Raises UsageError."""
    kept, envelope = body.kept, _given(request)
    if envelope is None:
        if kept is None:
            raise UsageError("its envelope is not known: give --from ADDRESS (or '<>') and each --to ADDRESS")
        envelope = kept.envelope
    return QueuedMessage(
        message_id or (kept.id if kept else f"rescued-{body.name[:24]}"),
        envelope,
        Content(0, data=b""),
        kept.prefix if kept else b"",
        kept.received if kept else now,
        kept.inbound if kept else "",
        tuple(
            RecipientState(place, connector, due=now, reason="rescued")
            for place, connector in enumerate(_connectors(body, envelope, index))
        ),
        {"rescued": body.name},
        kept.hops if kept else 0,
    )


def _connectors(body: Body, envelope: Envelope, index: ConnectorIndex) -> list[str]:
    """Those it was taken for: mail whose connector has vanished is held, it never falls to `default`."""
    if body.kept and envelope is body.kept.envelope and len(body.kept.connectors) == len(envelope.recipients):
        return list(body.kept.connectors)
    return [choose(index, recipient.mailbox).connector.name for recipient in envelope.recipients]


def _given(request: dict[str, Any]) -> Envelope | None:
    to, sender = [str(each) for each in request.get("to") or ()], str(request.get("sender") or "")
    if not to and not sender:
        return None
    if not to or not sender:
        raise UsageError("--from and --to belong together")
    try:
        mailboxes = [parse_mailbox(each) for each in to]
        author = None if sender == "<>" else parse_mailbox(sender)
    except ValueError as error:
        raise UsageError(f"--from or --to is no address: {error}") from error
    every = [*mailboxes, *([author] if author else [])]
    return Envelope(author, tuple(map(Recipient, mailboxes)), smtputf8=not all(each.is_ascii for each in every))
