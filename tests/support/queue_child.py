"""A process that fills and empties a queue as fast as it can and says what was acknowledged, until it is killed.

Called with the folder, the name of the round, the number of sessions and how many messages each sends. Lines on
standard output: `E id` once enqueue returned, `S id` once settle returned (with the notice `n-id`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from random import Random

from mta.adapters.sqlite import SqliteQueueStore, open_shard
from mta.ports import RecipientFate
from tests.support.mail import queued, settlement

LARGE = 300_000


def body_of(id_: str) -> bytes:
    """The content that belongs to an id; every fifth is large."""
    random = Random(id_)
    return b"Subject: %s\r\n\r\n" % id_.encode() + random.randbytes(LARGE if is_large(id_) else random.randrange(9000))


def is_large(id_: str) -> bool:
    """Whether the message travels by a spool file."""
    return int(id_.rpartition("-")[2]) % 5 == 4


def is_settled(id_: str) -> bool:
    """Whether the child settles it."""
    return int(id_.rpartition("-")[2]) % 3 != 1


async def enqueue(store: SqliteQueueStore, id_: str) -> None:
    body = body_of(id_)
    message = queued(id_, body=body)
    if is_large(id_):
        spool = store.spool()
        for start in range(0, len(body), 65_536):
            await spool.write(body[start : start + 65_536])
        message = queued(id_, content=spool.content(body[:20]))
    await store.enqueue(message, claim=True)
    os.write(1, f"E {id_}\n".encode())


async def session(store: SqliteQueueStore, name: str, messages: int) -> None:
    for number in range(messages):
        id_ = f"{name}-{number}"
        store.expect(1)
        await enqueue(store, id_)
        store.expect(-1)
        if is_settled(id_):
            fate = RecipientFate(0, "failed", "550 no")
            await store.settle(settlement(id_, fate, notices=(queued(f"n-{id_}", body=body_of(id_)[:50]),)))
            os.write(1, f"S {id_}\n".encode())


async def main(folder: Path, round_: str, sessions: int, messages: int) -> None:
    store = open_shard(folder, loop=asyncio.get_running_loop())
    os.write(1, b"O\n")
    await asyncio.gather(*(session(store, f"{round_}-{name}", messages) for name in range(sessions)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
