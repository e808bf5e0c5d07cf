"""Everything that is read from the shared queue: messages to deliver, and what people look for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from mta.adapters.postgres import rows
from mta.adapters.postgres.rows import STATE_COLUMNS, Stored, event_of, message_in, plain, recipient_in
from mta.adapters.queue_rows import address_bounds
from mta.errors import StorageError
from mta.model.envelope import Envelope
from mta.model.message import Content, Form, QueuedMessage, RecipientState
from mta.ports import Event, QueueFilter, TraceRecord

_LOAD = 50  # messages loaded in one go
_COLUMNS = "seq AS body, seq, id, received, inbound, hops, size, head_size, crc, check_crc, envelope, evidence, prefix"
_RECIPIENT = (  # at its end or not
    "(SELECT seq, idx, connector, state, due, attempts, reason, warned, form, word, address FROM work UNION ALL"
    " SELECT seq, idx, connector, state, due, attempts, reason, warned, form, word, address FROM fate)"
)
_MESSAGES = f"SELECT {_COLUMNS} FROM message WHERE seq = ANY($1::bigint[])"  # noqa: S608
_FORMS = "SELECT seq, n, body, size, head_size, crc, detail FROM form WHERE seq = ANY($1::bigint[])"

Fetch = Callable[[asyncpg.Connection, Stored], Awaitable[Content]]
Use = Callable[[Callable[[asyncpg.Connection], Awaitable[Any]], str], Awaitable[Any]]


class Damaged(StorageError):
    """A message that was claimed and cannot be delivered as it is."""

    def __init__(self, shown: QueuedMessage, fault: str) -> None:
        super().__init__(fault)
        self.shown = shown


async def load_claimed(
    db: asyncpg.Connection, states: dict[int, list[RecipientState]], fetch: Fetch
) -> list[QueuedMessage | Damaged]:
    """Claimed messages whole, in the order of `states`."""
    found = {row["seq"]: row for row in await db.fetch(_MESSAGES, list(states))}
    forms: dict[int, list[Any]] = {}
    if any(state.form for each in states.values() for state in each):
        for row in await db.fetch(_FORMS, list(states)):
            forms.setdefault(row["seq"], []).append(row)
    whole: list[QueuedMessage | Damaged] = []
    for seq, of_message in states.items():
        row, theirs = found.get(seq), tuple(sorted(of_message, key=lambda state: state.index))
        try:
            if row is None:
                raise StorageError("the record is missing")
            content = await fetch(db, rows.stored_of(row))
            needed = {state.form for state in theirs} - {0}
            kept = [await _form(db, each, fetch) for each in forms.get(seq, ()) if each["n"] in needed]
            if {form.number for form in kept} != needed:
                raise StorageError("a form of it is missing")
            kept.sort(key=lambda form: form.number)
            whole.append(replace(message_in(row, theirs, content), forms=tuple(kept)))
        except StorageError as error:
            whole.append(Damaged(shown(row, seq, theirs), str(error)))
    return whole


async def _form(db: asyncpg.Connection, row: Any, fetch: Fetch) -> Form:
    return Form(row["n"], await fetch(db, rows.stored_of(row)), json.loads(row["detail"]))


def shown(row: Any, seq: int, states: tuple[RecipientState, ...]) -> QueuedMessage:
    """A damaged message as far as it can be shown."""
    identity = row["id"] if row is not None else f"#{seq}"
    received, inbound = (row["received"], row["inbound"]) if row is not None else (0.0, "")
    return QueuedMessage(identity, Envelope(None), Content(0, data=b""), b"", received, inbound, states)


# --- search and trace ------------------------------------------------------------------------------------------------


class Conditions:
    """What a filter means, as SQL over `m` (message), with its values from a given place on."""

    def __init__(self, first: int) -> None:
        self.values: list[Any] = []
        self._first = first

    def of_message(self, which: QueueFilter) -> str:
        """What a message must be."""
        parts = []
        if which.id:
            parts.append(f"m.id >= {self._value(plain(which.id))} AND m.id < {self._value(which.id + chr(0x10FFFF))}")
        if which.sender:
            parts.append(self._address("m.sender", which.sender))
        parts += [
            f"EXISTS (SELECT 1 FROM {_RECIPIENT} r WHERE r.seq = m.seq AND {one})"  # noqa: S608
            for one in self.of_recipient(which)
        ]
        for sql, value in (
            ("m.received >=", float(which.since)),
            ("m.received <", float(which.until)),
            ("m.size >=", which.larger),
            ("m.size <=", which.smaller),
        ):
            if value:
                parts.append(f"{sql} {self._value(value)}")
        return " AND ".join(parts) or "true"

    def of_recipient(self, which: QueueFilter) -> list[str]:
        """What a recipient (`r`) must be, too, where the filter speaks of recipients."""
        parts = []
        if which.recipient:
            parts.append(self._address("r.address", which.recipient))
        if which.connector:
            parts.append(f"r.connector = {self._value(plain(which.connector))}")
        if which.state:
            parts.append(f"r.state = {self._value(plain(which.state))}")
        if which.reason:
            parts.append(f"strpos(lower(r.reason), lower({self._value(plain(which.reason))})) > 0")
        if which.attempts:
            parts.append(f"r.attempts >= {self._value(which.attempts)}")
        return parts

    def _value(self, value: object) -> str:
        self.values.append(value)
        return f"${self._first + len(self.values) - 1}"

    def _address(self, column: str, text: str) -> str:
        low, before = address_bounds(text)
        if before:
            return f"({column} >= {self._value(plain(low))} AND {column} < {self._value(plain(before))})"
        return f"{column} = {self._value(plain(low))}"


async def pages(use: Use, which: QueueFilter, *, undelivered: bool) -> AsyncIterator[list[TraceRecord]]:
    """All that is found, in pages: the undelivered ones oldest first, or all newest first."""
    given = Conditions(3)
    order, beyond, start = ("ASC", ">", -1) if undelivered else ("DESC", "<", (1 << 63) - 1)
    still = "EXISTS (SELECT 1 FROM work w WHERE w.seq = m.seq)" if undelivered else "true"
    sql = (
        f"SELECT m.seq FROM message m WHERE m.seq {beyond} $1 AND {still} AND {given.of_message(which)}"  # noqa: S608
        f" ORDER BY m.seq {order} LIMIT $2"
    )
    left, after = which.limit, start
    while left > 0:
        step = min(left, _LOAD)

        async def look(db: asyncpg.Connection, after: int = after, step: int = step) -> list[TraceRecord | int]:
            seqs = [row["seq"] for row in await db.fetch(sql, after, step, *given.values)]
            return [*seqs[-1:], *(await load(db, seqs))]

        found = await use(look, "search")
        yield found[1:]
        if len(found) - 1 < step:
            return
        left, after = left - step, found[0]


async def load(db: asyncpg.Connection, seqs: Sequence[int]) -> list[TraceRecord]:
    """Messages with all their recipients and their history, in this order."""
    if not seqs:
        return []
    given = list(seqs)
    messages = {row["seq"]: row for row in await db.fetch(_MESSAGES, given)}
    states: dict[int, list[RecipientState]] = {}
    for row in await db.fetch(
        f"SELECT seq, {STATE_COLUMNS} FROM {_RECIPIENT} r WHERE seq = ANY($1::bigint[]) ORDER BY seq, idx",  # noqa: S608
        given,
    ):
        states.setdefault(row["seq"], []).append(recipient_in(row))
    history: dict[int, list[Event]] = {}
    for row in await db.fetch(
        "SELECT seq, at, name, recipients, detail FROM event WHERE seq = ANY($1::bigint[]) ORDER BY n", given
    ):
        history.setdefault(row["seq"], []).append(event_of(row))
    return [_record(messages.get(seq), seq, tuple(states.get(seq, ())), history.get(seq, [])) for seq in seqs]


def _record(row: Any, seq: int, states: tuple[RecipientState, ...], history: list[Event]) -> TraceRecord:
    try:
        if row is None:
            raise StorageError("the record is missing")
        message = message_in(row, states, Content(row["size"]))
    except StorageError:
        message = shown(row, seq, states)
    return TraceRecord(message, tuple(history))
