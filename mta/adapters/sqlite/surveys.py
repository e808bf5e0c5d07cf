"""Counting what waits, by the window: how many, whose, how old and why. Runs between two transactions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from mta.adapters.sqlite.commands import following_messages, newest
from mta.adapters.sqlite.conditions import WINDOW, recipients_meant
from mta.adapters.sqlite.queries import FARTHEST
from mta.adapters.sqlite.states import IS_OPEN
from mta.adapters.sqlite.work import Work
from mta.adapters.sqlite.writer import Writer
from mta.ports import QueueFilter, QueueGroup, QueueSurvey
from mta.ports.queue import AGES

_AGE = " + ".join([f"(?1 - m.received >= {age})" for age in AGES])
_DOMAIN = "CAST(substr(address, 1, instr(address, '@') - 1) AS BLOB)"
_LAST = "CAST(max(printf('%08d', r.attempts) || r.reason) AS BLOB)"  # the reason of the one most often tried
_GROUPS = (
    f"SELECT CAST(r.connector AS BLOB), {_DOMAIN}, r.state, {_AGE} AS age, count(*), min(m.received), min(r.due),"  # noqa: S608
    f" max(r.attempts), {_LAST} FROM recipient r JOIN message m ON m.seq = r.message"
    f" WHERE r.message IN (SELECT value FROM json_each(?2)) AND {IS_OPEN} AND {{}} GROUP BY 1, 2, 3, 4"
)

Found = tuple[QueueSurvey, int | None]


async def surveys(writer: Writer, which: QueueFilter, now: float) -> AsyncIterator[QueueSurvey]:
    """Window after window of all that waits and is meant."""
    until: int = await writer.read(newest, "count what waits")
    after: int | None = -FARTHEST
    while after is not None:
        run = partial(_window, which=which, between=(after, until), now=now)
        found: Found = await writer.read(run, "count what waits")
        yield found[0]
        after = found[1]


def _window(work: Work, which: QueueFilter, between: tuple[int, int], now: float) -> Found:
    seqs, following = following_messages(work, which, between, WINDOW)
    meant = recipients_meant(which)
    sql = _GROUPS.format(" AND ".join(f"({each.sql})" for each in meant) or "1")
    values = [value for each in meant for value in each.values]
    rows: list[Any] = work.db.execute(sql, (now, json.dumps(seqs), *values)).fetchall() if seqs else []
    return QueueSurvey(len(seqs), tuple(map(_group, rows))), following


def _group(row: Any) -> QueueGroup:
    connector, domain, state, age, recipients, oldest, due, attempts, reason = row
    return QueueGroup(_text(connector), _text(domain), state, age, recipients, oldest, due, attempts, _text(reason)[8:])


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
