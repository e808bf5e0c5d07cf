"""How old the oldest mail of each connector is, looked for beside the mail and not for every reader of the page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from mta.errors import StorageError
from mta.pipeline.site import Shard
from mta.ports import QueueFilter

_AGAIN = 10.0  # seconds until it is looked for again, at the least
_SHARE = 20  # and this many times as long as it took: a deep queue is not looked through all the time


class Oldest:
    """When the oldest recipient that waits was received, by connector; as of a moment ago."""

    def __init__(self) -> None:
        self._received: dict[str, float] = {}
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    async def ages(self, shards: Sequence[Shard], now: float) -> dict[str, float]:
        """Seconds by connector. Waits for the first look only; a later one goes on behind the answer."""
        first = self._task is None
        if (self._task is None or self._task.done()) and time.monotonic() >= self._next:
            self._task = asyncio.create_task(self._look(shards, now))
        if first and self._task:
            await asyncio.wait({self._task}, timeout=1.0)
        return {connector: max(0.0, now - received) for connector, received in self._received.items()}

    async def _look(self, shards: Sequence[Shard], now: float) -> None:
        begun, received = time.monotonic(), dict[str, float]()
        try:
            for shard in tuple(shards):
                async for window in shard.store.survey(QueueFilter(), now):
                    for group in window.groups:
                        received[group.connector] = min(group.oldest, received.get(group.connector, group.oldest))
            self._received = received
        except StorageError:
            pass  # the log has said so; what was known stays
        finally:
            self._next = time.monotonic() + max(_AGAIN, _SHARE * (time.monotonic() - begun))
