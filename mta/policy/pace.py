"""How often somebody may do something: a sliding window for each name. Time is handed in."""

from __future__ import annotations

from collections import OrderedDict, deque

MOST_NAMES = 50_000  # that are remembered; the one that was quiet longest is forgotten first


class Pace:
    """At most `most` times in `window` seconds, for each name on its own."""

    def __init__(self, most: int, window: float) -> None:
        self._most, self._window = most, window
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, name: str, now: float) -> bool:
        """Whether it may happen once more; nothing is counted."""
        return len(self._recent(name, now)) < self._most

    def take(self, name: str, now: float) -> bool:
        """Whether it may happen once more; if so it is counted."""
        times = self._recent(name, now)
        if len(times) >= self._most:
            return False
        times.append(now)
        self._times[name] = times
        self._times.move_to_end(name)
        while len(self._times) > MOST_NAMES:
            self._times.popitem(last=False)
        return True

    def _recent(self, name: str, now: float) -> deque[float]:
        times = self._times.get(name, deque())
        while times and not now - self._window < times[0] <= now:  # a clock that was put back frees, too
            times.popleft()
        return times
