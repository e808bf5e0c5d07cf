"""Writes the answer that a reader gives on a page: RFC 5322, RFC 2045, RFC 2183. Lines of 7-bit text.

Everything in it is a stranger's: subjects, names and texts are made safe, or encoded so that no octet of theirs can end
a header field or a part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote

from mta.rfc.mime.date import format_date
from mta.rfc.mime.seven_bit import base64_lines, fits_lines, quoted_printable
from mta.rfc.mime.text import address_value, fold, header_value, plain_line
from mta.rfc.mime.words import encode_words

_ID = re.compile(r"<[!-;=?A-~]{1,250}@[!-;=?A-~]{1,250}>")
_MOST_REFERENCES = 20
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}")


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """A file of the answer; its name has no path."""

    name: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AnswerLetter:
    """Who answers what. `from_` is the portal's own address, in whose name nobody else can write; `reader` the proven
    one. The fields of the message that is answered may be anything.
    """

    id: str
    hostname: str
    from_: str
    reader: str
    to: str
    date: float
    portal: str
    subject: str = ""
    message_id: str = ""
    references: str = ""
    cc: tuple[str, ...] = ()


def compose_answer(letter: AnswerLetter, text: str, files: Sequence[AnswerFile] = ()) -> bytes:
    """The message. Raises ValueError for an address that cannot stand in a header field."""
    head = b"".join(fold(name, header_value(value)) for name, value in _fields(letter))
    body = _text(text)
    if not files:
        return head + body
    parts = [body, *(_file(file) for file in files)]
    boundary = f"=_{sha256(letter.id.encode() + b''.join(parts)).hexdigest()[:40]}".encode()
    joined = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    start = b'Content-Type: multipart/mixed;\r\n\tboundary="' + boundary + b'"\r\n\r\n'
    return head + start + joined + b"--" + boundary + b"--\r\n"


def _fields(letter: AnswerLetter) -> list[tuple[str, str]]:
    name = plain_line(f"{letter.reader} via {letter.portal}").replace("\\", "?").replace('"', "'")
    fields = [
        ("From", f'"{name}" <{address_value(letter.from_)}>'),
        ("Reply-To", f"<{address_value(letter.reader)}>"),
        ("To", f"<{address_value(letter.to)}>"),
        *((("Cc", ", ".join(f"<{address_value(one)}>" for one in letter.cc)),) if letter.cc else ()),
        ("Subject", encode_words(_subject(letter.subject))),
        ("Date", format_date(letter.date)),
        ("Message-ID", f"<{letter.id}@{letter.hostname}>"),
    ]
    # RFC 5322 §3.6.4: the one that is answered, and those before it
    answered = _ID.findall(letter.message_id)[:1]
    before = [identifier for identifier in _ID.findall(letter.references) if identifier not in answered][
        -_MOST_REFERENCES:
    ]
    fields += [("In-Reply-To", identifier) for identifier in answered]
    fields += [("References", " ".join((*before, *answered)))] if answered else []
    return [*fields, ("Auto-Submitted", "no"), ("MIME-Version", "1.0")]


def _subject(subject: str) -> str:
    plain = plain_line(subject)[:400]
    return plain if plain[:3].lower() == "re:" else f"Re: {plain}".rstrip()


def _text(text: str) -> bytes:
    lines = "\r\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    data = lines.encode("utf-8", "replace").replace(b"\0", b"?")
    data = data if data.endswith(b"\r\n") else data + b"\r\n"
    plain = data.isascii() and fits_lines(data)
    encoding = b"7bit" if plain else b"quoted-printable"
    start = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
    return start + (data if plain else quoted_printable(data))


def _file(file: AnswerFile) -> bytes:
    kind = file.media_type if _TYPE.fullmatch(file.media_type) else "application/octet-stream"
    if kind.lower().startswith(("multipart/", "message/")):
        kind = "application/octet-stream"  # a base64 of them could not be
    if file.name.isascii():
        name = "".join(c if c.isalnum() or c in " ._-()+" else "_" for c in file.name)[:100]
        parameter = f'filename="{name or "file"}"'
    else:  # RFC 2231 §4; beside a plain name some readers would overlook it
        parameter = f"filename*=utf-8''{quote(file.name[:60], safe='')}"
    disposition = f"Content-Disposition: attachment;\r\n\t{parameter}"
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{disposition}"
    return head.encode("ascii") + b"\r\n\r\n" + base64_lines(file.data)
