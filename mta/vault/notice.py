"""The notice of a mail that waits at the portal: from whom, until when it opens, the link. Nothing of the mail.

It holds no key, no picture and nothing that counts; the link says where the mail is, not who may read it. Plain text
and simple HTML say the same, in lines that no relay has to change. The words of a language stand beside the templates.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files

import jinja2

from mta.contract.protection import Label
from mta.model.protected import Item
from mta.ports.mail_vault import Invitation, Post
from mta.rfc.mime.date import format_date
from mta.rfc.mime.seven_bit import quoted_printable
from mta.rfc.mime.text import address_value, fold, plain_line, wrap
from mta.rfc.mime.words import encode_words
from mta.vault.mail import reference

ENGLISH, GERMAN = "en", "de"

_LANGUAGES = (ENGLISH, GERMAN)


@dataclass(frozen=True, slots=True)
class Notice:
    """What one notice is made of. `portal` is the URL of the portal, `link` the id of the reader's link."""

    post: Post
    item: Item
    label: Label
    invitation: Invitation
    link: str
    portal: str


def compose_notice(notice: Notice) -> bytes:
    """The message: multipart/alternative in 7 bits. The same notice gives the same bytes."""
    language = notice.label.language if notice.label.language in _LANGUAGES else ENGLISH
    words = _words(notice, language)
    text = _wrapped(_template("notice.txt").render(words))
    page = _template("notice.html").render(words).replace("\n", "\r\n")
    boundary = "=_" + hashlib.sha256(f"{notice.invitation.id} {text}".encode()).hexdigest()[:32]
    return b"".join(
        (
            _header(notice, words, language),
            f'Content-Type: multipart/alternative;\r\n\tboundary="{boundary}"\r\n\r\n'.encode("ascii"),
            _part(boundary, "plain", text),
            _part(boundary, "html", page),
            f"--{boundary}--\r\n".encode("ascii"),
        )
    )


def _header(notice: Notice, words: dict[str, object], language: str) -> bytes:
    post, invitation = notice.post, notice.invitation
    fields = (
        ("To", f"<{address_value(invitation.address)}>"),
        ("Subject", encode_words(str(words["headline"]))),
        ("Date", format_date(post.date)),
        ("Message-ID", f"<{invitation.id}@{post.host}>"),
        ("Content-Language", language),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834 §5
        ("X-Auto-Response-Suppress", "OOF, AutoReply"),
        ("MIME-Version", "1.0"),
    )
    return post.from_field + b"".join(fold(name, value) for name, value in fields)


def _words(notice: Notice, language: str) -> dict[str, object]:
    """All that the templates show."""
    item, label = notice.item, notice.label
    known = {
        "sender": plain_line(notice.post.author),
        "label": plain_line(label.names.get(language) or label.names.get(ENGLISH) or label.id),
        "host": notice.portal.partition("://")[2],
        "reader": notice.invitation.address,
        "reference": reference(item.id),
    }
    texts = {name: text.format_map(known) for name, text in _texts(language).items()}
    subject = plain_line(notice.post.subject) if label.show_subject else ""
    return {
        **known,
        "t": texts,
        "language": language,
        "subject": subject,
        "headline": subject or texts["headline"],
        "expires": _day(item.not_after, language) if item.not_after else "",
        "url": f"{notice.portal}/m/{notice.link}",
    }


def _day(epoch: float, language: str) -> str:
    """A day and time as people of this language write it."""
    at = datetime.fromtimestamp(epoch, UTC)
    month = _texts(language)["months"].split()[at.month - 1]
    day = f"{at.day}. {month} {at.year}" if language == GERMAN else f"{at.day} {month} {at.year}"
    return f"{day}, {at:%H:%M} UTC"


def _wrapped(text: str) -> str:
    """Each line as a paragraph; the line with the link stays whole."""
    return "\r\n".join(_line(line) for line in text.split("\n")).rstrip("\r\n") + "\r\n"


def _line(text: str) -> str:
    return text if not text.strip() or text.startswith("    ") else wrap(text, "").rstrip("\r\n")


def _part(boundary: str, subtype: str, text: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
    head += "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    body = quoted_printable(text.encode("utf-8", "replace"))
    return head.encode("ascii") + body + (b"" if body.endswith(b"\r\n") else b"\r\n")


@lru_cache(4)
def _texts(language: str) -> dict[str, str]:
    source = files("mta.vault").joinpath("templates", f"notice.{language}.json").read_text("utf-8")
    found: dict[str, str] = json.loads(source)
    return found


@lru_cache(4)
def _template(name: str) -> jinja2.Template:
    """One of ours, never a user's; what stands in a page is escaped."""
    source = files("mta.vault").joinpath("templates", name).read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(source)
