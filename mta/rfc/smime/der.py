"""Writes DER (X.690). What does not change from message to message is written once and kept by who needs it."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_TWO_OCTETS = struct.Struct(">BBH").pack  # a tag, and a length of two octets
NULL = b"\x05\x00"


def header(tag: int, length: int) -> bytes:
    """Tag and length, for content that is put behind it later."""
    if length < 0x80:
        return bytes((tag, length))
    if 0x100 <= length < 0x10000:  # the most common in mail
        return _TWO_OCTETS(tag, 0x82, length)
    octets = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | octets)) + length.to_bytes(octets, "big")


def element(tag: int, *parts: bytes) -> bytes:
    """An element of this tag around the parts."""
    body = b"".join(parts)
    return header(tag, len(body)) + body


def begun(tag: int, begin: bytes, rest: int) -> bytes:
    """An element that begins with `begin` and is continued by `rest` octets that are put behind it later."""
    return header(tag, len(begin) + rest) + begin


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of parts that are DER already."""
    return element(0x30, *parts)


def set_of(parts: Iterable[bytes]) -> bytes:
    """A SET OF: DER wants its parts in the order of their octets (X.690 §11.6)."""
    return element(0x31, *sorted(parts))


def explicit(number: int, *parts: bytes) -> bytes:
    """A context tag around the parts: explicit, or the implicit tag of something constructed."""
    return element(0xA0 | number, *parts)


def octet_string(value: bytes) -> bytes:
    """An OCTET STRING."""
    return element(0x04, value)


def integer(value: int) -> bytes:
    """An INTEGER."""
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its numbers in dots."""
    first, second, *arcs = map(int, dotted.split("."))
    return element(0x06, *map(_base128, (40 * first + second, *arcs)))


def algorithm(dotted: str, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier; without `parameters` they are absent, which is not the same as NULL."""
    return sequence(oid(dotted), *parameters)


def _base128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(arc & 0x7F | 0x80)
    return bytes(reversed(octets))
