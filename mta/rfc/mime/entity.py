"""Takes a message apart into MIME entities without changing an octet: RFC 2045 §2.4, RFC 2046 §5.1.

An entity is a span: its header, its body, and the parts in it. The line end before a delimiter belongs to the
delimiter (RFC 2046 §5.1.1), so what lies between two of them is exactly what a signature covers. The walk is that of
`structure.py`, in linear time and bounded.

Readers disagree about broken structure, and a sender may count on it: what one scanner sees as an attachment another
sees as text. Such places are not repaired here; they are named (`AMBIGUITIES`), and whoever rests a decision on the
structure looks at the names first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mta.model.frozen import frozen
from mta.model.message import HeaderBlock
from mta.rfc.mime.content_type import ATTACHED_MESSAGE, OPAQUE, PLAIN_TEXT, ContentType, read_encoding, read_type
from mta.rfc.mime.line_ends import line_ends
from mta.rfc.mime.structure import Open, StructureError, Walk, bounded_header

NESTING = 100
PARTS = 10_000
BOUNDARY_LENGTH = 2048
IDENTITY = frozenset({"7bit", "8bit", "binary"})  # RFC 2045 §6.2: the body stands there as it is
_ENCODINGS = IDENTITY | {"base64", "quoted-printable"}

_STRAY = bytes((*range(33), *range(127, 256)))
_LINE_OF_BLANKS = re.compile(rb"\n[ \t]+\r?\n")  # some readers end a header there

AMBIGUITIES = {
    "duplicate-content-type": "an entity has two Content-Type fields",
    "duplicate-encoding": "an entity has two Content-Transfer-Encoding fields",
    "unreadable-type": "a Content-Type cannot be read",
    "unknown-encoding": "a Content-Transfer-Encoding is unknown",
    "encoded-multipart": "a multipart or an attached message is encoded as a whole",
    "odd-parameters": "a Content-Type has parameters that readers take differently",
    "several-boundaries": "a multipart names two boundaries",
    "no-boundary": "a multipart names no boundary",
    "odd-boundary": "a boundary is not as RFC 2046 wants it",
    "reused-boundary": "a multipart uses the boundary of the one it is in, or nearly",
    "missing-end": "a multipart has no closing delimiter",
    "no-parts": "a multipart has nothing but its closing delimiter",
    "delimiter-after-end": "a delimiter stands behind the end of its multipart",
    "odd-delimiter": "a line is a delimiter to some readers and none to others",
    "odd-header": "a header has a line that is no field, or no end",
    "nul": "there is a NUL",
    "bare-cr": "there is a CR without LF",
    "bare-lf": "there is a LF without CR",
}


@frozen
class Entity:
    """One entity as spans of the whole: `[start:body]` is its header with the empty line, `[body:end]` its body.

    The spans in `header` count from `start`. `encoding` is in lower case, `7bit` where the field is missing.
    """

    start: int
    body: int
    end: int
    header: HeaderBlock
    content_type: ContentType
    encoding: str
    parts: tuple[Entity, ...] = ()


@frozen
class Anatomy:
    """A message taken apart, and what two readers could see differently: words of AMBIGUITIES, each once."""

    root: Entity
    ambiguities: tuple[str, ...]


def scan_entity(
    raw: bytes, block: HeaderBlock | None = None, *, parts: int = PARTS, outside_only: bool = False
) -> Anatomy:
    """The whole of `raw` as an entity; `block` is its header if that was found already.

    `outside_only`: the parts are not taken apart, and what is odd within them is not asked; that is how a
    multipart/signed is read (RFC 1847 §2.1), whose first part is octets until the signature over them was judged.
    Raises StructureError for what is nested too deep, has more than `parts` parts, or a boundary or header beyond all
    bounds.
    """
    block = bounded_header(raw) if block is None else block
    fields = _read_fields(block, block.body_start)
    if not fields.has_parts:
        return _of_a_leaf(raw, block, fields)
    builder = _Builder(raw, NESTING, BOUNDARY_LENGTH, limit=parts, outside_only=outside_only)
    root = builder.build(block, fields)
    if not outside_only:
        builder.doubts.update(_line_ends(raw, root))
    return Anatomy(root, _in_order(builder.doubts))


def _of_a_leaf(raw: bytes, block: HeaderBlock, fields: _Fields) -> Anatomy:
    """The most common message: there is nothing to walk through."""
    root = Entity(0, block.body_start, len(raw), block, fields.content_type, fields.encoding)
    doubts = (*fields.doubts, *_line_ends(raw, root))
    return Anatomy(root, _in_order(set(doubts)) if doubts else ())


def _in_order(doubts: set[str]) -> tuple[str, ...]:
    return tuple(word for word in AMBIGUITIES if word in doubts) if doubts else ()


def leaves(entity: Entity) -> list[Entity]:
    """The entities without parts, in order."""
    parts, waiting = [], [entity]
    while waiting:
        current = waiting.pop()
        if current.parts:
            waiting.extend(reversed(current.parts))
        else:
            parts.append(current)
    return parts


_NO_HEADER = HeaderBlock(b"", (), 0)


@dataclass(slots=True, eq=False)
class _Node:
    """An entity while it is found. `boundary` is set once it was opened as a multipart, `closed` where it ended."""

    start: int
    body: int
    header: HeaderBlock = _NO_HEADER
    content_type: ContentType = PLAIN_TEXT
    encoding: str = "7bit"
    parts: list[_Node] = field(default_factory=list)
    end: int = -1
    boundary: bytes = b""
    closed: int = -1

    def frozen(self) -> Entity:
        """The entity, spans in order whatever was found."""
        end = max(self.end, self.start)
        inside = tuple(part.frozen() for part in self.parts)
        body = min(self.body, inside[0].start if inside else end)
        return Entity(self.start, body, end, self.header, self.content_type, self.encoding, inside)


@dataclass(slots=True)
class _Builder(Walk):
    """Keeps what the walk sees: `chain` are the entities that are open, `owners` those of the walk's stack."""

    limit: int = PARTS
    outside_only: bool = False
    doubts: set[str] = field(default_factory=set)
    chain: list[_Node] = field(default_factory=list)
    owners: list[_Node] = field(default_factory=list)
    count: int = 0

    def build(self, block: HeaderBlock, fields: _Fields) -> Entity:
        """Walk through all of it."""
        root = _Node(0, block.body_start, block)
        self.chain.append(root)
        self._keep(root, fields)
        if fields.value is not None:
            self.enter(fields.value, block.body_start, 0)
            if self.stack or self.part >= 0:
                self.run(block.body_start)
        self._leave(0, len(self.content))
        return root.frozen()

    def begin(self, level: int, line: re.Match[bytes]) -> None:
        """The part before ends in front of the line end that belongs to the delimiter; another one begins."""
        self._leave(self.chain.index(self.owners[level]) + 1, self._before(line))
        Walk.begin(self, level, line)
        del self.owners[level + 1 :]
        self._add(self.owners[level], min(line.end() + 1, len(self.content)))

    def end(self, level: int, line: re.Match[bytes]) -> None:
        """The last part ends; what follows up to the enclosing delimiter is epilogue."""
        owner = self.owners[level]
        self._leave(self.chain.index(owner) + 1, self._before(line))
        owner.closed = line.end()
        Walk.end(self, level, line)
        del self.owners[level:]

    def pass_by(self, text: bytes) -> None:
        """Some readers overlook more behind a boundary than white space."""
        text = text.rstrip(_STRAY)
        if text.removesuffix(b"--").rstrip(_STRAY) in self.places or text in self.places:
            self.doubts.add("odd-delimiter")

    def look(self, start: int, stop: int, body: int) -> bytes | None:
        """Read a part's header; where it goes on behind a line of dashes, its fields are those before that line."""
        node = self.chain[-1]
        block = bounded_header(bytes(self.content[start:stop]))
        if start != node.start:
            values = block.values(b"content-type")
            return values[0] if values and not self.outside_only else None
        node.header, node.body = block, body
        fields = _read_fields(block, stop - start)
        if self.outside_only:
            node.content_type, node.encoding = fields.content_type, fields.encoding
            return None
        if body > stop:
            self.doubts.add("odd-header")
        if fields.content_type is PLAIN_TEXT and self._is_in_digest(node):
            fields = _Fields(b"message/rfc822", ATTACHED_MESSAGE, fields.encoding, fields.doubts)
        self._keep(node, fields)
        return fields.value

    def _is_in_digest(self, node: _Node) -> bool:
        """RFC 2046 §5.1.5: there a part without a Content-Type is a message."""
        owner = self.owners[-1] if self.owners else None
        return owner is not None and owner.content_type.subtype == "digest" and owner.parts[-1] is node

    def _keep(self, node: _Node, fields: _Fields) -> None:
        node.content_type, node.encoding = fields.content_type, fields.encoding
        self.doubts.update(fields.doubts)

    def enter(self, value: bytes, body: int, depth: int) -> None:
        """Open the entity if there are parts in it that can be seen."""
        node, size = self.chain[-1], len(self.stack)
        kind = node.content_type
        if node.encoding not in IDENTITY and (kind.type == "multipart" or kind.essence == "message/rfc822"):
            self.doubts.add("encoded-multipart")
        if node.encoding not in IDENTITY:
            return
        Walk.enter(self, value, body, depth)
        if len(self.stack) > size:
            self._open(node, self.stack[-1])
        elif self.part >= 0:
            self._add(node, body)

    def _open(self, node: _Node, opened: Open) -> None:
        self.owners.append(node)
        node.boundary = opened.boundary
        # `--b--` ends the multipart of `b`, and begins a part in that of `b--`
        near = {opened.boundary + b"--", opened.boundary.removesuffix(b"--")} - {opened.boundary}
        if opened.outer is not None or not near.isdisjoint(self.places):
            self.doubts.add("reused-boundary")

    def _add(self, owner: _Node, start: int) -> None:
        self.count += 1
        if self.count > self.limit:
            raise StructureError("parts", f"the message has more than {self.limit} MIME parts")
        node = _Node(start, start)
        owner.parts.append(node)
        self.chain.append(node)

    def _leave(self, size: int, end: int) -> None:
        """The innermost entities end here, until `size` are open."""
        while len(self.chain) > size:
            node = self.chain.pop()
            node.end = end
            if end < node.start:  # the line end before this delimiter is that of the one before (RFC 2046 §5.1.1)
                self.doubts.add("odd-header")
            if not node.boundary:
                continue
            if node.closed < 0:
                self.doubts.add("missing-end")
            elif self._occurs(b"\n--" + node.boundary, node.closed, end):
                self.doubts.add("delimiter-after-end")
            if not node.parts:
                self.doubts.add("no-parts")
            self._look_for_delimiters(node, end)

    def _look_for_delimiters(self, node: _Node, end: int) -> None:
        """Outside of all parts, one line begins as a delimiter does, to whoever matches loosely (RFC 2046 §5.1.1)."""
        mark = b"--" + node.boundary
        preamble = self._count(mark, node.body, node.parts[0].start) if node.parts else 1
        if preamble > 1 or (self.outside_only and node.parts and self._beyond_first(node, mark, end)):
            self.doubts.add("odd-delimiter")

    def _beyond_first(self, node: _Node, mark: bytes, end: int) -> bool:
        """Whether more delimiters than there are can be found behind the first part; that part alone is signed."""
        expected = len(node.parts) - 1 + (node.closed >= 0)
        return self._count(mark, node.parts[0].end, end) > expected

    def _count(self, mark: bytes, start: int, end: int) -> int:
        assert isinstance(self.content, bytes)
        return self.content.count(mark, start, end)

    def _occurs(self, text: bytes, start: int, end: int) -> bool:
        assert isinstance(self.content, bytes)
        return self.content.find(text, start, end) >= 0

    def _before(self, line: re.Match[bytes]) -> int:
        """Where the line end in front of a delimiter begins."""
        at = line.start()
        return at - 1 if at and self.content[at - 1] == 13 else at


@frozen
class _Fields:
    """What a header says of its entity. `value` is the raw Content-Type, if it can be read at all."""

    value: bytes | None
    content_type: ContentType
    encoding: str
    doubts: tuple[str, ...] = ()

    @property
    def has_parts(self) -> bool:
        return self.content_type.type in ("multipart", "message")


def _read_fields(block: HeaderBlock, size: int) -> _Fields:
    """Content-Type and Content-Transfer-Encoding of a header of `size` octets; both names and spans in one go."""
    kind = encoding = None
    doubts: list[str] = []
    at = 0
    for name, start, value_start, end in block.fields:
        if start != at or value_start - at - 1 != len(name):
            doubts.append("odd-header")
        at = end
        if name == b"content-type":
            if kind is not None:
                doubts.append("duplicate-content-type")
            else:
                kind = block.raw[value_start:end].rstrip(b"\r\n")
        elif name == b"content-transfer-encoding":
            if encoding is not None:
                doubts.append("duplicate-encoding")
            else:
                value = block.raw[value_start:end]
                encoding = read_encoding(value)
                if b"(" in value:
                    doubts.append("unknown-encoding")  # many readers know no comments there
    if block.raw[at:size] not in (b"", b"\r\n", b"\n") or _LINE_OF_BLANKS.search(block.raw, 0, size):
        doubts.append("odd-header")
    if encoding is not None and encoding not in _ENCODINGS:
        doubts.append("unknown-encoding")
    if kind is None:
        return _Fields(None, PLAIN_TEXT, encoding or "7bit", tuple(doubts))
    content_type, doubt = read_type(kind)
    if doubt:
        doubts.append(doubt)
    return _Fields(kind if content_type is not OPAQUE else None, content_type, encoding or "7bit", tuple(doubts))


def _line_ends(raw: bytes, root: Entity) -> tuple[str, ...]:
    return line_ends(raw, (raw[leaf.body : leaf.end] for leaf in leaves(root) if leaf.encoding == "binary"))
