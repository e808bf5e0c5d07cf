"""What of an event stands in the log: a salted hash.

The event and its salt lie beside the log and can be erased there; what is left in the tree then tells nothing, and no
proof of another entry is touched. Without the salt an event of few possible values could be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mta.errors import JsonError, TlogError
from mta.rfc.json.canonical import canonical

SALT = 32  # octets


def entry_of(salt: bytes, event: Mapping[str, Any]) -> bytes:
    """The entry: SHA-256 over the salt and the event's story. Raises TlogError."""
    return entry_with_story(salt, event)[0]


def entry_with_story(salt: bytes, event: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The entry, and the story that lies beside it: the event in canonical JSON (RFC 8785). Raises TlogError."""
    if len(salt) != SALT:
        raise TlogError("a salt has 32 octets")
    try:
        story = canonical(dict(event))
    except JsonError as error:
        raise TlogError(f"an event that cannot be logged: {error}") from None
    return hashlib.sha256(salt + story).digest(), story
