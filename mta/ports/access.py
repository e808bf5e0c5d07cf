"""Access tokens of OAuth 2.0, for smart hosts that want one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mta.model.tls import TrustAnchors


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """Who asks which issuer for what: the key under which a token is kept. With a `refresh_token` that is the grant."""

    url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: str = ""
    refresh_token: str = field(default="", repr=False)
    ca: TrustAnchors | None = None


class AccessTokens(Protocol):
    """Gives access tokens and keeps them until shortly before their end."""

    async def token(self, grant: AccessGrant) -> str:
        """A token that is good now. Raises TokenNotGiven with what the issuer answered."""
        ...

    def refused(self, grant: AccessGrant, token: str) -> None:
        """Somebody did not take this token: the next one is a new one."""
        ...
