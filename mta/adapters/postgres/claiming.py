"""What a store gives away: due messages, under claims that it knows and gates before the final dot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import asyncpg

from mta.adapters.postgres import queries
from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.bodies import Bodies
from mta.adapters.postgres.claims import Hand
from mta.adapters.postgres.lease import boottime
from mta.adapters.postgres.looking import Looking
from mta.adapters.postgres.node import Tell
from mta.adapters.postgres.rows import recipient_in
from mta.model.lifecycle import HELD
from mta.model.message import QueuedMessage, RecipientState
from mta.model.word import Word
from mta.observe import events
from mta.ports import Event, RecipientFate, Settlement

_RECONCILE = "UPDATE work SET owner = NULL WHERE owner = $1 AND epoch > 0 AND NOT seq = ANY($2::bigint[])"


class Claiming(Looking):
    """The half of a store that delivers."""

    _hand: Hand
    _bodies: Bodies
    _released: dict[int, int]  # message -> incarnation, to be given back
    _in_doubt: bool  # a claim was lost on its way: rows may be ours without our knowing
    _tell: Tell

    async def settle(self, settlement: Settlement) -> None:
        """Of the store."""
        raise NotImplementedError

    def gate(self, message_id: str) -> Callable[[], bool]:
        """Asked before the final dot of a claimed message: whether its claim can still be trusted."""
        held = self._hand.find(message_id)
        return partial(self._may_send, held.owner if held else 0)

    def _may_send(self, owner: int) -> bool:
        return owner == self._lease.id and self._lease.held

    async def claim(self, now: float, limit: int) -> list[QueuedMessage]:
        """Due messages, earliest first; `states` holds only the due recipients. Damaged ones are held instead."""
        if limit <= 0 or not self._lease.held:
            return []
        work = asyncio.ensure_future(self._claim(now, limit))
        try:
            return await asyncio.shield(work)
        except BaseException:
            work.add_done_callback(self._claim_abandoned)
            raise

    async def _claim(self, now: float, limit: int) -> list[QueuedMessage]:
        self._in_doubt, doubt = True, self._in_doubt
        found = await self._read.use(partial(self._look, now=now, limit=limit, doubt=doubt), "look for due messages")
        self._in_doubt = False
        whole = []
        for one in found:
            if isinstance(one, queries.Damaged):
                await self._quarantine(one, now)
            else:
                whole.append(one)
        return whole

    async def _look(
        self, db: asyncpg.Connection, now: float, limit: int, doubt: bool
    ) -> list[QueuedMessage | queries.Damaged]:
        await self._give_back(db)
        owner = self._lease.id
        if doubt:
            await db.execute(_RECONCILE, owner, sorted(self._hand.numbers()))
        floor, generation = self._floor.start(boottime()), self._lease.identity.generation
        rows = await db.fetch(sql.CLAIM, owner, now, floor, limit, generation, self._hand.of_others(owner))
        states: dict[int, list[RecipientState]] = {}
        for row in sorted(rows, key=lambda row: (row["due"], row["seq"], row["idx"])):
            states.setdefault(row["seq"], []).append(recipient_in(row))
            self._floor.claimed(row["due"])
        if not states:
            return []
        found = await queries.load_claimed(db, states, self._bodies.fetch)
        for seq, one in zip(states, found, strict=True):
            message = one.shown if isinstance(one, queries.Damaged) else one
            self._hand.take(message.id, seq, owner, frozenset(state.index for state in states[seq]))
        return found

    async def _quarantine(self, damaged: queries.Damaged, now: float) -> None:
        message = damaged.shown
        why = f"{Word.DAMAGED}: {damaged}; held, nothing of it was sent"
        self._tell(events.SHARD_ALARM, alarm=f"message {message.id} of the shared queue is {why}")
        fates = tuple(
            RecipientFate(state.index, HELD, why, counted=False, word=Word.DAMAGED) for state in message.states
        )
        event = Event(now, events.MESSAGE_QUARANTINED, {"reason": str(damaged)})
        await self.settle(Settlement(message.id, now, fates, (event,)))

    def _claim_abandoned(self, work: asyncio.Future[list[QueuedMessage]]) -> None:
        if not work.cancelled() and work.exception() is None:
            for message in work.result():
                self._release(message.id)

    async def release_claim(self, message_id: str) -> None:
        """Give a claim back untouched."""
        self._release(message_id)

    def _release(self, message_id: str) -> None:
        if held := self._hand.drop(message_id):
            self._released[held.seq] = held.owner
            self._floor.forget()

    async def _give_back(self, db: asyncpg.Connection) -> None:
        """Write down what was released meanwhile."""
        if not self._released:
            return
        released = dict(self._released)
        for owner in set(released.values()):
            await db.execute(sql.RELEASE, [seq for seq, each in released.items() if each == owner], owner)
        for seq in released:
            self._released.pop(seq, None)
