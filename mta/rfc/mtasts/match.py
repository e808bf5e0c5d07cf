"""Whether a policy names a host (RFC 8461 §4.1)."""

from __future__ import annotations

from collections.abc import Iterable

from mta.model.address import ascii_lower


def names_host(patterns: Iterable[str], host: str) -> bool:
    """Whether one of the `mx` patterns is `host`, or covers it: `*.x` stands for exactly one label under x."""
    name = ascii_lower(host).removesuffix(".")
    parent = name.partition(".")[2]
    return any(pattern in (name, f"*.{parent}" if parent else name) for pattern in patterns)
