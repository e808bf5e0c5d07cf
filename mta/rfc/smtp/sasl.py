"""What AUTH says: mechanisms with a password, and those with a token (RFC 4954, 4616, 7628; XOAUTH2 is Google's)."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from mta.errors import LocalProtocolError
from mta.rfc.smtp.client_state import State

_LONGEST_LINE = 510  # RFC 5321 §4.5.3.1.4 without CRLF
_MOST_OF_A_REASON = 200

PLAIN, LOGIN, XOAUTH2, OAUTHBEARER = "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One AUTH: its command, the state after it, and the answers to the challenges that may follow, in order."""

    command: bytes
    state: State
    responses: tuple[bytes, ...] = ()


def choose(offered: str, mechanisms: tuple[str, ...]) -> str:
    """The first of `mechanisms` that stands in what EHLO offers behind AUTH; empty: none."""
    words = offered.upper().split()
    return next((mechanism for mechanism in mechanisms if mechanism in words), "")


def plain(user: str, password: str) -> Exchange:
    """PLAIN with its initial response (RFC 4616 §2)."""
    if "\0" in user + password:
        raise LocalProtocolError("a user or password with a NUL cannot be sent by AUTH PLAIN")
    return Exchange(b"AUTH PLAIN " + _line(f"\0{user}\0{password}"), State.AUTH)


def login(user: str, password: str) -> Exchange:
    """LOGIN, for servers that know nothing better."""
    return Exchange(b"AUTH LOGIN", State.AUTH_USER, (_line(user), _line(password)))


def bearer(mechanism: str, user: str, token: str, host: str, port: int) -> Exchange:
    """XOAUTH2, or OAUTHBEARER (RFC 7628 §3.1), with an access token."""
    if any(c < " " for c in user + token):
        raise LocalProtocolError("a user or token with a control character cannot be sent")
    if mechanism == OAUTHBEARER:
        name = user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 §4: saslname
        said = _line(f"n,a={name},\1host={host}\1port={port}\1auth=Bearer {token}\1\1")
        sorry = _line("\1")  # RFC 7628 §3.2.3: what ends a failed exchange
    else:
        said, sorry = _line(f"user={user}\1auth=Bearer {token}\1\1"), b""
    command = f"AUTH {mechanism}".encode()
    # RFC 4954 §4: a line that would be too long goes without initial response
    if len(command) + 1 + len(said) <= _LONGEST_LINE:
        return Exchange(command + b" " + said, State.AUTH_TOKEN, (sorry,))
    return Exchange(command, State.AUTH_BEARER, (said, sorry))


def refusal(challenge: str) -> str:
    """What the host says of a token it does not take, in words (RFC 7628 §3.2.2); empty: nothing readable."""
    try:
        document = json.loads(base64.b64decode(challenge, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    words = ", ".join(
        f"{key} {document[key]}" for key in ("status", "scope", "schemes") if isinstance(document.get(key), str)
    )
    return "".join(c for c in words if c.isprintable())[:_MOST_OF_A_REASON]


def _line(text: str) -> bytes:
    """Base64 of UTF-8 (RFC 4954 §4)."""
    return base64.b64encode(text.encode())
