"""What a worker does again and again beside its mail: each chore at its own pace, none ever stops the others.

app/worker.py lists them. A chore that is everybody's (a report of all workers, a look at the files) is done by the
first worker alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from mta.errors import MtaError
from mta.observe import events
from mta.observe.log import EventLog, aside

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before what broke is begun again


@dataclass(frozen=True, slots=True)
class Chore:
    """One task. `every` is the pause between two runs, in seconds; the first one comes after the first pause.

    `at_once`: the first run comes without it. `alone`: of several workers only the first does it. `last`: once more
    when the worker stops.
    """

    name: str
    every: float
    run: Callable[[], Awaitable[None]]
    at_once: bool = False
    alone: bool = False
    last: bool = False


async def keep(name: str, run: Callable[[], Awaitable[None]], log: EventLog) -> None:
    """Run what never ends, until cancelled: every task of a worker is begun here and nowhere else.

    One that ends all the same, by a defect of ours, is logged and begun again after a pause, which doubles from
    `FIRST_PAUSE` to `LONGEST_PAUSE` as long as it does not live longer than that.
    """
    loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
    while True:
        begun = loop.time()
        try:
            await run()
            raise RuntimeError(f"{name} has ended, though it never should")
        except Exception as error:
            aside(log, name, partial(log.defect, name, error))
        if loop.time() - begun > LONGEST_PAUSE:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def repeat(chore: Chore, log: EventLog) -> None:
    """Do it until cancelled. Trouble is logged and tried again at the next turn."""
    if not chore.at_once:
        await asyncio.sleep(chore.every)
    while True:
        await once(chore, log)
        await asyncio.sleep(chore.every)


async def once(chore: Chore, log: EventLog) -> None:
    """Do it; trouble is logged."""
    try:
        await chore.run()
    except MtaError as error:
        log.warning(events.HOUSEKEEPING, chore=chore.name, error=str(error))
    except Exception as error:  # a defect must not end the chore for the rest of the worker's life
        log.defect(f"chore {chore.name}", error)
