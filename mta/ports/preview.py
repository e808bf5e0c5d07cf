"""What the portal needs to show a file without handing it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Look:
    """One page of a file: a picture (`image/png`), or HTML that is not clean yet (`text/html`). `pages` in all."""

    media_type: str
    data: bytes = field(repr=False)
    pages: int = 1


class Previews(Protocol):
    """Shows files."""

    async def look(self, data: bytes, kind: str, page: int, watermark: str = "") -> Look | None:
        """Page `page` (from 1) of a file of this kind (rfc/mime/file_kind.py), the watermark drawn into pictures.

        None for what cannot be shown: broken, too large, too slow, or no such page.
        """
        ...
