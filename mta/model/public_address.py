"""Which addresses may be asked because a stranger says so: those that are anybody's in the open Internet.

URLs and names of others lead to hosts of ours as easily as to theirs, and those may trust whoever comes from inside.
This is the one guard of all fetches and posts. It says yes to what it knows: unicast that the registries of IANA call
globally reachable (RFC 6890), also where an IPv4 address is wrapped into an IPv6 one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),  # multicast and all that was kept back
    )
)
_UNICAST = IPv6Network("2000::/3")  # RFC 4291 §2.4; site-local, unique local, link-local and multicast lie outside
_NOT_PUBLIC_SIX = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # of protocols, Teredo among them
        "2001:db8::/32",
        "3ffe::/16",  # of the 6bone that was
        "3fff::/20",  # for documents, as 2001:db8::/32
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 §2.5.5.2
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1; 64:ff9b:1::/48 is for local use
_SIX_TO_FOUR = IPv6Network("2002::/16")
_ISATAP = (0x00005EFE, 0x02005EFE)  # the first half of the interface identifier


def is_public(text: str) -> bool:
    """Whether `text`, an IP address, can be anybody's. Raises ValueError for what is no address."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address.scope_id is not None:  # a zone of this machine
        return False
    if address in _MAPPED or address in _NAT64:
        return is_public(str(_last(address)))
    if address not in _UNICAST or any(address in network for network in _NOT_PUBLIC_SIX):
        return False
    if address in _SIX_TO_FOUR and not is_public(str(IPv4Address(int(address) >> 80 & 0xFFFF_FFFF))):
        return False
    return int(address) >> 32 & 0xFFFF_FFFF not in _ISATAP or is_public(str(_last(address)))


def _last(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)
