"""What structured fields have in common: comments (RFC 5322 §3.2.2), parameters in pieces or a charset (RFC 2231)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

MAX_PIECES = 1000  # of one value
_NO_COMMENT = re.compile(rb'[^"(\\]++|"[^"\\]*+(?:\\.[^"\\]*+)*"?|\\.?', re.DOTALL)
_IN_COMMENT = re.compile(rb"\\.|[()]", re.DOTALL)
_PIECE = re.compile(r"\*(?:([0-9]{1,4})(\*)?)?")


def uncommented(value: bytes) -> bytes:
    """The value with a space in place of each comment; one without an end goes on to the end of the value."""
    if b"(" not in value:
        return value
    pieces, at = [], 0
    while at < len(value):
        match = _NO_COMMENT.match(value, at)
        if match is not None:
            pieces.append(match[0])
            at = match.end()
        else:
            pieces.append(b" ")
            at = _comment_end(value, at)
    return b"".join(pieces)


def _comment_end(value: bytes, start: int) -> int:
    depth = 0
    for match in _IN_COMMENT.finditer(value, start):
        depth += (match[0] == b"(") - (match[0] == b")")
        if not depth and match[0] == b")":
            return match.end()
    return len(value)


def readings(parameters: Sequence[tuple[str, str]], name: str) -> tuple[str, ...]:
    """Every value that some reader finds for `name`: as it is, by RFC 2231 §4, and joined of its pieces (§3)."""
    values: list[str] = []
    pieces: dict[int, str] = {}
    for key, value in parameters:
        if key == name:
            values.append(value)
        elif key.startswith(f"{name}*") and (match := _PIECE.fullmatch(key, len(name))):
            encoded = match[1] is None or match[2] is not None
            number = int(match[1] or 0)
            text = _decoded(value, first=number == 0) if encoded else value
            if match[1] is None:
                values.append(text)
            elif len(pieces) < MAX_PIECES:
                pieces.setdefault(number, text)
    if pieces:
        values.append("".join(pieces[number] for number in sorted(pieces)))
    return tuple(values)


def _decoded(value: str, *, first: bool) -> str:
    """RFC 2231 §4: `charset'language'text`, octets as %XX. A charset that is not known here is read as UTF-8."""
    charset, _, rest = value.partition("'") if first and value.count("'") >= 2 else ("utf-8", "", f"'{value}")
    octets = unquote_to_bytes(rest.partition("'")[2].encode("latin-1", "replace"))
    try:
        return octets.decode(charset or "us-ascii", "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")
