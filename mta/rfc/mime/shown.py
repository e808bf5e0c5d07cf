"""A message as it is shown to a person: its fields in words, one body as text and as HTML, and its files.

For reading what was received, not for judging it: where a message can be understood in two ways, one is taken. Nothing
in here is harmless yet: names, texts and HTML are the sender's own words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.rfc.mime.content_type import parse_content_type
from mta.rfc.mime.detach import decoded
from mta.rfc.mime.entity import Entity, scan_entity
from mta.rfc.mime.header import HeaderError, scan_header
from mta.rfc.mime.parameters import uncommented
from mta.rfc.mime.structure import StructureError
from mta.rfc.mime.words import decode_charset, decode_words

MAX_FILES = 500
_HEADER = 256 * 1024
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file that came with it. `content_id` is without its angle brackets."""

    media_type: str
    name: str
    data: bytes = field(repr=False)
    content_id: str = ""
    inline: bool = False  # a picture that the HTML may name

    def is_in(self, html: str) -> bool:
        """Whether the HTML shows it (RFC 2392)."""
        return self.inline and f"cid:{self.content_id}" in html


@dataclass(frozen=True, slots=True)
class Shown:
    """`fields` are in words, by lower-case name; of a field that is there twice the first counts."""

    fields: dict[str, str]
    text: str = ""
    html: str = ""
    files: tuple[ShownFile, ...] = ()
    readable: bool = True  # False: its structure is beyond all bounds, and it is shown as it stands


_FIELDS = ("from", "to", "cc", "subject", "date", "message-id", "references", "in-reply-to", "reply-to")


def show(message: bytes) -> Shown:
    """What there is to see."""
    try:
        block = scan_header(message, _HEADER)
        fields = {name: decode_words(values[0]) for name in _FIELDS if (values := block.values(name.encode()))}
    except HeaderError:
        return Shown({}, text=decode_charset(message[:_HEADER], "utf-8"), readable=False)
    try:
        root = scan_entity(message, block).root
    except StructureError:
        return Shown(fields, text=decode_charset(message[block.body_start :], "utf-8"), readable=False)
    found = _Finder(message)
    found.look(root, 0)
    return Shown(fields, "\n".join(found.texts), "<hr>".join(found.html), tuple(found.files[:MAX_FILES]))


@dataclass(slots=True)
class _Finder:
    message: bytes
    texts: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    files: list[ShownFile] = field(default_factory=list)

    def look(self, entity: Entity, depth: int) -> None:
        """Whatever is in the entity."""
        kind = entity.content_type
        if kind.type == "multipart" and entity.parts and depth < _MAX_DEPTH:
            if kind.subtype == "alternative":
                self._alternatives(entity, depth)
            else:
                for part in entity.parts:
                    self.look(part, depth + 1)
            return
        self._leaf(entity)

    def _alternatives(self, entity: Entity, depth: int) -> None:
        """RFC 2046 §5.1.4: of each kind the last one; files among them are files."""
        before_text, before_html = len(self.texts), len(self.html)
        for part in entity.parts:
            self.look(part, depth + 1)
        del self.texts[before_text:-1]
        del self.html[before_html:-1]

    def _leaf(self, entity: Entity) -> None:
        kind = entity.content_type
        disposition, name = _disposition(entity)
        data = decoded(self.message[entity.body : entity.end], entity.encoding)
        is_text = kind.type == "text" and kind.subtype in ("plain", "html")
        if is_text and disposition != "attachment" and not name:
            text = decode_charset(data, kind.get("charset")).replace("\r\n", "\n")
            (self.html if kind.subtype == "html" else self.texts).append(text)
            return
        if kind.type == "message" and not name:
            name = "message.eml"
        ids = entity.header.values(b"content-id")
        content_id = ids[0].strip(b" \t\r\n<>").decode("latin-1") if ids else ""
        inline = bool(content_id) and kind.type == "image" and disposition != "attachment"
        self.files.append(ShownFile(kind.essence, name, data, content_id, inline))


def _disposition(entity: Entity) -> tuple[str, str]:
    """What Content-Disposition says, and the name of the file (RFC 2183 §2.3), in words."""
    names = list(entity.content_type.all("name"))
    word = ""
    for value in entity.header.values(b"content-disposition")[:1]:
        told = parse_content_type(b"x/" + uncommented(value).lstrip(b" \t\r\n"))
        word = told.subtype
        names[:0] = told.all("filename")
    name = next(iter(names), "")
    if name.isascii() or any(ord(character) > 255 for character in name):
        return word, decode_words(name.encode("utf-8"))
    return word, decode_charset(name.encode("latin-1"), "utf-8")
