"""Makes an entity 7-bit before it is signed: RFC 8551 §3.1.3.

A relay on the way may not carry 8-bit content as it is; what it changes breaks the signature. So every leaf that needs
it is encoded here (text as quoted-printable, the rest as base64), a declared `8bit` or `binary` that is true of nothing
any more becomes `7bit`, and all else stays byte for byte as it was.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from mta.model.frozen import frozen
from mta.model.message import HeaderBlock
from mta.rfc.mime.entity import IDENTITY, Entity

LONGEST = 998  # RFC 5322 §2.1.1: octets of a line without its CRLF
_PAGE = 57 * 128  # octets that make 128 lines of base64
_FIELD = b"content-transfer-encoding"
_UNTOUCHABLE = ("multipart/signed", "multipart/encrypted")  # RFC 1847 §2.1: their bytes are what was protected
_ASCII = bytes(range(127))


@frozen
class SevenBit:
    """An entity whose body is 7-bit: `encoding` is what its Content-Transfer-Encoding has to say now."""

    encoding: str
    body: tuple[bytes | memoryview, ...]  # pieces that make it together


class SevenBitError(ValueError):
    """The content cannot be made 7-bit without changing what it means. `word` names why."""

    def __init__(self, word: str, text: str) -> None:
        super().__init__(text)
        self.word = word


def make_seven_bit(raw: bytes, entity: Entity, *, eight_bit_headers: bool = False) -> SevenBit:
    """The body of `entity` in 7-bit, without a copy where nothing has to change.

    Raises SevenBitError for what may not be encoded: the inside of something signed, 8-bit octets where the encoding
    says that there are none, headers in UTF-8 (RFC 6532) unless `eight_bit_headers`.
    """
    if raw.isascii() and fits_lines(raw) and not _declares_any_eight_bit(entity):
        return SevenBit(entity.encoding, (memoryview(raw)[entity.body : entity.end],))
    if not entity.parts:
        encoding, body = _leaf(entity, raw[entity.body : entity.end])
        return SevenBit(encoding, (body,))
    encoding = "7bit" if _declares_eight_bit(entity) else entity.encoding
    return SevenBit(encoding, tuple(_Rewriting(raw, eight_bit_headers).body(entity)))


def with_encoding(header: HeaderBlock, size: int, encoding: str) -> bytes:
    """The header (`size` octets with the empty line) with `encoding` in its Content-Transfer-Encoding."""
    line = b"Content-Transfer-Encoding: " + encoding.encode("ascii") + b"\r\n"
    for field in header.fields:
        if field.name == _FIELD:
            return header.raw[: field.start] + line + header.raw[field.end : size]
    end = header.fields[-1].end if header.fields else 0
    return header.raw[:end] + line + (header.raw[end:size] or b"\r\n")


def base64_lines(data: bytes) -> bytes:
    """Base64 in lines of 76 characters, each with its CRLF: RFC 2045 §6.8."""
    if 0 < len(data) <= _PAGE:
        return _page(data) + b"\r\n"
    out = BytesIO()
    writer = Base64Writer(out)
    writer.write(data)
    writer.close()
    return out.getvalue()


@dataclass(slots=True)
class Base64Writer:
    """Writes what comes in pieces, wherever they end, as lines of base64.

    The lines are cut by `struct`, without a step of Python for each; page by page, so that a large content needs no
    more memory than its result, and the processor finds each page where it has just put it.
    """

    out: BytesIO
    rest: bytes = b""

    def write(self, piece: bytes) -> None:
        """All lines that are complete with it."""
        data = self.rest + piece if self.rest else piece
        if len(data) < _PAGE:
            self.rest = data
            return
        whole = len(data) // _PAGE * _PAGE
        view = memoryview(data)
        for start in range(0, whole, _PAGE):
            self.out.write(_page(view[start : start + _PAGE]))
            self.out.write(b"\r\n")
        self.rest = data[whole:]

    def close(self) -> None:
        """The last lines."""
        if self.rest:
            self.out.write(_page(self.rest))
            self.out.write(b"\r\n")
            self.rest = b""


def _page(data: bytes | memoryview) -> bytes:
    """At most _PAGE octets, the last line without its CRLF."""
    text = binascii.b2a_base64(data, newline=False)
    whole = len(text) // 76
    lines = _cutter(whole).unpack_from(text)
    rest = text[whole * 76 :]
    return b"\r\n".join((*lines, rest) if rest else lines)


@lru_cache(129)
def _cutter(lines: int) -> struct.Struct:
    return struct.Struct("76s" * lines)


@dataclass(frozen=True, slots=True)
class _Rewriting:
    """Goes through the parts of one multipart or attached message."""

    raw: bytes
    eight_bit_headers: bool

    def body(self, entity: Entity) -> Iterator[bytes]:
        """The pieces of its body."""
        body = self.raw[entity.body : entity.end]
        if entity.content_type.essence in _UNTOUCHABLE and body.isascii():
            yield body
            return
        if entity.content_type.essence in _UNTOUCHABLE:
            raise SevenBitError(
                "signed-inside", "8-bit content within a signed part: encoding it breaks that signature"
            )
        at = entity.body
        for part in entity.parts:
            yield self._between(at, part.start)
            yield from self._part(part)
            at = part.end
        yield self._between(at, entity.end)

    def _part(self, part: Entity) -> Iterator[bytes]:
        whole = self.raw[part.start : part.end]
        untouchable = part.content_type.essence in _UNTOUCHABLE
        if _is_seven_bit(whole) and (untouchable or not _declares_any_eight_bit(part)):
            yield whole
            return
        header = self.raw[part.start : part.body]
        if not header.isascii() and not self.eight_bit_headers:
            raise SevenBitError("eight-bit-header", "the header of a part holds octets that are no ASCII")
        if part.parts:
            yield with_encoding(part.header, len(header), "7bit") if _declares_eight_bit(part) else header
            yield from self.body(part)
            return
        encoding, body = _leaf(part, self.raw[part.body : part.end])
        yield header if encoding == part.encoding else with_encoding(part.header, len(header), encoding)
        yield body

    def _between(self, start: int, end: int) -> bytes:
        piece = self.raw[start:end]
        if not piece.isascii():
            raise SevenBitError("eight-bit-preamble", "8-bit octets stand outside all parts")
        return piece


def _leaf(entity: Entity, body: bytes) -> tuple[str, bytes]:
    """The encoding and the body of a leaf."""
    if entity.encoding not in IDENTITY:
        if body.isascii():
            return entity.encoding, body
        raise SevenBitError("eight-bit-encoded", f"8-bit octets in a part that is said to be {entity.encoding}")
    if _is_seven_bit(body) and b"\0" not in body and _ends_lines_in_crlf(body):
        return "7bit", body
    kind = entity.content_type
    if kind.type == "message" and not kind.subtype.startswith("global"):
        # RFC 2046 §5.2: these may not be encoded, their body is 7-bit or nothing
        raise SevenBitError("eight-bit-message", f"8-bit octets in a part of type {kind.essence}")
    if kind.type == "text" and b"\0" not in body and _ends_lines_in_crlf(body) and _mostly_ascii(body):
        return "quoted-printable", quoted_printable(body)
    return "base64", base64_lines(body)


def quoted_printable(body: bytes) -> bytes:
    """RFC 2045 §6.7. Lines that begin with `From ` are encoded, too: some would put a `>` in front of them."""
    text = binascii.b2a_qp(body, istext=True)  # soft line ends are as those of the text
    if b"\r\n" not in body:
        text = text.replace(b"\n", b"\r\n")
    text = text.replace(b"\nFrom ", b"\n=46rom ")
    return b"=46" + text[1:] if text.startswith(b"From ") else text


def _mostly_ascii(body: bytes) -> bool:
    """Whether quoted-printable is the shorter of the two, or longer by little: of eight octets, three are encoded."""
    sample = body[:4096]
    return 8 * len(sample.translate(None, _ASCII)) <= 3 * len(sample)


def _ends_lines_in_crlf(body: bytes) -> bool:
    return body.count(b"\r\n") == body.count(b"\n") == body.count(b"\r")


def _is_seven_bit(body: bytes) -> bool:
    """ASCII in lines that every relay carries (RFC 2045 §2.7)."""
    return body.isascii() and fits_lines(body)


def fits_lines(body: bytes) -> bool:
    """Whether no line is longer than RFC 5322 §2.1.1 allows; found in hops of a thousand octets."""
    at, size = 0, len(body)
    while size - at > LONGEST:
        end = body.rfind(b"\n", at, at + LONGEST + 2)
        if end < 0:
            return False
        at = end + 1
    return True


def _declares_eight_bit(entity: Entity) -> bool:
    return entity.encoding in ("8bit", "binary")


def _declares_any_eight_bit(entity: Entity) -> bool:
    return _declares_eight_bit(entity) or any(map(_declares_any_eight_bit, entity.parts))
