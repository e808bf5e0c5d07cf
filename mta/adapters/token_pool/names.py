"""How a key of a token is named: `pkcs11:token=mta;object=office` (RFC 7512), with `id=%01` beside or instead."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from mta.errors import MtaError

SCHEME = "pkcs11:"


@dataclass(frozen=True, slots=True)
class KeyName:
    """What a URI says of a key."""

    token: str
    label: str | None
    id: bytes | None

    def __str__(self) -> str:
        return self.label or f"%{(self.id or b'').hex()}"


@lru_cache(64)
def parse_uri(uri: str) -> KeyName:
    """The attributes of a `pkcs11:` URI that name a key (RFC 7512 §2.3). Raises MtaError."""
    attributes: dict[str, bytes] = {}
    for part in uri.removeprefix(SCHEME).partition("?")[0].split(";"):
        name, equals, value = part.partition("=")
        if equals:
            attributes[name] = unquote_to_bytes(value)
    label, key_id = attributes.get("object"), attributes.get("id")
    if "token" not in attributes or (label is None and key_id is None):
        raise MtaError(f"{uri}: expected pkcs11:token=NAME;object=NAME (or id=%HEX)")
    text = label.decode("utf-8", "replace") if label is not None else None
    return KeyName(attributes["token"].decode("utf-8", "replace"), text, key_id)
