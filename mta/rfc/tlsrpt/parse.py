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

_VERSION = b"v=TLSRPTv1;"  # RFC 8460 §3: case counts, and a semicolon must follow
_RUA = re.compile(r"rua=[ \t]*(.*)", re.DOTALL)
_URI = re.compile(r"(?:mailto|https):[\x21-\x7e]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TlsRptRecord:
    """Where reports are wanted: `mailto:` and `https:` URIs, in the order given."""

    destinations: tuple[str, ...]


def select_record(records: tuple[bytes, ...]) -> TlsRptRecord | None:
    """The request among a name's TXT records. Several are as good as none (RFC 8460 §3)."""
    found = [record for record in records if record.startswith(_VERSION)]
    return parse_record(found[0]) if len(found) == 1 else None


def parse_record(record: bytes) -> TlsRptRecord | None:
    """The request; None if it is none. Fields of later days are passed over, and URIs of other schemes."""
    if not record.startswith(_VERSION) or len(record) > MAX_RECORD:
        return None
    fields = record[len(_VERSION) :].decode("latin-1").split(";")
    asked = [match[1] for field in fields if (match := _RUA.fullmatch(field.strip(" \t")))]
    if len(asked) != 1:  # the grammar has exactly one `rua`
        return None
    uris = (uri.strip(" \t") for uri in asked[0].split(","))
    good = tuple(dict.fromkeys(uri for uri in uris if _URI.fullmatch(uri)))
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
