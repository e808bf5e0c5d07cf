"""What was seen before: proofs and requests that may be used once."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST = 200_000  # ids; the oldest go first, which only a flood brings about


@dataclass(slots=True)
class ReplayCache:
    """Remembers ids until their time is over. For one process."""

    _until: dict[str, float] = field(default_factory=dict)
    _swept: float = 0.0

    def first_time(self, id: str, until: float, now: float) -> bool:
        """Whether the id was never seen; from now on it was, up to epoch second `until`."""
        if self._until.get(id, 0.0) > now:
            return False
        if now - self._swept > 30.0 or len(self._until) >= MOST:
            self._sweep(now)
        self._until[id] = until
        return True

    def _sweep(self, now: float) -> None:
        self._swept = now
        self._until = {id: until for id, until in self._until.items() if until > now}
        while len(self._until) >= MOST:
            del self._until[next(iter(self._until))]
