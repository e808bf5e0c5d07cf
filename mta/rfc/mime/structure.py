"""Walks through the MIME structure of a message and bounds it: RFC 2045 §5, RFC 2046 §5.1.

One pass over the content, in time that grows with its length alone: line beginnings that could be delimiters are
found by a plain search, compared as a whole with the open boundaries, and each part's header is looked at once.
A message whose Content-Type is neither multipart nor message costs one look at its header.

`check_structure` asks for the bounds alone, of every message that arrives; `rfc/mime/entity.py` walks the same way and
keeps what it saw.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass, field

from mta.errors import MtaError
from mta.model.message import HeaderBlock
from mta.rfc.mime.content_type import parameters
from mta.rfc.mime.header import scan_header
from mta.rfc.mime.parameters import uncommented

HEADER_LINES = 20_000  # of one header

Buffer = bytes | bytearray | memoryview | mmap.mmap

# Whatever octets that no name can have stand around it: some readers overlook them
_CONTENT_TYPE = re.compile(
    rb"^[^!-~\n]*+content-type[^!-~]*+:([^\n]*+(?:\n[ \t][^\n]*+)*)", re.MULTILINE | re.IGNORECASE
)
_TYPE = re.compile(rb"[^!-~]*+(?:(multipart)[^!-~]*+/|message[^!-~]*+/[^!-~]*+(?:rfc822|global|news)\b)", re.IGNORECASE)
PARTS = 100_000  # of a message that is taken at all
DASHES = 1_000_000  # lines that begin as a delimiter does: each costs a step

_DASHES = re.compile(rb"\n--([^\n]*+)")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_AT_EMPTY_LINE = re.compile(rb"\r?\n")


def check_structure(content: Buffer, block: HeaderBlock, nesting: int, boundary_length: int) -> str:
    """Why the structure of `content` (the whole message) is not to be taken; empty if it is.

    `block` is its header. Refused are a multipart or message/rfc822 nested deeper than `nesting` (the outermost one
    is at depth 1), a boundary of more than `boundary_length` octets, one hidden in the pieces of RFC 2231 §3, and more
    than PARTS parts.
    """
    values = block.values(b"content-type")
    if not values or not has_parts(values[0]):
        return ""
    walk = Walk(content, nesting, boundary_length)
    try:
        walk.enter(values[0], block.body_start, 0)
        walk.run(block.body_start)
    except StructureError as problem:
        return str(problem)
    return ""


def has_parts(content_type: bytes) -> bool:
    """Whether an entity of this type is taken apart: a multipart, or an attached message."""
    return _TYPE.match(uncommented(content_type)) is not None


class StructureError(MtaError):
    """The structure is beyond a limit. `word` names which."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


@dataclass(slots=True)
class Open:
    """A multipart that has not ended: its parts lie at `depth`. `outer` is what its boundary meant before."""

    boundary: bytes
    depth: int
    outer: int | None


@dataclass(slots=True)
class Walk:
    """The one pass. `part` is where a header begins that was not looked at yet, or -1; `depth` is its depth."""

    content: Buffer
    nesting: int
    boundary_length: int
    stack: list[Open] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)  # boundary -> its innermost place in `stack`
    part: int = -1
    depth: int = 0
    begun: int = 0  # parts so far
    _empty_line: tuple[int, int] = (-1, -1)  # the first one behind some earlier part; it is searched once

    def run(self, position: int) -> None:
        """Go through all lines that begin with two dashes, from the one at `position` on."""
        for number, match in enumerate(_DASHES.finditer(self.content, max(position - 1, 0))):
            if number >= DASHES:
                raise StructureError("parts", f"more than {DASHES} lines begin as a MIME delimiter does")
            if self.part >= 0:
                self._read_headers(match.start() + 1)
            elif not self.stack:
                return
            # RFC 2046 §5.1.1: white space behind a boundary is transport padding
            text = match[1].rstrip(b" \t\r")
            if text in self.places:
                self.begin(self.places[text], match)
            elif text[-2:] == b"--" and text[:-2] in self.places:
                self.end(self.places[text[:-2]], match)
            else:
                self.pass_by(match[1])
        self._read_headers(len(self.content))

    def begin(self, level: int, line: re.Match[bytes]) -> None:
        """A part of the multipart at `level` of the stack begins behind its delimiter `line`."""
        self.begun += 1
        if self.begun > PARTS:
            raise StructureError("parts", f"the message has more than {PARTS} MIME parts")
        self._close_to(level + 1)
        self.part, self.depth = line.end() + 1, self.stack[level].depth

    def end(self, level: int, line: re.Match[bytes]) -> None:
        """The multipart at `level` ends with this `line`."""
        self._close_to(level)
        self.part = -1

    def pass_by(self, text: bytes) -> None:
        """A line begins with two dashes and this `text`, and is no delimiter."""

    def look(self, start: int, stop: int, body: int) -> bytes | None:
        """The Content-Type in the header lines between `start` and `stop`; the part's body begins at `body`."""
        match = _CONTENT_TYPE.search(bytes(self.content[start:stop]))
        return match[1] if match is not None else None

    def enter(self, value: bytes, body: int, depth: int) -> None:
        """Take in a Content-Type of an entity at `depth` whose body begins at `body`."""
        kind = _TYPE.match(uncommented(value))
        if kind is None:
            return
        if depth + 1 > self.nesting:
            raise StructureError("nesting", f"MIME parts are nested deeper than {self.nesting}")
        if kind[1] is None:
            self.part, self.depth = body, depth + 1
            return
        boundary = self._boundary(value)
        if boundary:
            self.stack.append(Open(boundary, depth + 1, self.places.get(boundary)))
            self.places[boundary] = len(self.stack) - 1

    def _boundary(self, value: bytes) -> bytes:
        boundaries: list[bytes] = []
        for name, boundary in parameters(value):
            if name.startswith(b"boundary*"):  # beside a plain one as well: many readers prefer it
                raise StructureError("split-boundary", "a MIME boundary is given in pieces (RFC 2231)")
            if name == b"boundary":
                boundaries.append(boundary)
        if boundaries and len(boundaries[0]) > self.boundary_length:
            raise StructureError("boundary-length", f"a MIME boundary is longer than {self.boundary_length} octets")
        return boundaries[0].rstrip(b" \t\r\n") if boundaries else b""  # without one nobody can take it apart

    def _close_to(self, size: int) -> None:
        while len(self.stack) > size:
            gone = self.stack.pop()
            if gone.outer is None:
                del self.places[gone.boundary]
            else:
                self.places[gone.boundary] = gone.outer

    def _read_headers(self, before: int) -> None:
        """Look at the waiting header, and at those that it leads to, up to `before`: the end, or a line with dashes.

        Such a line ends the header if it is a delimiter, perhaps of the very multipart that the header announces.
        """
        while 0 <= self.part < before:
            start, body = self.part, self._body(self.part)
            self.part = -1 if body <= before else before
            value = self.look(start, min(body, before), body)
            if value is not None:
                self.part = -1
                self.enter(value, body, self.depth)

    def _body(self, start: int) -> int:
        """Where the body of the part that begins at `start` begins."""
        empty = _AT_EMPTY_LINE.match(self.content, start)
        if empty is not None:
            return empty.end()
        if self._empty_line[0] < start:
            match = _EMPTY_LINE.search(self.content, start)
            self._empty_line = match.span() if match else (len(self.content), len(self.content))
        return self._empty_line[1]


def bounded_header(raw: bytes) -> HeaderBlock:
    """The header at the beginning of `raw`, unless it is so long that its fields alone would fill the memory."""
    if raw.count(b"\n") > HEADER_LINES:  # seldom: look closer
        end = min((at for at in (raw.find(b"\n\r\n"), raw.find(b"\n\n")) if at >= 0), default=len(raw))
        if raw.count(b"\n", 0, end) > HEADER_LINES:
            raise StructureError("header", f"a header has more than {HEADER_LINES} lines")
    return scan_header(raw, len(raw))
