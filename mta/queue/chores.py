"""What a worker does again and again beside its mail: each chore at its own pace, none ever stops the others.

app/worker.py lists them. A chore that is everybody's (a report of all workers, a look at the files) is done by the
first worker alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mta.errors import MtaError
from mta.observe import events
from mta.observe.log import EventLog


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
