"""As much of protobuf's wire format as the key server needs: fields of varints and octets, bounded."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from mta.errors import KasError

_VARINT, _FIXED_64, _OCTETS, _FIXED_32 = 0, 1, 2, 5
_MAX_FIELDS = 10_000


def read_message(data: bytes) -> dict[int, bytes]:
    """The fields of octets (texts, messages) by number, the last one of each. Raises KasError."""
    return {number: value for number, value in _fields(data) if isinstance(value, bytes)}


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    offset = 0
    for _ in range(_MAX_FIELDS):
        if offset == len(data):
            return
        key, offset = _varint(data, offset)
        number, kind = key >> 3, key & 7
        value: int | bytes
        if kind == _VARINT:
            value, offset = _varint(data, offset)
        elif kind in (_OCTETS, _FIXED_32, _FIXED_64):
            size, offset = _varint(data, offset) if kind == _OCTETS else ((4 if kind == _FIXED_32 else 8), offset)
            value = data[offset : offset + size]
            offset += size
        else:
            raise _broken()
        if offset > len(data) or not number:
            raise _broken()
        yield number, value
    raise _broken()


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if offset >= len(data):
            raise _broken()
        octet = data[offset]
        offset += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, offset
    raise _broken()


def _broken() -> KasError:
    return KasError("invalid_argument", "the body is no protobuf message")


def text(data: bytes) -> str:
    """A field of text. Raises KasError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _broken() from None


def field(number: int, value: str | bytes) -> bytes:
    """A field of text or octets; an empty one is left out, as proto3 does."""
    octets = value.encode("utf-8") if isinstance(value, str) else value
    return message(number, octets) if octets else b""


def message(number: int, octets: bytes) -> bytes:
    """A field of a message, also of an empty one."""
    return _written(number << 3 | _OCTETS) + _written(len(octets)) + octets


def _written(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def struct_of(value: Mapping[str, object]) -> bytes:
    """google.protobuf.Struct: an object."""
    return b"".join(entry(1, name, value_of(part)) for name, part in value.items())


def entry(number: int, name: str, value: bytes) -> bytes:
    """One entry of a map from text to messages."""
    return message(number, field(1, name) + message(2, value))


def value_of(value: object) -> bytes:
    """google.protobuf.Value: whatever JSON can say."""
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return b"\x20" + bytes([value])
    if isinstance(value, int | float):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, str):
        return message(3, value.encode("utf-8"))
    if isinstance(value, Mapping):
        return message(5, struct_of(value))
    assert isinstance(value, Sequence), "JSON has no other values"
    return message(6, b"".join(message(1, value_of(part)) for part in value))
