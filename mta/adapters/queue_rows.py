"""What every store of messages writes of one: compact JSON, search keys, checksums; and back."""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from pydantic_core import to_json as fast_json

from mta.errors import LocalProtocolError
from mta.model.address import Mailbox, ascii_lower, unquoted
from mta.model.envelope import Envelope, Recipient
from mta.ports import Event
from mta.rfc.idna.encode import a_labels

_encode = json.JSONEncoder(separators=(",", ":")).encode


def to_json(value: object) -> str:
    """Compact JSON. Raises LocalProtocolError for anything but JSON types."""
    try:
        return fast_json(value).decode()
    except ValueError:  # a lone surrogate (an undecodable byte of a peer): as an escape; or no JSON type
        pass
    try:
        return _encode(value)
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"only JSON types can be stored with a message: {error}") from error


def plain(text: str) -> str:
    """`text` as the database can hold it: a lone surrogate (an undecodable byte of a peer) becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def address_key(mailbox: Mailbox | None) -> str:
    """`domain@local`: one index then serves whole addresses (equal) and domains (a range)."""
    if mailbox is None:
        return ""
    local, _, domain = mailbox.key.rpartition("@")
    return plain(f"{domain}@{local}")


def _mailbox_out(mailbox: Mailbox) -> list[str]:
    return [mailbox.local, mailbox.domain, mailbox.ascii_domain]


def envelope_out(envelope: Envelope) -> str:
    """The envelope as JSON: sender or null, recipients, then the parameters."""
    sender = envelope.sender
    return to_json(
        {
            "sender": sender and _mailbox_out(sender),
            "recipients": [[*_mailbox_out(r.mailbox), r.notify, r.orcpt] for r in envelope.recipients],
            "body": envelope.body,
            "smtputf8": envelope.smtputf8,
            "ret": envelope.ret,
            "envid": envelope.envid,
            "size": envelope.size,
            **({"tls": envelope.tls} if envelope.tls else {}),
        }
    )


def envelope_in(text: str) -> Envelope:
    """The envelope that `envelope_out` wrote."""
    raw: dict[str, Any] = json.loads(text)
    return Envelope(
        sender=Mailbox(*raw["sender"]) if raw["sender"] else None,
        recipients=tuple(
            Recipient(Mailbox(local, domain, ascii_domain), tuple(notify), orcpt)
            for local, domain, ascii_domain, notify, orcpt in raw["recipients"]
        ),
        body=raw["body"],
        smtputf8=raw["smtputf8"],
        ret=raw["ret"],
        envid=raw["envid"],
        size=raw["size"],
        tls=raw.get("tls", ""),
    )


def row_checksum(fixed: tuple[object, ...], texts: tuple[str, str], prefix: bytes) -> int:
    """CRC-32 over all of a message row that never changes."""
    crc = crc32(repr(fixed).encode("utf-8", "backslashreplace"))
    for text in texts:
        crc = crc32(text.encode(), crc)
    return crc32(prefix, crc)


def event_out(event: Event) -> tuple[object, ...]:
    """At, name, recipients, detail."""
    return event.at, plain(event.name), to_json(event.recipients), to_json(event.detail)


def event_in(row: tuple[Any, ...]) -> Event:
    """The event that `event_out` wrote; one that cannot be read is shown as such."""
    at, name, recipients, detail = row
    try:
        event = Event(float(at), name, json.loads(detail), tuple(json.loads(recipients)))
    except (ValueError, TypeError) as error:
        return Event(at if isinstance(at, float) else 0.0, str(name), {"damaged": str(error)})
    if not isinstance(event.detail, dict) or not all(type(index) is int and index >= 0 for index in event.recipients):
        return Event(event.at, str(name), {"damaged": f"recipients {recipients}, detail {detail}"})
    return event


def address_bounds(text: str) -> tuple[str, str]:
    """The keys that `bob@x.example`, `x.example` or `<>` (the null sender) means: from, and before; empty: that one."""
    text = plain(text.strip())
    if text == "<>":
        return "", ""
    local, at, domain = text.removeprefix("<").removesuffix(">").rpartition("@")
    domain = _domain(domain)
    if not at or not local:
        return f"{domain}@", f"{domain}A"  # "A" follows "@"
    return f"{domain}@{ascii_lower(unquoted(local))}", ""


def _domain(text: str) -> str:
    """As it stands there: in A-labels, whichever a person writes; and without the dot at the end."""
    text = text.removesuffix(".")
    try:
        return a_labels(text)
    except ValueError:
        return ascii_lower(text)
