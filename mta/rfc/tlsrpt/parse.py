"""Reads the record by which a domain asks for TLS reports, `_smtp._tls` and its name: RFC 8460 §3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from mta.model.public_address import is_public

PREFIX = "_smtp._tls"
MAX_RECORD = 16_384  # octets
MAX_DESTINATIONS = 10
MAX_URL = 2000  # characters

# RFC 8460 §3, to the letter: case counts, blanks stand around semicolons and commas and nowhere else
_VERSION = re.compile(rb"v=TLSRPTv1[ \t]*+;")
_DELIMITER = re.compile(r"[ \t]*;[ \t]*")
_COMMA = re.compile(r"[ \t]*,[ \t]*")
_EXTENSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3a\x3c\x3e-\x7e]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[\x21-\x24\x26-\x7e]|%[0-9A-Fa-f]{2})+")
_SCHEMES = ("mailto:", "https:")


@dataclass(frozen=True, slots=True)
class TlsRptRecord:
    """Where reports are wanted: `mailto:` and `https:` URIs, in the order given."""

    destinations: tuple[str, ...]


def select_record(records: tuple[bytes, ...]) -> TlsRptRecord | None:
    """The request among a name's TXT records. Several are as good as none (RFC 8460 §3)."""
    policies = [record for record in records if _VERSION.match(record)]
    return parse_record(policies[0]) if len(policies) == 1 else None


def parse_record(record: bytes) -> TlsRptRecord | None:
    """The request; None if it is none. Fields of later days are passed over, and URIs of other schemes.

    A record that the grammar does not have is none as a whole: what is left of it need not be what was meant.
    """
    version = _VERSION.match(record)
    if version is None or len(record) > MAX_RECORD:
        return None
    fields = _DELIMITER.split(record[version.end() :].decode("latin-1").strip(" \t"))
    if not fields[-1]:
        fields.pop()  # a last semicolon may stand there
    uris: list[str] = []
    for field in fields:
        if field.startswith("rua="):
            uris += _COMMA.split(field[4:])
        elif not _EXTENSION.fullmatch(field):
            return None
    if not all(map(_URI.fullmatch, uris)):
        return None
    good = tuple(dict.fromkeys(uri for uri in uris if uri.lower().startswith(_SCHEMES)))
    return TlsRptRecord(good[:MAX_DESTINATIONS]) if good else None


def url_problem(url: str, *, private: bool = False) -> str:
    """Why `url` is not posted to; empty if it is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"it is no URL: {error}"
    if parts.scheme.lower() != "https" or not host or len(url) > MAX_URL:
        return "it is no https: URL with a host"
    if parts.username is not None or parts.password is not None:
        return "it has a user name"
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    return "" if private or is_public(str(address)) else f"{address} is no public address"
