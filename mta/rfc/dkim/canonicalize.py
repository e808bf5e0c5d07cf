"""Header fields and bodies in the forms that are signed: RFC 6376 §3.4 and §3.7.

A line ends in CRLF and nowhere else: a bare CR or LF is an octet like any. White space is SP and HTAB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from mta.model.message import HeaderBlock, HeaderField


class Canonicalization(Enum):
    """The two forms of RFC 6376 §3.4, for header and body alike."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """A field in relaxed form with its CRLF (RFC 6376 §3.4.2); the value may be folded."""
    text = value.replace(b"\r\n", b"").replace(b"\t", b" ").strip(b" ")
    if b"  " in text:
        text = b" ".join([word for word in text.split(b" ") if word])
    return name.rstrip(b" \t").lower() + b":" + text + b"\r\n"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A signing field as it was before the signature was put in: RFC 6376 §3.7, b= with an empty value."""

    name: bytes
    value: bytes

    @classmethod
    def of(cls, field: HeaderField, raw: bytes) -> Unsigned:
        """The field with the value of its b= taken out, white space around it included."""
        parts = raw[field.value_start : field.end].removesuffix(b"\r\n").split(b";")
        for number, part in enumerate(parts):
            name, equals, _ = part.partition(b"=")
            if equals and name.strip() == b"b":
                parts[number] = name + equals
        value = b";".join(parts)
        return cls(raw[field.start : field.value_start - 1], value)

    def canonical(self, form: Canonicalization) -> bytes:
        """As it is hashed: without a final CRLF."""
        if form is Canonicalization.SIMPLE:
            return b"%b:%b" % (self.name, self.value)
        return relaxed_field(self.name, self.value)[:-2]


class Headers:
    """A message's header fields in canonical form, each made once, for all signatures."""

    __slots__ = ("_named", "_relaxed", "block")

    def __init__(self, block: HeaderBlock) -> None:
        self.block = block
        self._named: dict[bytes, list[HeaderField]] = {}
        self._relaxed: dict[int, bytes] = {}
        for field in reversed(block.fields):
            self._named.setdefault(field.name, []).append(field)

    @property
    def names(self) -> Iterable[bytes]:
        """The names of all fields, each once."""
        return self._named

    def named(self, name: bytes) -> Sequence[HeaderField]:
        """The fields called `name` (lower case), the lowest first."""
        return self._named.get(name, ())

    def digest(self, names: Sequence[bytes], form: Canonicalization, own: HeaderField | None, last: bytes) -> bytes:
        """SHA-256 of the fields that `names` choose and of `last`, the signing field itself.

        `own` is that field in the message, which no name can choose.
        """
        parts: list[bytes] = []
        used: dict[bytes, int] = {}
        for name in names:
            # RFC 6376 §5.4.2: from the bottom up; a name that finds nothing more stands for nothing
            fields = self._named.get(name)
            if fields is None:
                continue
            position = used.get(name, 0)
            if position < len(fields) and fields[position] is own:
                position += 1
            if position < len(fields):
                parts.append(self.canonical(fields[position], form))
                used[name] = position + 1
        parts.append(last)
        return hashlib.sha256(b"".join(parts)).digest()

    def canonical(self, field: HeaderField, form: Canonicalization) -> bytes:
        """One field with its CRLF."""
        raw = self.block.raw
        if form is Canonicalization.SIMPLE:
            whole = raw[field.start : field.end]
            return whole if whole.endswith(b"\n") else whole + b"\r\n"
        start, middle = field.start, field.value_start
        made = self._relaxed.get(start)
        if made is None:
            made = self._relaxed[start] = relaxed_field(raw[start : middle - 1], raw[middle : field.end])
        return made
