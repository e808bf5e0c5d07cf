"""An administrator's command on many messages, recipients that wait, and forgetting what is old: windows of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from mta.adapters.postgres import statements as sql
from mta.adapters.postgres.group import OCTETS
from mta.adapters.postgres.queries import Conditions, Use
from mta.adapters.postgres.rows import plain
from mta.adapters.queue_rows import to_json
from mta.model.lifecycle import FINAL, QUEUED
from mta.model.word import Word
from mta.ports import Postponement, QueueCommand, WaitingRecipient

MESSAGES = 256  # of a window
ASIDE = -2  # the lane of counters that these change
_NEVER = 1e11  # epoch seconds: a time beyond it is damage, not a schedule

_WAITING = f"""
SELECT w.seq, w.idx, w.due, w.connector, w.address, w.attempts, w.warned, m.received, m.sender = '' AS null_sender,
       strpos(m.envelope, '"tls":') = 0 AND w.word <> '{Word.RETURNED}' AS plain
FROM (SELECT * FROM work WHERE {sql.IS_DUE} AND due <= $1 AND generation <= $3 ORDER BY due, seq, idx LIMIT $2) w
JOIN message m ON m.seq = w.seq ORDER BY w.due, w.seq, w.idx
"""  # noqa: S608
_POSTPONE = f"""
UPDATE work w SET due = i.due, reason = i.reason, word = i.word, attempts = w.attempts + 1
FROM unnest($1::bigint[], $2::int[], $3::float8[], $4::float8[], $5::text[], $6::text[])
     i (seq, idx, was, due, reason, word)
WHERE w.seq = i.seq AND w.idx = i.idx AND w.{sql.IS_DUE} AND w.due = i.was
"""  # noqa: S608
_TOO_FAR = f"state = '{QUEUED}' AND due > $1 AND due < $3 AND (attempts > 0 OR due > $2)"
_WINDOW = """
SELECT m.seq FROM message m WHERE m.seq > $1 AND m.seq <= $2
AND EXISTS (SELECT 1 FROM work r WHERE r.seq = m.seq AND r.state = ANY($4::text[]) AND {recipient}) AND {message}
ORDER BY m.seq LIMIT $3
"""
_LOCKED = "SELECT seq, idx, state, owner FROM work r WHERE seq = ANY($1::bigint[]) AND state = ANY($2::text[]) AND {} "
_CHANGE = """
UPDATE work r SET state = $3, reason = CASE WHEN $4 THEN $5 ELSE r.reason END,
  word = CASE WHEN $4 THEN $8 ELSE r.word END,
  attempts = r.attempts - ($6 AND r.attempts > 0 AND r.due > $7)::int, due = $7
FROM unnest($1::bigint[], $2::int[]) i (seq, idx) WHERE r.seq = i.seq AND r.idx = i.idx
"""
_END = """
WITH gone AS (
  DELETE FROM work w USING unnest($1::bigint[], $2::int[]) i (seq, idx) WHERE w.seq = i.seq AND w.idx = i.idx
  RETURNING w.*
)
INSERT INTO fate (seq, idx, state, at, due, attempts, warned, form, connector, address, reason, word, owner)
SELECT seq, idx, $3, $7, $7, attempts - ($6 AND attempts > 0 AND due > $7)::int, warned, form, connector, address,
       CASE WHEN $4 THEN $5 ELSE reason END, CASE WHEN $4 THEN $8 ELSE word END, owner FROM gone
"""
_OLD = """
SELECT seq FROM ended e WHERE at < $1 AND NOT EXISTS
  (SELECT 1 FROM fate f JOIN node n ON n.id = f.owner AND NOT n.dead WHERE f.seq = e.seq)
ORDER BY at LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class Window:
    """What one step has changed, and after which message to go on; None: that was all."""

    changed: list[str]
    after: int | None


async def count(db: asyncpg.Connection, node: int, changes: dict[str, int]) -> None:
    """Note changes of counters."""
    changed = {name: change for name, change in changes.items() if change}
    if changed:
        await db.execute(sql.COUNT, node, ASIDE, list(changed), list(changed.values()))


async def windows(use: Use, node: int, command: QueueCommand) -> AsyncIterator[list[str]]:
    """Carry a command out to its end; the ids that each window has changed, once that is durable."""
    until = await use(lambda db: db.fetchval("SELECT coalesce(max(seq), 0) FROM message"), "look for messages")
    after: int | None = -1
    left = command.which.limit
    while after is not None and left > 0:

        async def step(
            db: asyncpg.Connection, after: int = after, limit: int = min(left, MESSAGES, command.step)
        ) -> Window:
            async with db.transaction():
                return await _step(db, node, command, (after, until, limit))

        window = await use(step, "carry out a command")
        after, left = window.after, left - len(window.changed)
        yield window.changed


async def _step(db: asyncpg.Connection, node: int, command: QueueCommand, where: tuple[int, int, int]) -> Window:
    after, until, limit = where
    given = Conditions(5)
    recipient = " AND ".join(given.of_recipient(command.which)) or "true"
    statement = _WINDOW.format(recipient=recipient, message=given.of_message(command.which))
    meant = list(command.meant)
    found = [row["seq"] for row in await db.fetch(statement, after, until, limit, meant, *given.values)]
    if not found:
        return Window([], None)
    following = found[-1] if len(found) == limit else None
    return Window(await _carry_out(db, node, command, found), following)


async def _carry_out(db: asyncpg.Connection, node: int, command: QueueCommand, seqs: list[int]) -> list[str]:
    given = Conditions(3)
    where = " AND ".join(given.of_recipient(command.which)) or "true"
    statement = _LOCKED.format(where) + "ORDER BY seq, idx FOR UPDATE"
    rows = await db.fetch(statement, seqs, list(command.meant), *given.values)
    affected: dict[int, list[int]] = {}
    changes: dict[str, int] = {}
    for row in rows:
        affected.setdefault(row["seq"], []).append(row["idx"])
        changes[row["state"]] = changes.get(row["state"], 0) - 1
    changes[command.state] = changes.get(command.state, 0) + len(rows)
    keys = ([row["seq"] for row in rows], [row["idx"] for row in rows])
    what = (command.state, bool(command.reason), plain(command.reason), command.asked, float(command.at), command.word)
    await db.execute(_END if command.state in FINAL else _CHANGE, *keys, *what)
    await _note(db, command, affected)
    if command.state in FINAL:
        await db.execute(sql.ONE_BY_ONE, sorted(affected))
        over = await db.fetch(sql.ENDED, list(affected), [float(command.at)] * len(affected))
        changes[OCTETS] = -sum(row["size"] for row in over)
    await count(db, node, changes)
    ids = await db.fetch("SELECT id FROM message WHERE seq = ANY($1::bigint[]) ORDER BY seq", list(affected))
    return [row["id"] for row in ids]


async def _note(db: asyncpg.Connection, command: QueueCommand, affected: dict[int, list[int]]) -> None:
    detail = to_json({"by": "administrator", "note": command.note})
    rows = [(seq, float(command.at), command.event, to_json(places), detail) for seq, places in affected.items()]
    if rows:
        await db.execute(sql.EVENTS, *(list(column) for column in zip(*rows, strict=True)))


async def waiting(db: asyncpg.Connection, now: float, limit: int, generation: int) -> list[WaitingRecipient]:
    """Due recipients that nobody has claimed, earliest first."""
    return [_waiting(row) for row in await db.fetch(_WAITING, now, limit, generation)]


def _waiting(row: Any) -> WaitingRecipient:
    return WaitingRecipient(
        place=(row["seq"], row["idx"]),
        due=row["due"],
        connector=row["connector"],
        domain=row["address"].partition("@")[0],
        attempts=row["attempts"],
        warned=row["warned"],
        received=row["received"],
        null_sender=row["null_sender"],
        plain=row["plain"],
    )


async def postpone(db: asyncpg.Connection, postponements: Sequence[Postponement]) -> None:
    """Put recipients off that nobody has changed since they were looked at."""
    rows = sorted(
        (*each.waiting.place, each.waiting.due, each.due, plain(each.reason), plain(each.word))
        for each in postponements
    )
    if rows:
        await db.execute(_POSTPONE, *(list(column) for column in zip(*rows, strict=True)))


async def hasten(db: asyncpg.Connection, now: float, latest: float, of_new: float) -> int:
    """Make due now who is due later than can be; how many."""
    far = f"FROM work WHERE {sql.IS_DUE} AND {_TOO_FAR}"
    if not await db.fetchval(f"SELECT EXISTS (SELECT 1 {far})", latest, of_new, _NEVER):
        return 0
    told = await db.execute(f"UPDATE work SET due = $4 WHERE {sql.IS_DUE} AND {_TOO_FAR}", latest, of_new, _NEVER, now)  # noqa: S608
    return int(told.rpartition(" ")[2])


async def purge(db: asyncpg.Connection, node: int, before: float, limit: int) -> int:
    """Forget up to `limit` messages that ended before `before`: none that somebody is still delivering."""
    async with db.transaction():
        old = [row["seq"] for row in await db.fetch(_OLD + " FOR UPDATE SKIP LOCKED", before, limit)]
        if not old:
            return 0
        rows = await db.fetch("DELETE FROM fate WHERE seq = ANY($1::bigint[]) RETURNING state", old)
        for table in ("event", "ended", "message"):
            await db.execute(f"DELETE FROM {table} WHERE seq = ANY($1::bigint[])", old)  # noqa: S608
        changes: dict[str, int] = {}
        for row in rows:
            changes[row["state"]] = changes.get(row["state"], 0) - 1
        await count(db, node, changes)
    return len(old)
