"""Whether nothing of what was signed can be read without a key: ciphertext alone, however it is wrapped.

Some readers decrypt a part of a message, too, and show what is inside in the frame of the signature around it. Who
signed a stranger's ciphertext has signed nothing of that.
"""

from __future__ import annotations

import binascii
import re
from enum import Enum

from mta.errors import SmimeError
from mta.model.message import HeaderBlock
from mta.rfc.mime.content_type import read_encoding
from mta.rfc.mime.entity import Entity, scan_entity
from mta.rfc.mime.header import scan_header
from mta.rfc.mime.structure import PARTS, has_parts
from mta.rfc.smime.kind import Kind, kind_of
from mta.rfc.smime.signed_data import read_signed_data

_CLOSED = frozenset({Kind.ENCRYPTED, Kind.COMPRESSED, Kind.UNREAD, Kind.PGP_ENCRYPTED})
_PGP_MESSAGE = re.compile(rb"\s*+-----BEGIN PGP MESSAGE-----")
_TAG = re.compile(rb"<[^>]*+>|&nbsp;|&#160;", re.IGNORECASE)
_LOOK = 400  # octets of a body
_DEEPEST = 6  # signed data in signed data


def is_closed(raw: bytes, block: HeaderBlock, depth: int = 0) -> bool:
    """Whether an entity, `block` its header, has ciphertext in it and nothing beside. Raises StructureError."""
    types = block.values(b"content-type")
    if not types or not has_parts(types[0]):  # the most common one needs no walk
        kind = kind_of(block, raw)
        inline = kind is Kind.PGP_INLINE and _PGP_MESSAGE.match(raw, block.body_start) is not None
        return kind in _CLOSED or inline
    return _look(raw, scan_entity(raw, block, parts=PARTS).root, depth) is _Seen.CLOSED


class _Seen(Enum):
    NOTHING = 0
    CLOSED = 1
    SHOWN = 2  # something that can be read, whatever lies beside it


def _look(raw: bytes, entity: Entity, depth: int) -> _Seen:
    kind = kind_of(entity.header, raw[entity.start : entity.body + _LOOK])
    if kind in _CLOSED or (kind is Kind.OPAQUE and _is_closed_inside(raw, entity, depth)):
        return _Seen.CLOSED
    if entity.parts:
        parts = entity.parts[:1] if kind is Kind.SIGNED else entity.parts  # the other one is the signature
        kinds = {_look(raw, part, depth) for part in parts}
        if entity.content_type.essence == "multipart/alternative" and _Seen.CLOSED in kinds:
            return _Seen.CLOSED  # one of them is shown, and which one the reader chooses
        return max(kinds, key=lambda each: each.value)
    if kind is Kind.PGP_INLINE and _PGP_MESSAGE.match(raw, entity.body):
        return _Seen.CLOSED
    return _Seen.NOTHING if _is_blank(raw, entity) else _Seen.SHOWN


def _is_closed_inside(raw: bytes, entity: Entity, depth: int) -> bool:
    try:
        content = read_signed_data(_octets(raw, entity)).content
    except (SmimeError, binascii.Error):
        return True  # nobody shows anything of it
    inside = bytes(content) if content is not None else b""
    return depth >= _DEEPEST or is_closed(inside, scan_header(inside, len(inside)), depth + 1)


def _is_blank(raw: bytes, entity: Entity) -> bool:
    """Whether it shows nothing."""
    if entity.content_type.type == "multipart":
        return True  # without a part
    if entity.content_type.type != "text":
        return False
    try:
        shown = _octets(raw, entity)
    except binascii.Error:
        return False
    return not (_TAG.sub(b"", shown) if entity.content_type.subtype == "html" else shown).strip()


def _octets(raw: bytes, entity: Entity) -> bytes:
    body = raw[entity.body : entity.end]
    values = entity.header.values(b"content-transfer-encoding")
    encoding = read_encoding(values[0]) if values else "7bit"
    if encoding == "base64":
        return binascii.a2b_base64(body)
    return binascii.a2b_qp(body) if encoding == "quoted-printable" else body
