"""The tables of the shared queue, brought up to date step by step by whichever node comes first."""

from __future__ import annotations

from importlib.resources import files

import asyncpg

from mta.errors import SchemaTooNew, StorageError

_ONE_AT_A_TIME = 0x6D746171  # "mtaq": the advisory lock of who migrates
_OLDEST_SERVER = 130_000  # server_version_num


def migrations() -> tuple[str, ...]:
    """The SQL of every step, in order; step n makes schema version n (from 1)."""
    folder = files("mta.adapters.postgres.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text("utf-8") for name in names)


async def version(db: asyncpg.Connection) -> int:
    """Of the tables that are there; 0: none are."""
    if await db.fetchval("SELECT to_regclass('meta')") is None:
        return 0
    return int(await db.fetchval("SELECT schema FROM meta"))


async def migrate(db: asyncpg.Connection) -> tuple[int, int]:
    """Make the tables what this version needs; the versions before and after. Raises SchemaTooNew.

    `schema_min` is the oldest version whose nodes can still work with the tables: a step that takes something away
    raises it, a version after the step that had put the new thing beside the old one.
    """
    if (found := int(db.get_server_version().major) * 10_000) < _OLDEST_SERVER:
        raise StorageError(f"the queue needs PostgreSQL 13 or later, this one is {found // 10_000}")
    if await version(db) == len(migrations()):
        return len(migrations()), len(migrations())
    async with db.transaction():
        await db.execute("SET LOCAL lock_timeout = '10s'")
        await db.execute("SELECT pg_advisory_xact_lock($1)", _ONE_AT_A_TIME)
        before = await version(db)
        steps = migrations()
        if before == 0:
            await db.execute("CREATE TABLE meta (schema int NOT NULL, schema_min int NOT NULL, queue text NOT NULL)")
            await db.execute("INSERT INTO meta VALUES (0, 1, md5(random()::text || clock_timestamp()::text))")
        await _may_work(db, len(steps))
        for step in steps[before:]:
            await db.execute(step)
        if before < len(steps):
            await db.execute("UPDATE meta SET schema = $1", len(steps))
    return before, max(before, len(steps))


async def _may_work(db: asyncpg.Connection, known: int) -> None:
    least = int(await db.fetchval("SELECT schema_min FROM meta"))
    if least > known:
        raise SchemaTooNew(
            f"the tables of the queue need a version of mta that knows schema {least}, this one knows up to {known}; "
            "start the later version"
        )
