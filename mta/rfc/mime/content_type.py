"""Reads a Content-Type: RFC 2045 §5.1. Never fails: what readers could disagree about is said beside the reading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from mta.model.frozen import frozen
from mta.rfc.mime.header import unfold

_ESSENCE = re.compile(rb"\s*+([!#$%&'*+.^_`{|}~0-9A-Za-z-]++)/([!#$%&'*+.^_`{|}~0-9A-Za-z-]++)[ \t\r\n]*+(?=;|\Z)")
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"?|([^\s;]*+))', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# Parameters and nothing else: no comments, nothing behind a value, which some readers take for a part of it
_PLAIN_PARAMETERS = re.compile(
    rb'(?:\s*+;\s*+[^\s=;"()]++\s*+=\s*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*"|[^\s;"()]*+))*\s*+;?\s*+', re.DOTALL
)
# RFC 2046 §5.1.1: one to seventy of these, the last one no space
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")


@frozen
class ContentType:
    """A Content-Type taken apart. Names are in lower case; of a name given twice, every value stands here."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        """Type and subtype, like `text/plain`."""
        return f"{self.type}/{self.subtype}"

    def get(self, name: str) -> str:
        """The first value of a parameter (its quotes taken off), or an empty string."""
        return next((value for key, value in self.parameters if key == name), "")


_LONGEST_KEPT = 256  # octets of a field that is kept in memory

PLAIN_TEXT = ContentType("text", "plain")  # RFC 2045 §5.2: what an entity without the field is
ATTACHED_MESSAGE = ContentType("message", "rfc822")
OPAQUE = ContentType("application", "octet-stream")  # RFC 2045 §5.2: a type that cannot be read


def read_type(value: bytes) -> tuple[ContentType, str]:
    """What the field says, and what is doubtful about it. Most parts of most messages have one of a few types."""
    return _kept(value) if len(value) <= _LONGEST_KEPT else (parse_content_type(value), doubtful(value))


@lru_cache(1024)
def _kept(value: bytes) -> tuple[ContentType, str]:
    return parse_content_type(value), doubtful(value)


def parse_content_type(value: bytes) -> ContentType:
    """What the field says; `OPAQUE` if not even type and subtype can be read."""
    match = _ESSENCE.match(value)
    if match is None:
        return OPAQUE
    found = tuple((name.decode("latin-1"), text.decode("latin-1")) for name, text in parameters(value[match.end() :]))
    return ContentType(match[1].decode("ascii").lower(), match[2].decode("ascii").lower(), found)


def parameters(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every parameter in a field's value, as lenient readers find them: the name in lower case, the value unquoted."""
    for match in _PARAMETER.finditer(value):
        text = match[3] if match[2] is None else _QUOTED_PAIR.sub(rb"\1", unfold(match[2]))
        yield match[1].lower(), text


def doubtful(value: bytes) -> str:
    """What two readers of this Content-Type could see differently, in a word (see `entity.AMBIGUITIES`), or nothing."""
    match = _ESSENCE.match(value)
    if match is None:
        return "unreadable-type"
    if match[1].lower() != b"multipart":
        return ""
    names = [name for name, _ in parameters(value)]
    if names.count(b"boundary") > 1:
        return "several-boundaries"
    boundary = next((text for name, text in parameters(value) if name == b"boundary"), b"")
    if not boundary:
        return "no-boundary"
    if not _PLAIN_PARAMETERS.fullmatch(value, match.end()) or not _BOUNDARY.fullmatch(boundary):
        return "odd-boundary"
    return ""
