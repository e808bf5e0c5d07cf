"""What is recorded: a process that uses a queue in one of six ways and says what was acknowledged.

Called with the name of the workload and the folder of the queue. Lines on standard output: `E id` once enqueue
returned, `S id` once its first recipient was settled (with the notice `n-id`, and a form for the other), `D id` once
the other one was, `O` once the queue was opened.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from random import Random

import apsw

from mta.adapters.sqlite import SqliteQueueStore, Tuning, open_shard
from mta.adapters.sqlite.schema import migrations
from mta.errors import StorageError
from mta.model.message import Content, NewForm
from mta.ports import RecipientFate
from tests.support.mail import NOW, queued, settlement

LARGE = 30_000  # a larger content becomes a file
TUNING = Tuning(largest_blob=LARGE, patience=0.002, reserve=0)
TUNINGS = {"checkpoint": Tuning(largest_blob=LARGE, patience=0.002, checkpoint_pages=6, reserve=0)}
OLD = tuple(f"migrate-{version}" for version in range(1, len(migrations())))
WORKLOADS = ("small", "large", "settle", "checkpoint", *OLD, "aside")
_TRIES = 3  # a client comes back where the disk was in trouble


def body_of(id_: str) -> bytes:
    """The content that belongs to an id, whatever stands before it."""
    random = Random(id_)
    size = 70_000 if "large" in id_ else random.randrange(200, 6000)
    return b"Subject: %s\r\n\r\n" % id_.encode() + random.randbytes(size)


def form_of(id_: str) -> bytes:
    """What was made of it for the second recipient: for every other one, a file."""
    return body_of(("large-form-" if id_.endswith(("1", "3")) else "form-") + id_)


def recipients_of(id_: str) -> tuple[str, ...]:
    """Two of its own for what is settled."""
    return (f"a.{id_}@contoso.example", f"b.{id_}@contoso.example")


def prepare(workload: str, folder: Path) -> None:
    """What is there before the recording begins."""
    if workload == "aside" or workload in OLD:
        asyncio.run(_filled(folder))
    if workload == "aside":
        with open(folder / "queue.db", "r+b") as file:  # a page in the middle: of rows, not of the schema
            file.seek(_page_to_damage(folder / "queue.db") * 4096)
            file.write(b"\x05" * 64)
    elif workload in OLD:
        _aged(folder / "queue.db", int(workload[-1]))
    if folder.exists():
        (folder / "lock").unlink()


async def _filled(folder: Path) -> None:
    store = open_shard(folder, loop=asyncio.get_running_loop(), tuning=TUNING)
    for number in range(4):
        await enqueue(store, f"before-{number}")
    await enqueue(store, "before-large-4")
    await store.close()


def _page_to_damage(path: Path) -> int:
    """The root of an index: the tables can be read on."""
    db = apsw.Connection(str(path))
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'recipient_address'").get
    db.close()
    return int(root) - 1


def _aged(path: Path, version: int) -> None:
    """The same queue as an earlier version of the schema has it."""
    old = apsw.Connection(str(path.with_name("old.db")))
    for step in migrations()[:version]:
        old.execute(step)
    for pragma in (f"PRAGMA user_version = {version}", "PRAGMA journal_mode = WAL", f"ATTACH '{path}' AS new"):
        old.execute(pragma).fetchall()
    for (table,) in old.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        columns, fresh = (
            [str(row[1]) for row in old.execute(f"PRAGMA {schema}.table_info({table})")] for schema in ("main", "new")
        )
        shared = ", ".join(name for name in columns if name in fresh)
        n = (
            (", n", ", row_number() OVER (PARTITION BY message ORDER BY id)")
            if table == "event" and "n" in columns
            else ("", "")
        )
        old.execute(f"INSERT INTO main.{table} ({shared}{n[0]}) SELECT {shared}{n[1]} FROM new.{table}")
    old.close()
    path.with_name("old.db").replace(path)


def say(kind: str, id_: str) -> None:
    os.write(1, f"{kind} {id_}\n".encode())


async def enqueue(store: SqliteQueueStore, id_: str) -> None:
    """As a session does: a large content by a spool. Raises StorageError if the disk is in trouble for long."""
    body, to = body_of(id_), recipients_of(id_)
    for left in reversed(range(_TRIES)):
        spool = store.spool()
        try:
            content = Content(len(body), data=body)
            if len(body) > LARGE:
                for start in range(0, len(body), 25_000):
                    await spool.write(body[start : start + 25_000])
                content = spool.content(body[:40])
            await store.enqueue(queued(id_, *to, content=content), claim=True)
            return
        except StorageError:
            await spool.discard()
            if not left:
                raise


async def settle(store: SqliteQueueStore, id_: str) -> None:
    """The first recipient fails and the sender is told; the second one's copy is made, and delivered later."""
    form = form_of(id_)
    await _insist(
        store,
        settlement(
            id_,
            RecipientFate(0, "failed", "550 no"),
            RecipientFate(1, "queued", "451 later", due=NOW + 1),
            notices=(queued(f"n-{id_}", f"n.{id_}@contoso.example", body=body_of(f"n-{id_}")),),
            forms=(NewForm((1,), Content(len(form), data=form), {}),),
        ),
    )
    say("S", id_)


async def _insist(store: SqliteQueueStore, change: object) -> None:
    for left in reversed(range(_TRIES)):
        try:
            await store.settle(change)  # type: ignore[arg-type]
            return
        except StorageError:
            if not left:
                raise


async def session(store: SqliteQueueStore, kind: str, messages: int, *, settles: bool) -> None:
    """One client after the other."""
    for number in range(messages):
        id_ = f"{kind}-{number}"
        store.expect(1)
        try:
            await enqueue(store, id_)
        finally:
            store.expect(-1)
        say("E", id_)
        if settles:
            await settle(store, id_)
            if number % 2:
                await _insist(store, settlement(id_, RecipientFate(1, "delivered", "250 ok")))
                say("D", id_)


SESSIONS = {
    "small": [("x", 6), ("y", 6), ("z", 6)],
    "large": [("large-x", 3), ("large-y", 3), ("x", 3)],
    "settle": [("x", 4), ("large-y", 3)],
    "checkpoint": [("x", 7), ("y", 6)],
    **{workload: [("x", 2)] for workload in OLD},
    "aside": [("x", 2)],
}


async def main(workload: str, folder: Path) -> None:
    store = open_shard(folder, loop=asyncio.get_running_loop(), tuning=TUNINGS.get(workload, TUNING))
    say("O", "")
    settles = workload in ("settle", "checkpoint")
    sessions = [session(store, kind, count, settles=settles) for kind, count in SESSIONS.get(workload, [])]
    await asyncio.gather(*sessions, return_exceptions=True)
    await store.close()


def renewed(folder: Path) -> Path:
    """An empty place."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
