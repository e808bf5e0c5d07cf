"""Base64 as RFC 4648 has it, in both alphabets, strictly: one text for one value."""

from __future__ import annotations

import base64
import binascii


def encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The octets of base64url without padding. Raises ValueError, also where bits are left over."""
    if "+" in text or "/" in text or "=" in text:
        raise ValueError("no base64url")
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"no base64url: {error}") from None
    if encode(data) != text:
        raise ValueError("base64url with bits left over")
    return data


def decode_padded(text: str) -> bytes:
    """The octets of plain base64 with padding (RFC 4648 §4). Raises ValueError, also where bits are left over."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"no base64: {error}") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("base64 with bits left over")
    return data
