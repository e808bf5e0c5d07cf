"""What an attempt came to for some recipients, as the history tells it."""

from __future__ import annotations

from mta.model.evidence.attempt import Attempt
from mta.model.evidence.reading import Json, number, parts, text
from mta.model.frozen import frozen


@frozen
class Delivery:
    """The detail of an event `delivery.*`, `message.held` or `message.expired`; `next` in epoch seconds.

    `protection` are the JSON objects of what was done to copies: `smime.Protection` reads them.
    """

    connector: str = ""
    destination: str = ""
    reason: str = ""
    word: str = ""
    attempts: tuple[Attempt, ...] = ()
    protection: tuple[Json, ...] = ()
    next: float | None = None

    def to_json(self) -> dict[str, object]:
        """As it is kept, and shown by `mta trace --json`."""
        return {
            "connector": self.connector,
            "destination": self.destination,
            **({"word": self.word} if self.word else {}),
            "reason": self.reason,
            "attempts": [attempt.to_json() for attempt in self.attempts],
            **({"protection": list(self.protection)} if self.protection else {}),
            **({"next": self.next} if self.next is not None else {}),
        }

    @classmethod
    def from_json(cls, raw: Json) -> Delivery:
        """What `to_json` wrote; of any other event, what it has of that."""
        return cls(
            text(raw, "connector"),
            text(raw, "destination"),
            text(raw, "reason"),
            text(raw, "word"),
            tuple(map(Attempt.from_json, parts(raw, "attempts"))),
            parts(raw, "protection"),
            number(raw, "next") if "next" in raw else None,
        )
