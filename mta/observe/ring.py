"""Events as they happen, for whoever looks on: a ring that forgets the oldest rather than hold up mail."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

Fields = dict[str, object]
_PEERS = ("client", "host", "address")  # fields that name who is at the other end


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events somebody wants to see; what is empty does not count, all else must hold."""

    connector: str = ""
    to: str = ""  # stands in a recipient's address
    ip: str = ""  # stands in the name or address of the client or host
    event: str = ""  # the beginning of its name

    def __call__(self, event: str, fields: Fields) -> bool:
        """Whether it is one of them."""
        return (
            event.startswith(self.event)
            and (not self.connector or fields.get("connector") == self.connector)
            and (not self.to or self.to in str(fields.get("to", "")).lower())
            and (not self.ip or any(self.ip in str(fields.get(name, "")) for name in _PEERS))
        )


class Ring:
    """The last events that somebody wants and has not taken yet. `dropped` counts what they were too slow for."""

    def __init__(self, wanted: Wanted, room: int = 2000) -> None:
        self.dropped = 0
        self._wanted = wanted
        self._events: deque[Fields] = deque(maxlen=room)

    def offer(self, now: float, level: str, event: str, fields: Fields) -> None:
        """One event is being logged; `fields` are without secrets."""
        if self._wanted(event, fields):
            self.dropped += len(self._events) == self._events.maxlen
            self._events.append({"time": round(now, 6), "level": level, "event": event, **fields})

    def take(self) -> tuple[list[Fields], int]:
        """What gathered, oldest first, and how many were dropped; both begin anew."""
        taken, dropped = list(self._events), self.dropped
        self._events.clear()
        self.dropped = 0
        return taken, dropped
