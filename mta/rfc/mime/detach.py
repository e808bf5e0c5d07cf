"""Finds the parts of a message that a report may be in: RFC 2045, RFC 2046. Tolerant, bounded, never raises.

For reading what was received, not for judging it: where a message can be understood in two ways, one is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

from mta.rfc.mime.header import HeaderError, scan_header
from mta.rfc.mime.structure import check_structure

MAX_PARTS = 100
_NESTING = 20
_BOUNDARY = 200  # octets
_HEADER = 256 * 1024
_FIELDS_ONLY = "message/feedback-report"  # a part that the library takes for a message with a header alone


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf: its media type in lower case, the name it gives itself, its octets without the transfer encoding."""

    media_type: str
    name: str
    data: bytes


def leaves(message: bytes) -> tuple[Part, ...]:
    """The leaves in order; none of a message whose structure is beyond bounds."""
    try:
        block = scan_header(message, _HEADER)
    except HeaderError:
        return ()
    if check_structure(message, block, _NESTING, _BOUNDARY):
        return ()
    found: list[Part] = []
    for part in _walk(message_from_bytes(message)):
        if len(found) == MAX_PARTS:
            break
        found.append(part)
    return tuple(found)


def _walk(message: Message) -> Iterator[Part]:
    for part in message.walk():
        if part.get_content_type() == _FIELDS_ONLY:
            yield Part(_FIELDS_ONLY, "", _fields(part))
            continue
        if part.is_multipart():
            continue
        try:
            payload = part.get_payload(decode=True)
            name = part.get_filename("")
        except (ValueError, LookupError, TypeError, AssertionError):  # the library's own trouble with odd headers
            continue
        if isinstance(payload, bytes):
            yield Part(part.get_content_type().lower(), name, payload)


def _fields(part: Message) -> bytes:
    inner = part.get_payload()
    fields = inner[0].items() if isinstance(inner, list) and inner and isinstance(inner[0], Message) else []
    return b"".join(f"{name}: {value}\r\n".encode("utf-8", "surrogateescape") for name, value in fields)
