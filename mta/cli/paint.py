"""Words for a terminal: colours where they are wanted, times and sizes as people read them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TextIO

from mta.observe.log import printable

_CODES = {"good": "32", "bad": "31", "warn": "33", "head": "1", "dim": "2", "name": "36"}
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Paint:
    """Wraps words in colour, or leaves them as they are; control characters never pass."""

    colour: bool = False

    def __call__(self, kind: str, text: object) -> str:
        """`text` in the colour for `kind` (good, bad, warn, head, dim, name)."""
        safe = printable(str(text))
        return f"\x1b[{_CODES[kind]}m{safe}\x1b[0m" if self.colour and safe else safe


def paint_for(stream: TextIO) -> Paint:
    """Colour on a terminal only, and not where NO_COLOR (no-color.org) asks for none."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paint(wanted and stream.isatty())


def duration(seconds: float) -> str:
    """At most two units: `3s`, `4m`, `2h5m`, `12d3h`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:
            break
    return "".join(parts) or "0s"


def octets(size: int) -> str:
    """A size in the largest unit that keeps it readable: `812 B`, `1.2 kB`, `48.0 MB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def moment(epoch: float) -> str:
    """A local date and time with its offset."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(epoch))


def clock(epoch: float) -> str:
    """A local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(epoch))


STATES = {
    "queued": "warn",
    "held": "warn",
    "delivered": "good",
    "relayed": "good",
    "failed": "bad",
    "expired": "bad",
    "deleted": "bad",
}
"""The colour of each state of a recipient."""
