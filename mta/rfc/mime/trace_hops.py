"""Where a message has been by its Received fields: RFC 5321 §4.4, read for the address each host took it from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from mta.model.message import HeaderBlock
from mta.rfc.mime.header import unfold

MOST = 60  # Received fields that are looked at: more than any hop limit lets through

# `from helo (reverse.name [192.0.2.1])`, `(… [IPv6:2001:db8::1])`, or `from [192.0.2.1]`
_FROM = re.compile(rb"\s*from\s+(\S{1,255})(?:\s+\(([^()]{0,400})\))?", re.IGNORECASE)
_LITERAL = re.compile(rb"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]", re.IGNORECASE)


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
    helo, comment = match[1], match[2] or b""
    literal = _LITERAL.search(comment) or _LITERAL.fullmatch(helo)
    return TracedHop(helo.decode("ascii", "replace"), _address(literal[1]) if literal else None)


def _address(text: bytes) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.decode())
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
