"""Seals, opens and shreds until it is killed; says on standard output what it was told is done.

    python -m tests.support.vault_loop FOLDER

Each line is one act that is over: `sealed ID HEX`, `opened ID ENTRY`, `shredded ID`. HEX is the container.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mta.vault.grants import shred
from tests.support.vault import BOB, World, editor, vault_world


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def work(world: World, lane: int) -> None:
    for number in range(10_000):
        item = await world.seal(b"%d/%d" % (lane, number))
        say("sealed", item.id, world.containers[item.id].hex())
        opened = await world.key(item, BOB)
        say("opened", item.id, opened.entry)
        if number % 2:
            await shred(world.vault, item, editor())
            say("shredded", item.id)


async def main(folder: Path) -> None:
    async with vault_world(folder) as world:
        say("ready")
        await asyncio.gather(*(work(world, lane) for lane in range(4)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
