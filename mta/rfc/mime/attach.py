"""Writes a message of ours with words for people and one file for programs: RFC 2045, RFC 2046 §5.1."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256

from mta.rfc.mime.text import fold, header_value, wrap

_COLUMNS = 76  # RFC 2045 §6.8
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~@/-]+")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file. `name` holds printable ASCII without quotes."""

    media_type: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """`fields` are the header fields in order, each one line, without those of MIME; `text` is a paragraph in ASCII.

    `multipart` is `mixed`, or another subtype with its parameters.
    """

    fields: tuple[tuple[str, str], ...]
    text: str
    attachment: Attachment
    multipart: str = "mixed"


def compose_letter(letter: Letter) -> bytes:
    """The message, in lines of 7-bit text. Raises ValueError where a field could not stand in a header."""
    file = letter.attachment
    if not _TOKEN.fullmatch(file.name):
        raise ValueError(f"{file.name!r} cannot be the name of an attachment")
    text = wrap(letter.text, "").encode("ascii", "replace")
    boundary = f"=_{sha256(text + file.data).hexdigest()[:32]}"
    head = b"".join(fold(name, header_value(value)) for name, value in letter.fields)
    return b"".join(
        (
            head,
            b"MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/{letter.multipart};\r\n\tboundary="{boundary}"\r\n\r\n'.encode("ascii"),
            f"--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n".encode("ascii"),
            text,
            f"\r\n--{boundary}\r\nContent-Type: {file.media_type}\r\n".encode("ascii"),
            b"Content-Transfer-Encoding: base64\r\n",
            f'Content-Disposition: attachment;\r\n\tfilename="{file.name}"\r\n\r\n'.encode("ascii"),
            _base64(file.data),
            f"--{boundary}--\r\n".encode("ascii"),
        )
    )


def _base64(data: bytes) -> bytes:
    coded = base64.b64encode(data)
    return b"".join(coded[start : start + _COLUMNS] + b"\r\n" for start in range(0, len(coded), _COLUMNS))
