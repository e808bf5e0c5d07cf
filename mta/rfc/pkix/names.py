"""Whether a certificate's name is one that a contract expects (RFC 9525 §6.3). Names are in A-labels.

A pattern is a name (`mail.x.example`), `*.x.example` (one label under it) or, for our own use, `.x.example` (any
depth under it). A presented name may be a wildcard itself: `*.x.example` covers one label.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address


def match(pattern: str, presented: str) -> bool:
    """Whether the dNSName `presented` satisfies `pattern`; neither may be an IP address."""
    if not (pattern.isascii() and presented.isascii()):  # before case is folded: the Kelvin sign would become a k
        return False
    pattern, presented = pattern.lower().removesuffix("."), presented.lower()  # RFC 9525 §6.3: case is ignored
    if _is_ip(pattern) or not _is_presentable(pattern.removeprefix(".")) or not _is_presentable(presented):
        return False
    if pattern.startswith("."):
        return presented.endswith(pattern)
    if pattern == presented:
        return True
    first, _, rest = presented.partition(".")
    if pattern.startswith("*."):
        return rest == pattern[2:]
    # RFC 9525 §6.3: a wildcard stands for exactly one whole label. One that covers a whole top-level domain is none.
    return first == "*" and "." in rest and pattern.partition(".")[2] == rest


def match_any(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """Whether any of `names` satisfies any of `patterns`."""
    presented = tuple(names)
    return any(match(pattern, name) for pattern in patterns for name in presented)


def match_ip(pattern: str, addresses: Iterable[str]) -> bool:
    """Whether the IP address `pattern` is among the iPAddress names; wildcards do not exist for these."""
    try:
        wanted = ip_address(pattern)
        return any(ip_address(address) == wanted for address in addresses)
    except ValueError:
        return False


def _is_presentable(name: str) -> bool:
    """RFC 9525 §6.3: the wildcard is the complete left-most label, or there is none."""
    labels = name.removeprefix("*.").split(".")
    return all(labels) and not any("*" in label for label in labels)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
