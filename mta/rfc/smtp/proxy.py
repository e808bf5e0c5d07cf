"""The binary header of the PROXY protocol, version 2 (HAProxy's proxy-protocol.txt §2.2), read and no more.

Only who is asked decides whether a header is believed at all: here it is merely taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MAX_HEADER = 4096  # octets, type-length-value vectors included; balancers send some hundred

_FIXED = 16  # signature, version and command, family, length
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21

Address = IPv4Address | IPv6Address


class ProxyError(ValueError):
    """Not a header we can believe; the connection must be closed without a word."""


@dataclass(frozen=True, slots=True)
class ParsedProxy:
    """A whole header of `length` octets.

    `local`: the balancer speaks for itself (a health check), the connection's own addresses count and the ones here
    are None. An IPv4-mapped IPv6 address is given as the IPv4 address it means.
    """

    length: int
    local: bool = False
    source: Address | None = None
    source_port: int = 0
    destination: Address | None = None
    destination_port: int = 0


def parse_proxy(data: bytes) -> ParsedProxy | None:
    """The header at the beginning of `data`; None if more octets are needed to tell. Raises ProxyError.

    A proxied connection without IP addresses (AF_UNSPEC, AF_UNIX) or not over a stream is refused, as §2.2 leaves us
    free to: it would otherwise be taken for the balancer's own, with the trust the balancer's address may enjoy.
    """
    if data[:12] != SIGNATURE[: len(data)]:
        raise ProxyError("the PROXY version 2 signature is missing")
    if len(data) < _FIXED:
        return None
    command, family = data[12], data[13]
    length = _FIXED + int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise ProxyError(f"PROXY version and command {command:#04x} are unknown")
    if length > MAX_HEADER:
        raise ProxyError(f"a PROXY header of {length} octets, at most {MAX_HEADER} are read")
    if command == _PROXY and family not in (_TCP4, _TCP6):
        raise ProxyError(f"PROXY family and transport {family:#04x} are not TCP over IPv4 or IPv6")
    if len(data) < length:
        return None
    if command == _LOCAL:
        return ParsedProxy(length, local=True)
    return _addresses(data, family, length)


def _addresses(data: bytes, family: int, length: int) -> ParsedProxy:
    width = 4 if family == _TCP4 else 16
    ports = _FIXED + 2 * width
    if length < ports + 4:
        raise ProxyError(f"a PROXY header of {length} octets is too short for its addresses")
    return ParsedProxy(
        length,
        source=_address(data[_FIXED : _FIXED + width]),
        source_port=int.from_bytes(data[ports : ports + 2], "big"),
        destination=_address(data[_FIXED + width : ports]),
        destination_port=int.from_bytes(data[ports + 2 : ports + 4], "big"),
    )


def _address(packed: bytes) -> Address:
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
