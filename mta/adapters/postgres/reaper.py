"""What one node at a time does for all: it declares dead whose lease has passed, and gives their mail to the others."""

from __future__ import annotations

import asyncpg

from mta.adapters.postgres.lease import Lease, boottime
from mta.adapters.postgres.rows import ORPHANED, number_at
from mta.adapters.postgres.statements import one_of
from mta.adapters.queue_rows import to_json
from mta.model.lease import CRASH_LOOP
from mta.model.lifecycle import HELD, OPEN, QUEUED
from mta.model.word import Word
from mta.observe import events

_OFFICE = """
INSERT INTO lease (name, holder, term, expires)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires,
  term = lease.term + (lease.holder <> excluded.holder)::int
WHERE lease.holder = excluded.holder OR lease.expires < clock_timestamp()
RETURNING term
"""
_BURY = (
    "UPDATE node SET dead = true WHERE NOT dead AND expires < clock_timestamp() - make_interval(secs => $1)"
    " RETURNING id"
)
_ORPHANS = f"""
SELECT seq, idx FROM work
WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM node WHERE NOT dead) AND state IN ({one_of(OPEN)})
LIMIT $1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_TAKE_OVER = f"""
WITH o AS MATERIALIZED ({_ORPHANS})
UPDATE work w SET owner = NULL, taken_over = w.taken_over + 1,
  due = greatest(w.due, extract(epoch FROM clock_timestamp()) + $2),
  state = CASE WHEN w.state = '{QUEUED}' AND w.taken_over + 1 >= $3 THEN '{HELD}' ELSE w.state END,
  reason = CASE WHEN w.state = '{QUEUED}' AND w.taken_over + 1 >= $3 THEN $4 ELSE w.reason END,
  word = CASE WHEN w.state = '{QUEUED}' AND w.taken_over + 1 >= $3 THEN '{Word.CRASH_LOOP}' ELSE w.word END
FROM o
WHERE w.seq = o.seq AND w.idx = o.idx
RETURNING w.seq, w.idx, w.state, w.taken_over
"""  # noqa: S608
_SLICE = 1000  # recipients taken over in one transaction
_KEPT = 86_400.0  # seconds that receipts are kept, and numbers of dead nodes
_REASON = f"{Word.CRASH_LOOP}: nodes that attempted it vanished {{}} times; look why, then release it"


async def hold_office(db: asyncpg.Connection, name: str, lease: Lease) -> bool:
    """Whether the office is ours, for one lease from now."""
    return await db.fetchval(_OFFICE, name, lease.id, lease.terms.ttl) is not None


async def reap(db: asyncpg.Connection, lease: Lease, *, look: bool) -> tuple[list[int], int]:
    """Bury the dead, and free what is theirs: the nodes, and how many recipients. `look`: also where nobody died now.

    Done only by who was connected for a whole lease, and holds the office.
    """
    if not lease.trust.may_bury(boottime()) or not await hold_office(db, "reaper", lease):
        return [], 0
    buried = [row["id"] for row in await db.fetch(_BURY, lease.terms.margin)]
    if not buried and not look:
        return [], 0
    freed = 0
    while some := await _take_over(db, lease):
        freed += some
    return buried, freed


async def _take_over(db: asyncpg.Connection, lease: Lease) -> int:
    async with db.transaction():
        rows = await db.fetch(_TAKE_OVER, _SLICE, lease.terms.delay, CRASH_LOOP, _REASON.format(CRASH_LOOP))
        await _tell(db, rows)
        held = sum(row["state"] == HELD and row["taken_over"] == CRASH_LOOP for row in rows)
        if held:
            for name, change in ((QUEUED, -held), (HELD, held)):
                await db.execute(
                    "INSERT INTO counter VALUES ($1, -1, $2, $3)"
                    " ON CONFLICT (node, lane, name) DO UPDATE SET value = counter.value + excluded.value",
                    lease.id,
                    name,
                    change,
                )
    return len(rows)


async def _tell(db: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    """In each message's history: a node vanished during its attempt."""
    places: dict[int, list[int]] = {}
    for row in rows:
        places.setdefault(row["seq"], []).append(row["idx"])
    if places:
        await db.execute(
            "INSERT INTO event (seq, at, name, recipients, detail)"
            " SELECT seq, extract(epoch FROM clock_timestamp()), $3, recipients, '{}'"
            " FROM unnest($1::bigint[], $2::text[]) i (seq, recipients)",
            list(places),
            [to_json(sorted(each)) for each in places.values()],
            events.NODE_TAKEN_OVER,
        )


async def sweep(db: asyncpg.Connection, now: float) -> int:
    """Forget bodies that never became mail, old receipts and dead nodes' rows; how many pieces of bodies.

    Counters of the dead are added up under node 0.
    """
    await db.execute("DELETE FROM receipt WHERE id < $1", number_at(now - _KEPT))
    gone = await db.execute(
        "DELETE FROM content c WHERE body < $1 AND NOT EXISTS (SELECT 1 FROM message m WHERE m.seq = c.body)"
        " AND NOT EXISTS (SELECT 1 FROM form f WHERE f.body = c.body)",
        number_at(now - ORPHANED),
    )
    async with db.transaction():
        await db.execute(
            "WITH d AS (DELETE FROM counter WHERE node IN (SELECT id FROM node WHERE dead) RETURNING name, value)"
            " INSERT INTO counter SELECT 0, 0, name, sum(value) FROM d GROUP BY name"
            " ON CONFLICT (node, lane, name) DO UPDATE SET value = counter.value + excluded.value"
        )
    await db.execute(
        "DELETE FROM node WHERE dead AND expires < clock_timestamp() - make_interval(secs => $1)"
        " AND NOT EXISTS (SELECT 1 FROM work WHERE owner = node.id)",
        _KEPT,
    )
    return int(gone.rpartition(" ")[2])
