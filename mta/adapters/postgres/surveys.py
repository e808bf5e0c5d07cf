"""Counting what waits, by the window: how many, whose, how old and why."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from mta.adapters.postgres.queries import Conditions, Use
from mta.ports import QueueFilter, QueueGroup, QueueSurvey
from mta.ports.queue import AGES

_WINDOW = 2000  # messages counted at once
_AGE = " + ".join(f"($2 - m.received >= {age})::int" for age in AGES)
_SEQS = """
SELECT m.seq FROM message m WHERE m.seq > $1 AND m.seq <= $2
AND EXISTS (SELECT 1 FROM work r WHERE r.seq = m.seq AND {recipient}) AND {message} ORDER BY m.seq LIMIT $3
"""
_GROUPS = f"""
SELECT r.connector, split_part(r.address, '@', 1) AS domain, r.state, {_AGE} AS age, count(*) AS recipients,
       min(m.received) AS oldest, min(r.due) AS due, max(r.attempts) AS attempts,
       (array_agg(r.reason ORDER BY r.attempts DESC))[1] AS reason
FROM work r JOIN message m ON m.seq = r.seq WHERE r.seq = ANY($1::bigint[]) AND {{}} GROUP BY 1, 2, 3, 4
"""  # noqa: S608


async def surveys(use: Use, which: QueueFilter, now: float) -> AsyncIterator[QueueSurvey]:
    """Window after window of all that waits and is meant."""
    until: int = await use(lambda db: db.fetchval("SELECT coalesce(max(seq), 0) FROM message"), "count what waits")
    after: int | None = -1
    while after is not None:

        async def look(db: asyncpg.Connection, after: int = after) -> tuple[QueueSurvey, int | None]:
            return await _window(db, which, (after, until), now)

        found, after = await use(look, "count what waits")
        yield found


async def _window(
    db: asyncpg.Connection, which: QueueFilter, between: tuple[int, int], now: float
) -> tuple[QueueSurvey, int | None]:
    given = Conditions(4)
    recipient = " AND ".join(given.of_recipient(which)) or "true"
    statement = _SEQS.format(recipient=recipient, message=given.of_message(which))
    seqs = [row["seq"] for row in await db.fetch(statement, *between, _WINDOW, *given.values)]
    meant = Conditions(3)
    statement = _GROUPS.format(" AND ".join(meant.of_recipient(which)) or "true")
    rows = await db.fetch(statement, seqs, float(now), *meant.values) if seqs else []
    return QueueSurvey(len(seqs), tuple(QueueGroup(**row) for row in rows)), seqs[-1] if len(seqs) == _WINDOW else None
