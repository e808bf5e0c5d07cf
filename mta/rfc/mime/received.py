"""RFC 5321 §4.4: the Received field a relay puts in front of every message it takes.

Always ASCII, also in an internationalised session (RFC 6531 §3.7.3 allows more): a message that a hop could take as it
came must not need SMTPUTF8 for what we have added.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

import idna

from mta.model.frozen import frozen
from mta.model.session import SessionFacts
from mta.model.tls import TlsFacts
from mta.rfc.mime.date import format_date

_NOT_HOST = re.compile(r"[^A-Za-z0-9._:\[\]\-]")
_NOT_TOKEN = re.compile(r"[^A-Za-z0-9._+\-]")
_NOT_COMMENT = re.compile(r"[^\x20-\x7e]")
_COMMENT_SPECIAL = re.compile(r"([()\\])")
_NOT_PATH = re.compile(r"[^\x21-\x7e]|[<>]")
_HELO_LENGTH = 255  # RFC 5321 §4.5.3.1.2
_PATH_LENGTH = 400  # RFC 5321 §4.5.3.1.3: 256 octets; A-labels are longer than the name they stand for
_SUBJECT_LENGTH = 200  # of a client certificate; what does not fit says nothing more


@frozen
class Stamp:
    """What the field says of our side. `recipient` is given for a message with a single one; empty otherwise.

    One that is not ASCII is not named. `smtputf8`: the message was declared to be internationalised.
    """

    hostname: str
    id: str
    now: float  # epoch seconds
    recipient: str = ""
    smtputf8: bool = False
    authenticated: bool = False


def received_field(session: SessionFacts, stamp: Stamp) -> bytes:
    """The whole field with its final CRLF, folded. Whatever the peer claimed is made safe, nothing raises."""
    # RFC 5321 §4.4: FROM names the host as in EHLO and the address the connection really came from.
    clauses = [f"Received: from {_host(session.helo)} ({_literal(session)})"]
    if session.tls is not None:
        clauses.append(_tls_comment(session.tls))
    clauses.append(f"by {_host(stamp.hostname)} with {_protocol(session, stamp)}")
    clauses.append(f"id {_NOT_TOKEN.sub('', stamp.id) or 'none'}")
    if recipient := _recipient(stamp):
        clauses.append(f"for <{recipient}>")
    clauses[-1] += ";"
    clauses.append(format_date(stamp.now))
    return _fold(clauses).encode("ascii") + b"\r\n"


def _protocol(session: SessionFacts, stamp: Stamp) -> str:
    """The `with` keyword of RFC 3848, or of RFC 6531 §4.3 for an internationalised message."""
    if not session.esmtp:
        return "SMTP"
    base = "UTF8SMTP" if stamp.smtputf8 else "ESMTP"
    return f"{base}{'S' if session.tls else ''}{'A' if stamp.authenticated else ''}"


def _literal(session: SessionFacts) -> str:
    # RFC 5321 §4.1.3: address literals.
    tag = "IPv6:" if isinstance(session.client_ip, IPv6Address) else ""
    return f"[{tag}{session.address}]"


@lru_cache(maxsize=1024)
def _host(name: str) -> str:
    """A host name that is one token whatever was sent, its U-labels as A-labels."""
    name = name[:_HELO_LENGTH]
    return _NOT_HOST.sub("?", name if name.isascii() else _a_labels(name)) or "unknown"


def _a_labels(name: str) -> str:
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError:  # idna.IDNAError is one; the name is none, then
        return name


def _tls_comment(tls: TlsFacts) -> str:
    parts = [f"version=TLSv{_NOT_TOKEN.sub('', tls.version)}", f"cipher={_NOT_TOKEN.sub('', tls.cipher)}"]
    if tls.group:
        parts.append(f"group={_NOT_TOKEN.sub('', tls.group)}")
    comment = f"({' '.join(parts)}"
    if tls.leaf is not None:
        comment += f"\r\n\t client certificate {_comment(tls.leaf.subject)}"
    return f"{comment})"


def _comment(text: str) -> str:
    """Text inside a comment: RFC 5322 §3.2.2 quotes parentheses and backslashes."""
    return _COMMENT_SPECIAL.sub(r"\\\1", _NOT_COMMENT.sub("?", text[:_SUBJECT_LENGTH])) or "without a subject"


def _recipient(stamp: Stamp) -> str:
    """The address for the FOR clause, or nothing where it cannot stand in a header field."""
    if _NOT_PATH.search(stamp.recipient) or len(stamp.recipient) > _PATH_LENGTH:
        return ""
    return stamp.recipient


def _fold(clauses: list[str]) -> str:
    """Clauses on as few lines as 78 columns allow; RFC 5322 §2.1.1: 78 preferred, 998 at the most."""
    lines = [clauses[0]]
    for clause in clauses[1:]:
        if len(lines[-1]) + 1 + len(clause) <= 78 and "\r\n" not in clause:
            lines[-1] += f" {clause}"
        else:
            lines.append(f"\t{clause}")
    return "\r\n".join(lines)
