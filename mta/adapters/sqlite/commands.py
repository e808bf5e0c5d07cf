"""An administrator's command on many messages: a window of them in one transaction, by a few statements.

No message is read for it, only its rows: a damaged one is held or deleted like any other.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from mta.adapters.queue_rows import plain, to_json
from mta.adapters.sqlite import changes, queries
from mta.adapters.sqlite.conditions import WINDOW, conditions, narrowest, recipients_meant
from mta.adapters.sqlite.work import Work
from mta.adapters.sqlite.writer import Writer
from mta.model.lifecycle import FINAL
from mta.ports import QueueCommand, QueueFilter

MESSAGES = 256  # of a window: mail that arrives meanwhile waits some milliseconds
RECIPIENTS = 2048  # of a window of several messages

_THESE = "(SELECT value FROM json_each(?))"
_INSERT_EVENT = "INSERT INTO event (message, at, name, recipients, detail) VALUES (?, ?, ?, ?, ?)"
_IDS = f"SELECT CAST(id AS BLOB) FROM message WHERE seq IN {_THESE} ORDER BY seq"  # noqa: S608
_SIZES = f"SELECT message, count(*) FROM recipient WHERE message IN {_THESE} GROUP BY message ORDER BY message"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Window:
    """What one step has changed, and after which `seq` to go on; None: that was all."""

    changed: list[str]
    after: int | None


async def windows(writer: Writer, command: QueueCommand) -> AsyncIterator[list[str]]:
    """Carry a command out to its end; the ids that each window has changed, once that is durable."""
    until: int = await writer.read(newest, "look for messages")
    after: int | None = -queries.FARTHEST
    left = command.which.limit
    while after is not None and left > 0:
        run = partial(_step, command=command, after=after, until=until, limit=left)
        window: Window = await writer.write(run, "carry out a command", urgent=False)
        after, left = window.after, left - len(window.changed)
        yield window.changed


def newest(work: Work) -> int:
    """The `seq` of the message that came last."""
    return int(work.db.execute("SELECT coalesce(max(seq), 0) FROM message").get)


def _step(work: Work, command: QueueCommand, after: int, until: int, limit: int) -> Window:
    """Carry a command out on the next up to `limit` messages after `after`, up to `until`."""
    seqs, following = following_messages(work, command.which, (after, until), min(limit, MESSAGES, command.step))
    few = _bounded(work, seqs)
    if len(few) < len(seqs):
        following = few[-1]
    return Window(_carry_out(work, command, few), following)


def following_messages(
    work: Work, which: QueueFilter, between: tuple[int, int], limit: int
) -> tuple[list[int], int | None]:
    """The next undelivered messages that the filter finds, and where to go on."""
    given = conditions(which)
    where = " AND ".join(condition.sql for condition in given) or "1"
    values = tuple(value for condition in given for value in condition.values)
    narrow = narrowest(work, given)
    if narrow:
        sql = (
            f"SELECT seq FROM message m WHERE seq IN ({narrow.driver}) AND seq > ? AND seq <= ?"  # noqa: S608
            f" AND +m.ended IS NULL AND {where} ORDER BY seq LIMIT ?"
        )
        seqs = [seq for (seq,) in work.db.execute(sql, (*narrow.values, *between, *values, limit))]
        return seqs, seqs[-1] if len(seqs) == limit else None
    window = (
        "SELECT seq, id, sender, received, size FROM message"
        " WHERE ended IS NULL AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
    )
    sql = f"SELECT seq, {where} FROM ({window}) m ORDER BY seq"  # noqa: S608
    looked: list[Any] = work.db.execute(sql, (*values, *between, WINDOW)).fetchall()
    seqs = [seq for seq, wanted in looked if wanted]
    if len(seqs) > limit:
        return seqs[:limit], seqs[limit - 1]
    return seqs, looked[-1][0] if len(looked) == WINDOW else None


def _bounded(work: Work, seqs: list[int]) -> list[int]:
    """As many of the messages as have not too many recipients in all; one at the least."""
    total, few = 0, seqs[:1]
    for seq, number in work.db.execute(_SIZES, (json.dumps(seqs),)):
        total += number
        if total > RECIPIENTS:
            return few
        if seq != seqs[0]:
            few.append(seq)
    return few


def _carry_out(work: Work, command: QueueCommand, seqs: list[int]) -> list[str]:
    given = recipients_meant(command.which)
    open_states = f"state IN ({', '.join('?' * len(command.meant))})"
    where = " AND ".join((f"message IN {_THESE}", open_states, *(condition.sql for condition in given)))
    values = (json.dumps(seqs), *command.meant, *(value for condition in given for value in condition.values))
    rows: list[Any] = work.db.execute(
        f"SELECT message, idx, state FROM recipient WHERE {where} ORDER BY message, idx",  # noqa: S608
        values,
    ).fetchall()
    affected: dict[int, list[int]] = {}
    for seq, index, state in rows:
        affected.setdefault(seq, []).append(index)
        work.count(state, -1)
    work.count(command.state, len(rows))
    _update(work, command, where, values)
    _note(work, command, affected)
    if command.state in FINAL:
        for seq in affected:
            changes.end(work, seq, command.at)
    ids = work.db.execute(_IDS, (json.dumps(list(affected)),))
    return [name.decode("utf-8", "backslashreplace") for (name,) in ids]


def _update(work: Work, command: QueueCommand, where: str, values: tuple[object, ...]) -> None:
    """An attempt that is asked for takes the place of the one that was waited for, so the pause after it is no longer;

    asked for again before it was made (`due` has passed), it is the same one.
    """
    work.db.execute(
        "UPDATE recipient SET state = ?, reason = CASE WHEN ? THEN ? ELSE reason END,"  # noqa: S608
        " word = CASE WHEN ? THEN ? ELSE word END, attempts = attempts - (? AND attempts > 0 AND due > ?), due = ?"
        f" WHERE {where}",
        (
            *(command.state, bool(command.reason), plain(command.reason), bool(command.reason), command.word),
            *(command.asked, command.at, command.at),
            *values,
        ),
    )


def _note(work: Work, command: QueueCommand, affected: dict[int, list[int]]) -> None:
    detail = to_json({"by": "administrator", "note": command.note})
    rows = [(seq, command.at, command.event, to_json(indices), detail) for seq, indices in affected.items()]
    work.db.executemany(_INSERT_EVENT, rows)
