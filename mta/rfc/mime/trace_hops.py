"""Where a message has been by its Received fields: RFC 5321 §4.4, read for the address each host took it from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from mta.model.message import HeaderBlock
from mta.rfc.mime.header import unfold

MOST = 60  # Received fields that are looked at: more than any hop limit lets through

# `from helo (reverse.name [192.0.2.1])`, `(... [IPv6:2001:db8::1])`, `(192.0.2.1)`, or `from [192.0.2.1]`
_FROM = re.compile(rb"\s*from\s+(\S{1,255})\s*", re.IGNORECASE)
_COMMENT = re.compile(rb"\(([^()]{0,400}(?:\([^()]{0,200}\)[^()]{0,200})?)\)")  # Sendmail: one more in it
_LITERAL = re.compile(rb"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]", re.IGNORECASE)
_TOLD = re.compile(rb"(?:(?:HELO|EHLO)\s|\b[\w-]{1,20}=)\S*", re.IGNORECASE)  # `helo=...`: the client's own words


@dataclass(frozen=True, slots=True)
class TracedHop:
    """One host that handed the message on, as the next one saw it. `address` is None where it cannot be told."""

    helo: str
    address: IPv4Address | IPv6Address | None


def traced_hops(block: HeaderBlock) -> tuple[TracedHop, ...]:
    """The hosts of the Received fields, the latest first."""
    return tuple(_hop(unfold(value)) for value in block.values(b"received")[:MOST])


def _hop(value: bytes) -> TracedHop:
    match = _FROM.match(value)
    if match is None:
        return TracedHop("", None)
    literal = _literal(match[1], value, match.end())
    return TracedHop(match[1].decode("ascii", "replace"), _address(literal) if literal else None)


def _literal(helo: bytes, value: bytes, at: int) -> bytes:
    """What the receiving host itself wrote of the address, never what the client said of itself; empty if unsure."""
    bare = _LITERAL.fullmatch(helo)
    if value[at : at + 1] != b"(":
        return bare[1] if bare else b""
    comment = _COMMENT.match(value, at)
    if comment is None:
        return b""
    text = _TOLD.sub(b"", comment[1])
    if not text.strip():  # Exim: `from [192.0.2.1] (helo=...)`
        return bare[1] if bare and b"=" in comment[1] else b""
    literals = _LITERAL.findall(text)
    return literals[-1] if literals else text.strip()


def _address(text: bytes) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.decode())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
