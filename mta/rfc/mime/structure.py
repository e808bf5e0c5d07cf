"""Bounds the MIME structure of a message before anyone takes it apart: RFC 2045 §5, RFC 2046 §5.1.

One pass over the content, in time that grows with its length alone: line beginnings that could be delimiters are
found by a plain search, compared as a whole with the open boundaries, and each part's header is looked at once.
A message whose Content-Type is neither multipart nor message costs one look at its header.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass, field

from mta.model.message import HeaderBlock

Buffer = bytes | bytearray | memoryview | mmap.mmap

_CONTENT_TYPE = re.compile(rb"^content-type[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE | re.IGNORECASE)
_TYPE = re.compile(rb"\s*+(?:(multipart)/|message/(?:rfc822|global|news)\b)", re.IGNORECASE)
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^\s;]*+))', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_DASHES = re.compile(rb"\n--([^\n]*+)")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_AT_EMPTY_LINE = re.compile(rb"\r?\n")


def check_structure(content: Buffer, block: HeaderBlock, nesting: int, boundary_length: int) -> str:
    """Why the structure of `content` (the whole message) is not to be taken; empty if it is.

    `block` is its header. Refused are a multipart or message/rfc822 nested deeper than `nesting` (the outermost one
    is at depth 1), a boundary of more than `boundary_length` octets, and one hidden in the pieces of RFC 2231 §3.
    """
    values = block.values(b"content-type")
    if not values or _TYPE.match(values[0]) is None:
        return ""
    walk = _Walk(content, nesting, boundary_length)
    try:
        walk.enter(values[0], block.body_start, 0)
        walk.run(block.body_start)
    except _StructureError as problem:
        return str(problem)
    return ""


class _StructureError(ValueError):
    """The structure is beyond a limit."""


@dataclass(slots=True)
class _Open:
    """A multipart that has not ended: its parts lie at `depth`. `outer` is what its boundary meant before."""

    boundary: bytes
    depth: int
    outer: int | None


@dataclass(slots=True)
class _Walk:
    """The one pass. `part` is where a header begins that was not looked at yet, or -1; `depth` is its depth."""

    content: Buffer
    nesting: int
    boundary_length: int
    stack: list[_Open] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)  # boundary -> its innermost place in `stack`
    part: int = -1
    depth: int = 0
    _empty_line: tuple[int, int] = (-1, -1)  # the first one behind some earlier part; it is searched once

    def run(self, position: int) -> None:
        """Go through all lines that begin with two dashes, from the one at `position` on."""
        for match in _DASHES.finditer(self.content, max(position - 1, 0)):
            if self.part >= 0:
                self._read_headers(match.start() + 1)
            elif not self.stack:
                return
            # RFC 2046 §5.1.1: white space behind a boundary is transport padding
            text = match[1].rstrip(b" \t\r")
            if text in self.places:
                place = self.places[text]
                self._close_to(place + 1)
                self.part, self.depth = match.end() + 1, self.stack[place].depth
            elif text[-2:] == b"--" and text[:-2] in self.places:
                self._close_to(self.places[text[:-2]])
                self.part = -1
        self._read_headers(len(self.content))

    def enter(self, value: bytes, body: int, depth: int) -> None:
        """Take in a Content-Type of an entity at `depth` whose body begins at `body`."""
        kind = _TYPE.match(value)
        if kind is None:
            return
        if depth + 1 > self.nesting:
            raise _StructureError(f"MIME parts are nested deeper than {self.nesting}")
        if kind[1] is None:
            self.part, self.depth = body, depth + 1
            return
        boundary = self._boundary(value)
        if boundary:
            self.stack.append(_Open(boundary, depth + 1, self.places.get(boundary)))
            self.places[boundary] = len(self.stack) - 1

    def _boundary(self, value: bytes) -> bytes:
        for match in _PARAMETER.finditer(value):
            name = match[1].lower()
            if name.startswith(b"boundary*"):
                raise _StructureError("a MIME boundary is given in pieces (RFC 2231)")
            if name == b"boundary":
                boundary = match[3] if match[2] is None else _QUOTED_PAIR.sub(rb"\1", match[2])
                if len(boundary) > self.boundary_length:
                    raise _StructureError(f"a MIME boundary is longer than {self.boundary_length} octets")
                return boundary.rstrip(b" \t\r\n")
        return b""  # nobody can take such a multipart apart

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
            match = _CONTENT_TYPE.search(bytes(self.content[start : min(body, before)]))
            if match is not None:
                self.part = -1
                self.enter(match[1], body, self.depth)

    def _body(self, start: int) -> int:
        """Where the body of the part that begins at `start` begins."""
        empty = _AT_EMPTY_LINE.match(self.content, start)
        if empty is not None:
            return empty.end()
        if self._empty_line[0] < start:
            match = _EMPTY_LINE.search(self.content, start)
            self._empty_line = match.span() if match else (len(self.content), len(self.content))
        return self._empty_line[1]
