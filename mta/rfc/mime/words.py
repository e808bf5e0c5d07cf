"""Text beyond ASCII in header fields (RFC 2047), and the charsets of bodies. Tolerant, bounded, never raises."""

from __future__ import annotations

import base64
import binascii
import codecs
import re

from mta.rfc.mime.header import unfold

_WORD = re.compile(r"=\?([A-Za-z0-9!#$%&'+^_`{|}~.-]{1,60})(?:\*[A-Za-z0-9-]*)?\?([bBqQ])\?([!->@-~ ]*?)\?=")
_BETWEEN = re.compile(r"(\?=)[ \t\r\n]+(?==\?)")  # RFC 2047 §6.2: white space between two words is not shown
_LONGEST = 20_000  # characters of a field that are looked at
_ODD_CODECS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined", "mbcs"})
_PIECE = 39  # octets in an encoded word: 52 of base64, so that the word stays below 75 (RFC 2047 §2)


def decode_charset(data: bytes, charset: str) -> str:
    """The text of `data`. An unknown charset is read as UTF-8, or where that fails as Windows-1252."""
    try:
        codec = codecs.lookup(charset.strip().strip("\"'") or "utf-8")
        if codec._is_text_encoding and codec.name not in _ODD_CODECS:
            return data.decode(codec.name, "strict" if codec.name in ("utf-8", "ascii") else "replace")
    except (LookupError, ValueError, TypeError):
        pass
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def decode_words(value: bytes) -> str:
    """A field's value as a person reads it, on one line."""
    text = decode_charset(unfold(value).strip(b" \t\r\n")[:_LONGEST], "utf-8")
    return " ".join(_WORD.sub(_decoded, _BETWEEN.sub(r"\1", text)).split())


def _decoded(match: re.Match[str]) -> str:
    charset, encoding, text = match.groups()
    try:
        if encoding in "bB":
            data = binascii.a2b_base64(text + "=" * (-len(text) % 4))
        else:
            data = binascii.a2b_qp(text.replace("_", " "), header=True)
    except (binascii.Error, ValueError):
        return match[0]
    return decode_charset(data, charset)


def encode_words(text: str) -> str:
    """`text` as the value of an unstructured field: itself where it is ASCII, else in encoded words of UTF-8."""
    if text.isascii() and "=?" not in text:
        return text
    words, piece = [], b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > _PIECE:
            words.append(piece)
            piece = b""
        piece += octets
    return " ".join(f"=?utf-8?B?{base64.b64encode(word).decode('ascii')}?=" for word in (*words, piece))
