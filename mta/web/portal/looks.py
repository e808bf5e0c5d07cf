"""Looks at files that are at hand for a moment, so that a page and its picture are made once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

from mta.ports.preview import Look, Previews
from mta.rfc.mime.shown import ShownFile

_KEPT, _MOST = 60.0, 32  # seconds, and how many
_Key = tuple[bytes, int, str]


@dataclass(slots=True)
class Looks:
    """What was looked at just now, for the same file, page and watermark alone."""

    previews: Previews
    recent: OrderedDict[_Key, Look | None] = field(default_factory=OrderedDict)

    async def look(self, file: ShownFile, kind: str, number: int, watermark: str) -> Look | None:
        """Page `number` of a file; None for what cannot be shown."""
        key = (hashlib.sha256(file.data).digest(), number, watermark)
        if key not in self.recent:
            look = await self.previews.look(file.data, kind, number, watermark)
            self.recent[key] = look
            asyncio.get_running_loop().call_later(_KEPT, self.recent.pop, key, None)
            while len(self.recent) > _MOST:
                self.recent.popitem(last=False)
        return self.recent[key]
