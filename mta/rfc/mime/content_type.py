"""Reads a Content-Type: RFC 2045 §5.1. Never fails: what readers could disagree about is said beside the reading."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from functools import lru_cache

from mta.model.frozen import frozen
from mta.rfc.mime.header import unfold
from mta.rfc.mime.parameters import readings, uncommented

_ESSENCE = re.compile(
    rb"[ \t\r\n]*+([!#$%&'*+.^_`{|}~0-9A-Za-z-]++)/([!#$%&'*+.^_`{|}~0-9A-Za-z-]++)[ \t\r\n]*+(?=;|\Z)"
)
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"?|([^\s;]*+))', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SPACE = rb"(?:[ \t\r\n]++|\([^()\\\";=]*+\))*"  # with comments in which nobody sees anything else
_NAME = rb"[!#$%&'*+.^_`{|}~0-9A-Za-z-]++"
_VALUE = rb'(?:"[^"\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*+"|(?!\')[^\x00-\x20\x7f-\xff()\\";=]*+)'
# Parameters and nothing else: nothing behind a value, no control, no `=` in a value without quotes, nothing escaped,
# nothing that begins as if in single quotes, which are quotes to some readers
_PLAIN_PARAMETERS = re.compile(
    rb"(?:%b;%b%b[ \t\r\n]*+=[ \t\r\n]*+%b)*%b;?%b" % (_SPACE, _SPACE, _NAME, _VALUE, _SPACE, _SPACE)
)
# Many readers take a comment beside it for a part of the name or of the value; a boundary without quotes is a token;
# some take single quotes off, some leave a fold within it
_PLAIN_BOUNDARY = re.compile(
    rb";[ \t\r\n]*+boundary[ \t\r\n]*+=[ \t\r\n]*+"
    rb"(?:\"(?!')[^\"\r\n]*+\"|(?!')[!#$%&'*+.^_`{|}~0-9A-Za-z-]++)[ \t\r\n]*+(?=;|\Z)",
    re.IGNORECASE,
)
# RFC 2046 §5.1.1: one to seventy of these, the last one no space
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_NOT_IN_NAMES = bytes((*range(33), ord("\\"), *range(127, 256)))  # some readers overlook them
_NOT_LETTERS = bytes(octet for octet in range(256) if not chr(octet).isalpha() or octet > 127)
_DECISIVE = frozenset({"charset", "format", "delsp", "smime-type", "protocol", "boundary"})  # for what a reader shows


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

    def all(self, name: str) -> tuple[str, ...]:
        """Every value that some reader finds for a parameter, in pieces or in a charset as well (RFC 2231)."""
        return readings(self.parameters, name)


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
    value = uncommented(value)
    match = _ESSENCE.match(value)
    if match is None:
        return OPAQUE
    found = tuple((name.decode("latin-1"), text.decode("latin-1")) for name, text in _parameters(value, match.end()))
    return ContentType(match[1].decode("ascii").lower(), match[2].decode("ascii").lower(), found)


def read_encoding(value: bytes) -> str:
    """What a Content-Transfer-Encoding says (RFC 2045 §6.1), in lower case. White space is that of header fields."""
    return uncommented(value).strip(b" \t\r\n").lower().decode("latin-1")


def parameters(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every parameter in a field's value, as lenient readers find them: the name in lower case, the value unquoted."""
    return _parameters(uncommented(value), 0)


def _parameters(value: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    for match in _PARAMETER.finditer(value, start):
        text = match[3] if match[2] is None else _QUOTED_PAIR.sub(rb"\1", unfold(match[2]))
        yield match[1].translate(_LOWER, _NOT_IN_NAMES), text


def doubtful(value: bytes) -> str:
    """What two readers of this Content-Type could see differently, in a word (see `entity.AMBIGUITIES`), or nothing."""
    match = _ESSENCE.match(uncommented(value))
    if match is None or value.lstrip(b" \t\r\n").startswith(b"("):
        return "unreadable-type"
    names = [name.partition(b"*")[0].decode("latin-1") for name, _ in parameters(value)]
    if match[1].lower() == b"multipart":
        return _doubtful_multipart(value, names)
    several = [name for name in _DECISIVE if names.count(name) > 1]
    return "odd-parameters" if several or _CONTROL.search(value) else ""


def _doubtful_multipart(value: bytes, names: list[str]) -> str:
    begin = value.find(b";")
    if names.count("boundary") > 1:
        return "several-boundaries"
    if not any(text for name, text in parameters(value) if name == b"boundary"):
        return "no-boundary" if "boundary" not in names else "odd-boundary"
    if b"=?" in value and b"?=" in value:  # an encoded word: some readers decode it, and take what is inside
        return "odd-boundary"
    plain = _PLAIN_BOUNDARY.search(value)
    boundary = next(text for name, text in parameters(value) if name == b"boundary")
    if plain is None or not _BOUNDARY.fullmatch(boundary):
        return "odd-boundary"
    rest = value[: plain.start()] + b";" + value[plain.end() :]
    if b"boundary" in rest.translate(None, _NOT_LETTERS).lower():  # escaped, in quotes, in a comment
        return "several-boundaries"
    if len(set(names)) != len(names):
        return "odd-parameters"
    head = _TYPE_ALONE.fullmatch(value[:begin])
    return "" if head and _PLAIN_PARAMETERS.fullmatch(value, begin) else "odd-boundary"


_TYPE_ALONE = re.compile(rb"[ \t\r\n]*+" + _NAME + rb"/" + _NAME + _SPACE)
