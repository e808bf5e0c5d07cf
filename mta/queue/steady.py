"""Whether the clock on the wall can be believed for what cannot be undone: forgetting what is old."""

from __future__ import annotations

from mta.ports import Clock

JUMP = 60.0  # seconds by which it may be set without being in doubt
DOUBT = 3600.0  # seconds (monotonic) until it is believed again


class SteadyClock:
    """Compares the clock on the wall with the one that never jumps, whenever it is asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()
        self._jumped = float("-inf")

    @property
    def steady(self) -> bool:
        """Whether it has not jumped for an hour: one that is a year ahead for a moment makes nothing old."""
        monotonic = self._clock.monotonic()
        offset = self._clock.now() - monotonic
        if abs(offset - self._offset) > JUMP:
            self._offset, self._jumped = offset, monotonic
        return monotonic - self._jumped >= DOUBT
