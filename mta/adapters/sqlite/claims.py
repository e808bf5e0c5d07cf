"""Who is being delivered now, and the numbers that messages are known by.

Claims live in memory alone: with the process that held them its attempts have ended, too. They are kept by a
message's number (`seq`), which is given once and never again (`Numbers`): a settlement that comes late, after the
message was deleted and forgotten, finds nobody else under it.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

_AGAIN_AFTER = (
    0.5,
    5.0,
    30.0,
)  # seconds until a content that the disk did not give is asked for again; then it is held
_HIGHEST = (
    "SELECT max(value) FROM (SELECT value FROM mark WHERE name = 'seq' UNION ALL SELECT max(seq) FROM message"
    " UNION ALL SELECT max(seq) FROM content UNION ALL SELECT max(message) FROM recipient"
    " UNION ALL SELECT max(message) FROM form UNION ALL SELECT max(message) FROM event) WHERE value < 1 << 60"
)


class Numbers:
    """Gives each new message its number. Rows whose message is gone, as damage leaves them, keep theirs."""

    def __init__(self, db: apsw.Connection) -> None:
        self.last = int(db.execute(_HIGHEST).get or 0)

    def next(self) -> int:
        """A number that nothing ever had."""
        self.last += 1
        return self.last


@dataclass(slots=True)
class _Doubt:
    """A message whose content the disk did not give: how often, and when it is asked again (epoch seconds)."""

    id: str
    times: int = 0
    again: float | None = None  # None: it is being asked, or waits to be claimed


class Claims:
    """Which recipients of which messages somebody has taken to deliver."""

    def __init__(self) -> None:
        self.places: dict[int, set[int]] = {}  # number -> places of claimed recipients
        self._numbers: dict[str, int] = {}  # of claimed messages
        self._doubts: dict[int, _Doubt] = {}

    def grant(self, message_id: str, seq: int, indices: frozenset[int]) -> None:
        """These recipients are somebody's from now on."""
        self.places.setdefault(seq, set()).update(indices)
        self._numbers[message_id] = seq

    def number(self, message_id: str) -> int | None:
        """The number of a claimed message."""
        return self._numbers.get(message_id)

    def settled(self, message_id: str, seq: int, indices: frozenset[int]) -> None:
        """These are done; with the last of them the claim ends."""
        claimed = self.places.get(seq)
        if claimed is not None:
            claimed.difference_update(indices)
            if not claimed:
                self.release(message_id)

    def release(self, message_id: str) -> None:
        """Nobody delivers it now."""
        seq = self._numbers.pop(message_id, None)
        if seq is not None:
            self.places.pop(seq, None)

    # --- contents that could not be read -------------------------------------------------------------------------

    def put_off(self, message_id: str, now: float) -> bool:
        """Keep a claimed message that could not be read for a while; False: that was done often enough."""
        seq = self._numbers.get(message_id)
        if seq is None:
            return True  # whoever claimed it gave it back
        doubt = self._doubts.setdefault(seq, _Doubt(message_id))
        if doubt.times >= len(_AGAIN_AFTER):
            del self._doubts[seq]
            return False
        doubt.again = now + _AGAIN_AFTER[doubt.times]
        doubt.times += 1
        return True

    def ask_again(self, now: float) -> None:
        """Let those be claimed that were put off until now, or by a clock that was set back since."""
        for doubt in self._doubts.values():
            if doubt.again is not None and not now < doubt.again <= now + _AGAIN_AFTER[-1]:
                doubt.again = None
                self.release(doubt.id)

    def sound(self, seq: int) -> None:
        """It could be read."""
        self._doubts.pop(seq, None)

    def next_doubt(self) -> float | None:
        """When the next one that was put off may be claimed."""
        return min((doubt.again for doubt in self._doubts.values() if doubt.again is not None), default=None)
