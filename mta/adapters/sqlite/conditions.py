"""What a person asks for (ports.QueueFilter) as conditions of SQL, and which of them an index answers."""

from __future__ import annotations

from dataclasses import dataclass

from mta.adapters.queue_rows import address_bounds, plain
from mta.adapters.sqlite.damage import HANDLE
from mta.adapters.sqlite.work import Work
from mta.ports import QueueFilter

WINDOW = 2000  # messages looked at in one go where no index answers, so that commits get in between


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition over `m` (message). `driver` selects the same messages by an index, where there is one."""

    sql: str
    values: tuple[object, ...]
    driver: str = ""


def conditions(which: QueueFilter) -> tuple[Condition, ...]:
    """Every condition that is set, all of which must hold."""
    parts: list[Condition] = []
    if which.id and (handle := HANDLE.match(which.id)):
        parts.append(Condition("seq = ?", (int(handle[1]),), "SELECT ?"))
    elif which.id:
        sql = "id >= ? AND id < ?"
        parts.append(Condition(sql, (which.id, which.id + "\U0010ffff"), f"SELECT seq FROM message WHERE {sql}"))  # noqa: S608
    if which.sender:
        sql, values = _address("sender", which.sender)
        parts.append(Condition(sql, values, f"SELECT seq FROM message WHERE {sql}"))  # noqa: S608
    for condition in recipients_meant(which):
        driver = f"SELECT message FROM recipient WHERE {condition.sql}" if condition.sql.startswith("address") else ""  # noqa: S608
        parts.append(Condition(_any_recipient(condition.sql), condition.values, driver))
    for sql, value in (
        ("received >= ?", which.since),
        ("received < ?", which.until),
        ("size >= ?", which.larger),
        ("size <= ?", which.smaller),
    ):
        if value:
            parts.append(Condition(sql, (value,)))
    return tuple(parts)


def _any_recipient(sql: str) -> str:
    return f"EXISTS (SELECT 1 FROM recipient WHERE message = m.seq AND {sql})"  # noqa: S608


def _address(column: str, text: str) -> tuple[str, tuple[object, ...]]:
    """`bob@x.example`, `x.example`, or `<>` for the null sender."""
    low, before = address_bounds(text)
    if before:
        return f"{column} >= ? AND {column} < ?", (low, before)
    return f"{column} = ?", (low,)


def narrowest(work: Work, given: tuple[Condition, ...]) -> Condition | None:
    """One whose index leaves so few messages that each can be judged in one step."""
    for condition in given:
        if condition.driver:
            sql = f"SELECT count(*) FROM ({condition.driver} LIMIT ?)"  # noqa: S608
            if work.db.execute(sql, (*condition.values, WINDOW + 1)).get <= WINDOW:
                return condition
    return None


def recipients_meant(which: QueueFilter) -> tuple[Condition, ...]:
    """What a recipient of a message must be, too, where the filter speaks of recipients."""
    parts: list[Condition] = []
    if which.recipient:
        parts.append(Condition(*_address("address", which.recipient)))
    if which.connector:
        parts.append(Condition("connector = ?", (plain(which.connector),)))
    if which.state:
        parts.append(Condition("state = ?", (plain(which.state),)))
    if which.reason:
        parts.append(Condition("instr(lower(reason), lower(?)) > 0", (plain(which.reason),)))
    if which.attempts:
        parts.append(Condition("attempts >= ?", (which.attempts,)))
    return tuple(parts)
