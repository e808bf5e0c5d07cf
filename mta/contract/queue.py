"""Where undelivered mail is kept when several machines share it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class SharedQueue:
    """A queue in a PostgreSQL database. Times in seconds."""

    dsn: str  # postgresql://...
    lease: float = 60.0
    takeover_delay: float = 60.0
    copies: int = 1  # machines on which mail must be durable before it is acknowledged
    generation: int = 0  # of this configuration: what a newer one has taken is not claimed under it

    @property
    def place(self) -> str:
        """The database as it may be shown: without a password."""
        parts = urlsplit(self.dsn)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    @property
    def has_password(self) -> bool:
        """Whether a password stands in the file."""
        return urlsplit(self.dsn).password is not None
