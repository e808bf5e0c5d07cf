"""One group of changes in one transaction: mail that is taken, and settlements; each statement serves them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import asyncpg

from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.rows import Incoming, IncomingForm, is_open
from mta.adapters.queue_rows import to_json
from mta.errors import LocalProtocolError
from mta.model.lifecycle import FINAL
from mta.observe import events

OCTETS = "octets"  # the counter of undelivered content; every other counter is a state or SUPERSEDED
SUPERSEDED = "superseded"  # the counter of settlements that came after somebody else's

Key = tuple[int, int]  # seq, idx


@dataclass(slots=True)
class Fate:
    """What becomes of one recipient."""

    index: int
    state: str
    reason: str
    due: float
    counted: bool
    warned: bool
    word: str


@dataclass(slots=True)
class Outcome:
    """A settlement made ready. `owner`: the incarnation that made the attempt."""

    id: str
    seq: int
    owner: int
    at: float
    fates: tuple[Fate, ...]
    events: tuple[tuple[Any, ...], ...]  # at, name, recipients, detail
    notices: tuple[Incoming, ...] = ()
    forms: tuple[IncomingForm, ...] = ()
    by_operator: bool = False


@dataclass(slots=True)
class Taking:
    """A new message; `owner` delivers it at once, None: it waits to be claimed."""

    incoming: Incoming
    owner: int | None


@dataclass(slots=True)
class Done:
    """What a group came to, beside its rows."""

    bodies: set[int] = field(default_factory=set)  # that are gone with their messages
    superseded: list[Key] = field(default_factory=list)


class Refused(Exception):
    """One of the group cannot be done; `fault` is for who waits for it."""

    def __init__(self, change: object, fault: Exception) -> None:
        super().__init__(str(fault))
        self.change = change
        self.fault = fault


class Group:
    """Writes takings and outcomes within the transaction that is open on `db`."""

    def __init__(self, db: asyncpg.Connection, generation: int, takings: list[Taking], outcomes: list[Outcome]) -> None:
        self._db = db
        self._generation = generation
        self._takings = [*takings, *(Taking(notice, None) for each in outcomes for notice in each.notices)]
        self._outcomes = outcomes
        self._counts: dict[str, int] = {}
        self._done = Done()

    async def run(self, node: int, lane: int) -> Done:
        """Write everything. Raises Refused where one of them cannot be."""
        if self._takings:
            await self._take(self._takings)
        if self._outcomes:
            await self._settle(self._outcomes)
        changed = {name: change for name, change in self._counts.items() if change}
        if changed:
            await self._db.execute(sql.COUNT, node, lane, list(changed), list(changed.values()))
        return self._done

    def _count(self, name: str, change: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + change

    async def _take(self, takings: list[Taking]) -> None:
        incoming = [each.incoming for each in takings]
        pieces = [(each.seq, *piece) for each in incoming for piece in each.pieces]
        recipients = [self._work(each, row) for each in takings for row in each.incoming.recipients if is_open(row)]
        await self._db.execute(
            sql.TAKE,
            *_columns([each.row for each in incoming], 13),
            *_columns(pieces, 3),
            self._generation,
            *_columns(recipients, 12),
        )
        for each in incoming:
            self._count(OCTETS, each.size)
            for row in each.recipients:
                self._count(row[1], 1)
        await self._take_ended(incoming)

    @staticmethod
    def _work(taking: Taking, row: tuple[Any, ...]) -> tuple[Any, ...]:
        incoming = taking.incoming
        owner = taking.owner if row[0] in incoming.queued else None
        return (incoming.seq, row[0], len(incoming.recipients) > 1, owner, *row[1:])

    async def _take_ended(self, incoming: list[Incoming]) -> None:
        """Mail that comes with recipients at their end, as a rescue brings it."""
        rows = [(each.seq, *row[:2], each.received, *row[2:]) for each in incoming for row in each.recipients
                if not is_open(row)]  # fmt: skip
        if rows:
            await self._db.execute(sql.TAKE_ENDED, *_columns(rows, 10))
        over = {each.seq: each.received for each in incoming if not any(map(is_open, each.recipients))}
        await self._end(over, set())

    async def _settle(self, outcomes: list[Outcome]) -> None:
        rows = [_fate_row(each, fate) for each in outcomes for fate in each.fates]
        rows.sort(key=lambda row: row[:2])  # every transaction locks in one order
        found: list[Any] = []
        for final, statement in ((True, sql.ENDS), (False, sql.MOVES)):
            if some := [row for row in rows if (row[2] in FINAL) is final]:
                found += await self._db.fetch(statement, *_columns(some, 10))
        for row in found:
            self._count(row["old"], -1)
            self._count(row["state"], 1)
        late = await self._left(outcomes, {(row["seq"], row["idx"]) for row in found})
        history = [(each.seq, *event) for each in outcomes for event in each.events]
        if history + late:
            await self._db.execute(sql.EVENTS, *_columns(history + late, 5))
        for each in outcomes:
            for form in each.forms:
                await self._insert_form(each.seq, form)
        at = {each.seq: each.at for each in outcomes}
        over = [row for row in found if row["state"] in FINAL]
        await self._end({row["seq"]: at[row["seq"]] for row in over}, {row["seq"] for row in over if row["many"]})

    async def _left(self, outcomes: list[Outcome], found: set[Key]) -> list[tuple[Any, ...]]:
        """Those that were not ours to settle any more: events that tell so. Raises Refused for what does not exist."""
        wanted = {(each.seq, fate.index): each for each in outcomes for fate in each.fates}
        if not (left := [key for key in wanted if key not in found]):
            return []
        told: list[tuple[Any, ...]] = []
        over: list[Key] = []
        for row in await self._db.fetch(sql.LEFT, *_columns(left, 2)):
            key = (row["seq"], row["idx"])
            outcome = wanted[key]
            if not row["ended"] and row["owner"] is None:
                fault = f"message {outcome.id} has no recipient {key[1]}, or is not in this queue"
                raise Refused(outcome, LocalProtocolError(fault))
            if row["attempted_by"] == outcome.owner:
                over.append(key)
            elif not outcome.by_operator and row["at"] != outcome.at:  # else it is this very settlement, told again
                told.append(self._superseded(outcome, key, row["owner"]))
        if over:
            await self._db.execute(sql.ATTEMPT_OVER, *_columns(over, 2))
        return told

    def _superseded(self, outcome: Outcome, key: Key, owner: int | None) -> tuple[Any, ...]:
        fate = next(each for each in outcome.fates if each.index == key[1])
        self._count(SUPERSEDED, 1)
        self._done.superseded.append(key)
        detail = {"state": fate.state, "word": fate.word, "reason": fate.reason, "node": outcome.owner, "owner": owner}
        return (key[0], outcome.at, events.SETTLEMENT_SUPERSEDED, to_json([key[1]]), to_json(detail))

    async def _insert_form(self, seq: int, form: IncomingForm) -> None:
        if form.pieces:
            await self._db.execute(sql.PIECES, form.body, *_columns(form.pieces, 2))
        number = await self._db.fetchval(sql.FORM, seq, form.body, *form.row)
        taken = await self._db.execute(sql.TAKE_FORM, number, seq, list(form.recipients))
        if taken == "UPDATE 0":  # a command ended them while the attempt was under way: nobody would ever send it
            await self._db.execute(sql.FORGET_FORM, seq, number)

    async def _end(self, over: dict[int, float], shared: set[int]) -> None:
        """Messages that may have lost their last open recipient: the content goes, the history stays."""
        if not over:
            return
        if shared:
            await self._db.execute(sql.ONE_BY_ONE, sorted(shared))
        for row in await self._db.fetch(sql.ENDED, list(over), list(over.values())):
            self._count(OCTETS, -row["size"])
            self._done.bodies.update((row["seq"], *(row["forms"] or ())))


def _fate_row(outcome: Outcome, fate: Fate) -> tuple[Any, ...]:
    what = (fate.state, fate.reason, fate.due, outcome.at, fate.counted, fate.warned, fate.word)
    return (outcome.seq, fate.index, *what, outcome.by_operator, outcome.owner)


def _columns(rows: Any, width: int) -> list[list[Any]]:
    """Rows as one array a column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
