"""Finds the fields of a message's header, once, as spans: RFC 5322 §2.2.

Readers disagree about broken headers, and a sender may count on it. The reading here is the union of theirs:

- The header ends at the first empty line and nowhere else. A line that is no field (an mbox `From ` line, a line
  without a colon) is passed over, because the fields behind it are fields to some readers.
- Octets that cannot be in a name (RFC 5322 §3.6.8: only 33 to 126 can) are passed over, too, wherever they stand before
  the colon: white space (§4.5), a fold, controls, a byte order mark, a no-break space, all that is not ASCII.
- A line of white space alone continues a field. So does, to some, a line that is no field or begins with another
  blank than space and tab: the names of fields before such lines are in `extended`.
- A first line that continues nothing is a field of its own, a CR alone ends a line.

So a From that any reader would see is found, and if two could see different ones, more than one is found, or it is
`extended`.
"""

from __future__ import annotations

import re
import string
from bisect import bisect
from collections.abc import Iterable, Sequence

from mta.errors import MtaError
from mta.model.message import HeaderBlock, HeaderField

# A field as it should be; what else there is finds `_scan_oddly`. The empty group marks where the value begins.
_FIELD = re.compile(rb"^([!-9;-~]++):()[^\n]*+(?:\n[ \t][^\n]*+)*(?:\n|\Z)", re.MULTILINE)
# Whatever has a colon, in its first line or in one that continues it
_ODD_FIELD = re.compile(
    rb"(?:\A|^(?![ \t]))([^\n:]*+(?:\n[ \t][^\n:]*+)*):()[^\n]*+(?:\n[ \t][^\n]*+)*(?:\n|\Z)", re.MULTILINE
)
_EXTENSION = re.compile(rb"^(?![ \t\r\n])(?:[^!-~]|[^\n:]++(?:\n[ \t][^\n:]*+)*(?:\n(?![ \t])|\Z))", re.MULTILINE)
_UP_TO_FIELD = re.compile(rb"(?:(?![!-9;-~]++[ \t]*+:)[^\n]*+\n)*")
_BARE_CR = re.compile(rb"\r(?!\n)")
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_IN_NAMES = bytes(octet for octet in range(33, 127) if octet != ord(":"))
_NOT_IN_NAMES = bytes(octet for octet in range(256) if octet not in _IN_NAMES)


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
        HeaderField(match[1].lower(), match.start(), match.start(2), match.end())
        for match in _FIELD.finditer(raw, 0, size)
    ]
    # seldom: something is no proper field
    if sum([field[3] - field[1] for field in fields]) != size or _BARE_CR.search(raw, 0, size):
        return _scan_oddly(raw, size, body_start)
    return HeaderBlock(raw, tuple(fields), body_start)


def _scan_oddly(raw: bytes, size: int, body_start: int) -> HeaderBlock:
    text = _BARE_CR.sub(b"\n", raw[:size])
    fields = [
        HeaderField(name, match.start(), match.start(2), match.end())
        for match in _ODD_FIELD.finditer(text)
        if (name := match[1].translate(_LOWER, _NOT_IN_NAMES))
    ]
    starts = [field.start for field in fields]
    extended = set()
    for match in _EXTENSION.finditer(text):
        before = bisect(starts, match.start() - 1)
        if before:
            extended.add(fields[before - 1].name)
    return HeaderBlock(raw, tuple(fields), body_start, frozenset(extended))


def begins_oddly(block: HeaderBlock) -> bool:
    """Whether the first line is none that a field can begin with: behind fields of ours, it would continue them."""
    return block.body_start > 0 and block.raw[0] not in b"\r\n" and block.raw[0] not in _IN_NAMES


def without(block: HeaderBlock, fields: Iterable[HeaderField]) -> Sequence[bytes]:
    """The pieces of `block.raw` that stay when these fields go, with what some readers take for more of them."""
    kept, position, raw = [], 0, block.raw
    for field in fields:
        kept.append(raw[position : field.start])
        position = max(position, field.end)
        if field.name in block.extended:
            more = _UP_TO_FIELD.match(raw, field.end, _extent(raw, len(raw))[0])
            position = max(position, more.end() if more else 0)
    return (*kept, raw[position:])


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
