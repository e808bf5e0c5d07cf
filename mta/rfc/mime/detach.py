"""Finds the parts of a message that a report may be in: RFC 2045, RFC 2046. Tolerant, bounded, never raises.

For reading what was received, not for judging it: where a message can be understood in two ways, one is taken.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from mta.rfc.mime.content_type import parse_content_type
from mta.rfc.mime.entity import PARTS, Entity, scan_entity
from mta.rfc.mime.entity import leaves as leaves_of
from mta.rfc.mime.header import HeaderError, scan_header
from mta.rfc.mime.parameters import uncommented
from mta.rfc.mime.structure import StructureError

MAX_PARTS = 100  # that are given out
_HEADER = 256 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf: its media type in lower case, the name it gives itself, its octets without the transfer encoding."""

    media_type: str
    name: str
    data: bytes


def leaves(message: bytes, most: int = MAX_PARTS) -> tuple[Part, ...]:
    """The first `most` leaves in order; none of a message whose structure is beyond bounds."""
    try:
        block = scan_header(message, _HEADER)
        anatomy = scan_entity(message, block, parts=PARTS)
    except (HeaderError, StructureError):
        return ()
    return tuple(_part(message, entity) for entity in leaves_of(anatomy.root)[:most])


def _part(message: bytes, entity: Entity) -> Part:
    names = list(entity.content_type.all("name"))
    for value in entity.header.values(b"content-disposition"):
        names[:0] = parse_content_type(b"x/" + uncommented(value).lstrip(b" \t\r\n")).all("filename")
    body = message[entity.body : entity.end]
    return Part(entity.content_type.essence, next(iter(names), ""), decoded(body, entity.encoding))


def decoded(body: bytes, encoding: str) -> bytes:
    """Without the transfer encoding (RFC 2045 §6); what is no base64 at all stays as it is."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding != "base64":
        return body
    for padding in (b"", b"==", b"="):
        try:
            return binascii.a2b_base64(body + padding)
        except binascii.Error:
            continue
    return body
