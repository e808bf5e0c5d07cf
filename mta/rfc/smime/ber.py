"""Reads BER as it came: elements are places in the received octets, which are neither copied nor written anew.

Only for what `bounds.prove` has proven. Messages stay where they are, however large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mta.errors import SmimeError
from mta.model.frozen import frozen
from mta.rfc.smime import der
from mta.rfc.smime.bounds import header, prove

INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
_CONSTRUCTED = 0x20


@dataclass(frozen=True, slots=True)
class Document:
    """Proven octets and where their elements of indefinite length end."""

    data: memoryview
    ends: dict[int, int]


@frozen
class Element:
    """One element: identifier octet, content from `content` to `end`; the next one starts at `after`."""

    document: Document
    tag: int
    start: int
    content: int
    end: int
    after: int

    @property
    def raw(self) -> bytes:
        """The element as it stands, with its tag and length."""
        return bytes(self.document.data[self.start : self.after])

    @property
    def definite(self) -> bytes:
        """The element with its lengths written as DER has them: what was signed or is compared was DER."""
        if not self.document.ends or not self.tag & _CONSTRUCTED:
            return self.raw
        return der.element(self.tag, *(child.definite for child in self.children()))

    @property
    def body(self) -> memoryview:
        """The content as it stands."""
        return self.document.data[self.content : self.end]

    def children(self) -> Iterator[Element]:
        """The elements inside."""
        if not self.tag & _CONSTRUCTED:
            raise SmimeError("a simple value where parts were expected")
        position = self.content
        while position < self.end:
            child = _at(self.document, position)
            yield child
            position = child.after

    def fields(self, *tags: int) -> list[Element | None]:
        """The parts of a sequence by their tags, in this order; None for those that are not there.

        Raises SmimeError for parts that are not asked for.
        """
        elements: list[Element | None] = [None] * len(tags)
        position = 0
        for child in self.children():
            while position < len(tags) and tags[position] != child.tag:
                position += 1
            if position == len(tags):
                raise SmimeError(f"a part with tag {child.tag:02x} where none is allowed")
            elements[position] = child
            position += 1
        return elements

    def only(self, *tags: int) -> list[Element]:
        """The parts of a sequence that has exactly these, of these tags."""
        elements = self.fields(*tags)
        if None in elements:
            raise SmimeError(f"a part with tag {tags[elements.index(None)]:02x} is missing")
        return [element for element in elements if element is not None]

    def parts(self, count: int) -> list[Element]:
        """The elements inside, which must be so many, of any tags."""
        children = list(self.children())
        if len(children) != count:
            raise SmimeError(f"{len(children)} parts where {count} must be")
        return children

    def octets(self) -> bytes:
        """An octet string's value; pieces of a constructed one are joined (X.690 §8.7)."""
        if not self.tag & _CONSTRUCTED:
            return bytes(self.body)
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[memoryview]:
        for child in self.children():
            if child.tag == OCTET_STRING:
                yield child.body
            elif child.tag == OCTET_STRING | _CONSTRUCTED:
                yield from child._pieces()
            else:
                raise SmimeError("an octet string made of something else")

    def integer(self) -> int:
        """An INTEGER's value."""
        if self.tag != INTEGER or not 0 < len(self.body) <= 64:
            raise SmimeError("a number that is none, or of no sensible length")
        return int.from_bytes(self.body, "big", signed=True)

    def oid(self) -> str:
        """An OBJECT IDENTIFIER in dots."""
        if self.tag != OID or not 0 < len(self.body) <= 64:
            raise SmimeError("an object identifier that is none")
        return _dotted(bytes(self.body))


@lru_cache(1024)  # messages name a few dozen, again and again
def _dotted(octets: bytes) -> str:
    if octets[-1] & 0x80:
        raise SmimeError("an object identifier that is none")
    arcs, arc = [], 0
    for octet in octets:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def read(data: bytes | memoryview, *tags: int) -> Element:
    """The one element that fills `data`, of one of these tags. Raises SmimeError where it is not proper BER."""
    root = _at(Document(memoryview(data), prove(data)), 0)
    if tags and root.tag not in tags:
        raise SmimeError(f"tag {root.tag:02x} is not what was expected")
    return root


def _at(document: Document, position: int) -> Element:
    data = document.data
    _, content, end = header(data, position, len(data))
    if end >= 0:
        return Element(document, data[position], position, content, end, end)
    end = document.ends[position]
    return Element(document, data[position], position, content, end, end + 2)
