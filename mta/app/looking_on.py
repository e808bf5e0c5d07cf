"""`{"command": "tail"}`: events of this worker as they happen, until whoever asked goes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from mta.errors import UsageError
from mta.observe.log import EventLog
from mta.observe.ring import Ring, Wanted

_TURN = 0.2  # seconds between two looks: whoever looks on costs the mail five turns a second
_MOST = 16  # that look on at once


Handler = Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]


def or_look_on(log: EventLog, others: Handler) -> Handler:
    """Answer this command, and leave all `others` to whoever answers them."""

    def handle(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        return _look_on(log, request) if request.get("command") == "tail" else others(request)

    return handle


async def _look_on(log: EventLog, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Parts with events, oldest first, and how many were `dropped` because they came too fast. Raises UsageError."""
    if len(log.rings) >= _MOST:
        raise UsageError(f"tail: {_MOST} look on already")
    wanted = Wanted(*(str(request.get(name) or "") for name in ("connector", "to", "ip", "event")))
    ring = Ring(Wanted(wanted.connector, wanted.to.lower(), wanted.ip, wanted.event))
    log.rings = (*log.rings, ring)
    try:
        yield {"looking": 1}
        while True:
            await asyncio.sleep(_TURN)
            taken, dropped = ring.take()
            if taken or dropped:
                yield {"events": json.loads(json.dumps(taken, default=str)), "dropped": dropped}
    finally:
        log.rings = tuple(each for each in log.rings if each is not ring)
