"""A short message of the relay itself, in plain text: a test message, or word to the postmaster."""

from __future__ import annotations

from dataclasses import dataclass

from mta.rfc.mime.date import format_date
from mta.rfc.mime.seven_bit import quoted_printable
from mta.rfc.mime.text import address_value, fold, plain_line, wrap
from mta.rfc.mime.words import encode_words


@dataclass(frozen=True, slots=True)
class Note:
    """What it says. `from_` and `to` are bare addresses, `id` makes the Message-ID, `date` is in epoch seconds.

    The texts may hold others' words: they are made safe.
    """

    id: str
    hostname: str
    from_: str
    to: str
    date: float
    subject: str
    paragraphs: tuple[str, ...]
    name: str = "Mail Delivery System"


def _phrase(name: str) -> str:
    """RFC 5322 §3.2.5: words of letters and spaces stand for themselves, everything else in quotes."""
    if name.replace(" ", "").isascii() and name.replace(" ", "").isalnum():
        return name
    plain = plain_line(name).encode("ascii", "replace").decode("ascii").replace("\\", "?").replace('"', "'")
    return f'"{plain}"'


def compose_note(note: Note) -> bytes:
    """The message. Raises ValueError for an address that cannot stand in a header field."""
    body = "\r\n".join(wrap(paragraph, "") for paragraph in note.paragraphs)
    fields = (
        ("From", f"{_phrase(note.name)} <{address_value(note.from_)}>"),
        ("To", f"<{address_value(note.to)}>"),
        ("Subject", encode_words(plain_line(note.subject))),
        ("Date", format_date(note.date)),
        ("Message-ID", f"<{note.id}@{note.hostname}>"),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834 §5
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "7bit" if body.isascii() else "quoted-printable"),
    )
    text = body.encode("utf-8", "replace")
    text = text if text.isascii() else quoted_printable(text)
    return b"".join(fold(name, value) for name, value in fields) + b"\r\n" + text
