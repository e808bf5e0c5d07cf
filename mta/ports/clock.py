"""Time, as a parameter."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time as a parameter."""

    def now(self) -> float:
        """Epoch seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...
