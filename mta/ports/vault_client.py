"""What a reader's own program needs of the world: the key server that a protected file names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class KeyServer(Protocol):
    """The way to key servers and their issuers."""

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer to one request. Raises KeyAway where there is none."""
        ...
