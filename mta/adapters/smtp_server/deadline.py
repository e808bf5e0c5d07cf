"""How long a client has: one timer for a connection, moved lazily and not once a command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `expired` once the time that was last set has passed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """From now on. The timer stays where it is unless it would ring too late."""
        self._at = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._at:
            self.stop()
            self._timer = self._loop.call_at(self._at, self._ring)

    def then(self, seconds: float, act: Callable[[], None]) -> None:
        """Whatever was set before: after these seconds `act` is called, and that is the last."""
        self.stop()
        self._timer = self._loop.call_later(seconds, act)

    def clear(self) -> None:
        """There is none until one is set."""
        self._at = None

    def stop(self) -> None:
        """The timer goes, too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """Nothing will expire any more; whoever was to be called is let go of, so that no circle keeps it."""
        self.stop()
        self._at = None
        self._expired = _nothing

    def _ring(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._ring)
            return
        self._expired()


def _nothing() -> None:
    """What happens at the end of a time that nobody waits for."""
