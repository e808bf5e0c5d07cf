"""What this process has in hand, as which incarnation; and from where it looks for more."""

from __future__ import annotations

from dataclasses import dataclass

_OVERLAP = 5.0  # seconds by which a look begins before the newest that was claimed
_WHOLE_EVERY = 30.0  # seconds (monotonic) between looks from the beginning


@dataclass(slots=True)
class Held:
    """A claimed message. `owner`: the incarnation it was claimed as."""

    seq: int
    owner: int
    places: set[int]


class Hand:
    """Claimed messages by id."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def take(self, identity: str, seq: int, owner: int, places: frozenset[int]) -> None:
        """These recipients are ours."""
        known = self._held.get(identity)
        if known is not None and known.owner == owner:
            known.places |= places
        else:
            self._held[identity] = Held(seq, owner, set(places))

    def find(self, identity: str) -> Held | None:
        """What is ours of a message."""
        return self._held.get(identity)

    def settled(self, identity: str, places: frozenset[int]) -> None:
        """These are done; with the last of them the claim ends."""
        held = self._held.get(identity)
        if held is not None:
            held.places -= places
            if not held.places:
                del self._held[identity]

    def drop(self, identity: str) -> Held | None:
        """Nobody here delivers it now."""
        return self._held.pop(identity, None)

    def of_others(self, owner: int) -> list[int]:
        """Messages whose attempts began as an incarnation that is dead: not claimed again before they have ended."""
        return [held.seq for held in self._held.values() if held.owner != owner]

    def numbers(self) -> set[int]:
        """Of all messages in hand."""
        return {held.seq for held in self._held.values()}


class Floor:
    """From which time on due recipients are looked for.

    Rows that others have claimed and deleted lie before it: while a long transaction keeps them from being cleared
    away, each look would step over all of them.
    """

    def __init__(self) -> None:
        self._at = float("-inf")
        self._whole = float("-inf")

    def start(self, now: float) -> float:
        """Where to begin at `now` (monotonic): from the beginning, now and then."""
        if now - self._whole >= _WHOLE_EVERY:
            self._whole, self._at = now, float("-inf")
        return self._at

    def claimed(self, due: float) -> None:
        """The newest that a look has found."""
        self._at = max(self._at, due - _OVERLAP)

    def lower(self, due: float) -> None:
        """Something is due as early as that."""
        self._at = min(self._at, due)

    def forget(self) -> None:
        """Look from the beginning."""
        self._at = float("-inf")
