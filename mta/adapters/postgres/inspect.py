"""What a database can promise, and who works with it: for commands that look."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from mta.adapters.postgres.faults import storage_error
from mta.adapters.postgres.lane import Database, Lane
from mta.adapters.postgres.schema import migrate, migrations, version

_OLDEST = 13
_NODES = """
SELECT n.id, n.host, n.worker, n.version, n.digest, n.generation, extract(epoch FROM n.started)::float8 AS started,
       extract(epoch FROM n.expires - clock_timestamp())::float8 AS lease,
       (SELECT count(*) FROM work w WHERE w.owner = n.id) AS in_hand
FROM node n WHERE NOT n.dead ORDER BY n.host, n.worker, n.id
"""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node as the others see it. `lease` in seconds from now; below 0 it has passed."""

    id: int
    host: str
    worker: int
    version: str
    digest: str
    generation: int
    started: float  # epoch seconds
    lease: float
    in_hand: int  # recipients


async def nodes(dsn: str) -> list[NodeSeen]:
    """All that are not known to be dead. Raises StorageError."""
    lane = Lane(Database(dsn), 0)
    try:
        found = await lane.use(lambda db: db.fetch(_NODES))
        return [NodeSeen(**dict(row)) for row in found]
    except Exception as error:
        raise storage_error(error, "tell its nodes") from error
    finally:
        await lane.close()


async def bring_up_to_date(dsn: str) -> tuple[int, int]:
    """Make the tables what this version needs; the schema versions before and after. Raises StorageError."""
    lane = Lane(Database(dsn), 0)
    try:
        return await lane.use(migrate)
    except Exception as error:
        raise storage_error(error, "be brought up to date") from error
    finally:
        await lane.close()


async def doubts(dsn: str, copies: int) -> list[tuple[str, str]]:
    """What the database does not promise, each with what to do about it."""
    first, second = Lane(Database(dsn, patience=10.0), 0), Lane(Database(dsn, patience=10.0), 1)
    try:
        return await first.use(lambda db: _doubts(db, copies)) + await _pooled(first, second)
    except Exception as error:
        return [(f"the database cannot be asked: {error or type(error).__name__}", "no mail is taken while it is so")]
    finally:
        for lane in (first, second):
            await lane.close()


async def _doubts(db: asyncpg.Connection, copies: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    major = db.get_server_version().major
    if major < _OLDEST:
        found.append((f"PostgreSQL {major} is too old", f"version {_OLDEST} or later is needed"))
    known = await version(db)
    may = await db.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    if known < len(migrations()) and not may:
        hint = "let the owner of the database run `mta queue migrate`, or grant CREATE"
        found.append((f"the tables have schema {known} of {len(migrations())}, and this user may not make them", hint))
    if await db.fetchval("SHOW fsync") == "off":
        found.append(("fsync is off: a power cut loses mail that was answered 250", "set fsync = on"))
    if not await db.fetchval("SHOW synchronous_standby_names"):
        if copies > 1:
            hint = "set synchronous_standby_names = 'ANY 1 (...)', or `copies: 1`"
            found.append(("no standby is waited for, and `copies` demands 2 machines: no mail is taken", hint))
        else:
            hint = "synchronous_standby_names with `copies: 2` makes it two"
            found.append(("250 is durable on 1 machine: a failover loses what was not copied yet", hint))
    return found


async def _pooled(first: Lane, second: Lane) -> list[tuple[str, str]]:
    """Whether a pooler gives our connection to others between transactions: one holds a backend, the other asks."""
    holder, asker = await second.connection(), await first.connection()
    seen = {await asker.fetchval("SELECT pg_backend_pid()")}
    async with holder.transaction():
        await holder.fetchval("SELECT pg_backend_pid()")
        seen.add(await asker.fetchval("SELECT pg_backend_pid()"))
    if len(seen) == 1:
        return []
    return [("a pooler in transaction mode stands between", "connect directly, or in session mode")]
