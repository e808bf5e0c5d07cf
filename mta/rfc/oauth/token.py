"""Asking an issuer for an access token, and reading its answer (RFC 6749 §4.4, §5, §6)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

_LIFETIME = 300.0  # seconds of a token whose answer does not say (§5.1 only recommends that it does)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and how many seconds it is good for. `refresh_token`: one that replaces what was used."""

    value: str = field(repr=False)
    lifetime: float
    refresh_token: str = field(default="", repr=False)


def form(client_id: str, client_secret: str, scope: str, refresh_token: str) -> dict[str, str]:
    """What is posted: the client's own credentials (§4.4.2), or a refresh token (§6)."""
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    if not refresh_token:
        fields = {"grant_type": "client_credentials"}
    fields["client_id"] = client_id
    if client_secret:
        fields["client_secret"] = client_secret  # §2.3.1
    return fields | ({"scope": scope} if scope else {})


def read(status: int, body: bytes) -> Token | str:
    """The token of an answer, or why there is none, in words of ours and of the issuer, who may repeat secrets."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return f"it answered {status} with something that is no JSON object"
    if status != 200:
        return _error(status, document)
    value, kind, lifetime = (
        document.get("access_token"),
        document.get("token_type"),
        document.get("expires_in", _LIFETIME),
    )
    if not isinstance(value, str) or not value or not (value.isascii() and value.isprintable()):
        return f"it answered {status} without an access_token"
    if not isinstance(kind, str) or kind.lower() != "bearer":  # §5.1: case insensitive; §7.1: else we must not use it
        return f"its token is of the type {_shown(kind)}, not Bearer"
    if isinstance(lifetime, str) and lifetime.isascii() and lifetime.isdigit():
        lifetime = float(lifetime)
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < 1e9:
        lifetime = _LIFETIME
    again = document.get("refresh_token")
    return Token(value, float(lifetime), again if isinstance(again, str) else "")


def _error(status: int, document: dict[str, object]) -> str:
    """§5.2: `error` and `error_description`."""
    parts = [_shown(document[key]) for key in ("error", "error_description") if isinstance(document.get(key), str)]
    return f"it answered {status}: {': '.join(parts)}" if parts else f"it answered {status}"


def _shown(value: object) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
