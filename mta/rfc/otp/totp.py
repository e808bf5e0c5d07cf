"""Codes of an authenticator app: TOTP (RFC 6238) over HOTP (RFC 4226), SHA-1 and six digits as in every app."""

from __future__ import annotations

import base64
import hmac
from urllib.parse import quote

STEP = 30  # seconds (RFC 6238 §5.2)
DIGITS = 6
SECRET = 20  # octets (RFC 4226 §4, R6)
DRIFT = 1  # steps that clocks may differ, each way (RFC 6238 §5.2)


def hotp(secret: bytes, counter: int, digits: int = DIGITS) -> str:
    """The code of a counter (RFC 4226 §5.3)."""
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}d}"


def verify(secret: bytes, typed: str, now: float, last: int = -1) -> int | None:
    """The step whose code was typed; None: it is none of about now, or of a step up to `last`, which was used.

    RFC 6238 §5.2: a code is good once. All steps are compared, whatever the first says.
    """
    digits = "".join(character for character in typed[:32] if character.isascii() and character.isdigit())
    current = int(now // STEP)
    steps = range(max(0, current - DRIFT), current + DRIFT + 1)
    fits = [step for step in steps if hmac.compare_digest(hotp(secret, step), digits) and step > last]
    return max(fits, default=None)


def secret_text(secret: bytes) -> str:
    """The secret for people who type it: base32 in groups of four."""
    plain = base64.b32encode(secret).decode("ascii").rstrip("=")
    return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))


def secret_uri(secret: bytes, issuer: str, account: str) -> str:
    """The `otpauth:` address that apps read."""
    plain = base64.b32encode(secret).decode("ascii").rstrip("=")
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    return f"otpauth://totp/{label}?secret={plain}&issuer={quote(issuer, safe='')}&digits={DIGITS}&period={STEP}"
