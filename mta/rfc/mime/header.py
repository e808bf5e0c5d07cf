"""Finds the fields of a message's header, once, as spans: RFC 5322 §2.2.

Readers disagree about broken headers, and a sender may count on it. The reading here is the union of theirs:

- The header ends at the first empty line and nowhere else. A line that is no field (an mbox `From ` line, a line
  without a colon, a continuation of nothing) is passed over, because the fields behind it are fields to some readers.
- White space between name and colon (RFC 5322 §4.5) and control characters within a name are passed over, too.
- A line of white space alone continues a field.

So a From that any reader would see is found, and if two could see different ones, more than one is found.
"""

from __future__ import annotations

import re
import string

from mta.errors import MtaError
from mta.model.message import HeaderBlock, HeaderField

# the empty group marks where the value begins; white space before the colon is of RFC 5322 §4.5
_FIELD = re.compile(rb"^([^\s:]++)[ \t]*+:()[^\n]*+(?:\n[ \t][^\n]*+)*(?:\n|\Z)", re.MULTILINE)
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_CONTROLS = bytes(range(32)) + b"\x7f"


class HeaderError(MtaError):
    """The header is larger than we take."""


def scan_header(raw: bytes, limit: int) -> HeaderBlock:
    """The header at the beginning of `raw`, which holds at least all of it; `limit` is in octets.

    Without an empty line all of `raw` is header. Lines may end in a bare LF, for files that people bring along.
    Raises HeaderError.
    """
    size, body_start = _extent(raw, limit)
    if size > limit:
        raise HeaderError(f"the header is larger than {limit} octets")
    fields = [
        HeaderField(match[1].translate(_LOWER, _CONTROLS), match.start(), match.start(2), match.end())
        for match in _FIELD.finditer(raw, 0, size)
    ]
    return HeaderBlock(raw, tuple(fields), body_start)


def count_received(block: HeaderBlock) -> int:
    """How many hops the message has made (RFC 5321 §6.3: Received fields are counted)."""
    return block.count(b"received")


def unfold(value: bytes) -> bytes:
    """A field's value on one line (RFC 5322 §2.2.3): the line ends go, the white space behind them stays."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"") if b"\n" in value else value


def _extent(raw: bytes, limit: int) -> tuple[int, int]:
    """Where the last field ends and where the body begins."""
    if raw.startswith((b"\r\n", b"\n")):
        return 0, raw.index(b"\n") + 1
    within = limit + 3  # as far as an empty line behind a header of the full size can reach
    end = raw.find(b"\n\r\n", 0, within)
    bare = raw.find(b"\n\n", 0, end + 1 if end >= 0 else within)
    if bare >= 0:
        return bare + 1, bare + 2
    return (end + 1, end + 3) if end >= 0 else (len(raw), len(raw))
