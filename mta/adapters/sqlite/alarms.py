"""What an administrator must hear of at the moment it is found: damage, in words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

_KEPT = 1000  # texts; the log has them all


class Alarms:
    """Tells each text once, on the loop, whichever thread found it. `texts` are those told so far."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[str], None] | None = None) -> None:
        self.texts: list[str] = []
        self.loop = loop
        self._tell = tell

    def sound(self, text: str) -> None:
        """Tell it, unless it was told before."""
        if text in self.texts:
            return
        self.texts.append(text)
        del self.texts[:-_KEPT]
        if self._tell is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self.loop.call_soon_threadsafe(self._tell, text)
