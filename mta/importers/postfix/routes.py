"""Postfix's transport(5) entries as routes: whose MX, which hosts, or nobody.

What this relay has no way for must not become delivery some other way: such mail is given a host that does not exist,
so it waits, and comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mta.config.values import ValueFault, host_port
from mta.importers.postfix.files import words

NOBODY = "nobody.invalid:25"  # RFC 2606 §2: no host is ever called so
_SMTP = ("", "smtp", "relay")
_NOWHERE = {"error": "returns mail at once", "retry": "keeps mail back", "discard": "throws mail away"}


@dataclass(frozen=True, slots=True)
class Route:
    """`hosts` empty: the MX of the recipient's domain. `nexthops` are what Postfix asks the policy table for, if not
    the recipient's domain; `text` is what differs, `weaker` whether more gets through.
    """

    hosts: tuple[str, ...] = ()
    nexthops: tuple[str, ...] = ()
    text: str = ""
    weaker: bool = False

    @property
    def name(self) -> str:
        """The name of its only host, if it has one."""
        return self.hosts[0].rpartition(":")[0].strip("[]") if len(self.hosts) == 1 else ""


def read_route(transport: str) -> Route:
    """The route of `smtp:[host]:port`, `relay:domain`, `error:text` and others."""
    kind, colon, place = transport.strip().partition(":")
    kind = kind.strip().lower() if colon else kind.lower()
    if kind in _NOWHERE:
        return Route((NOBODY,), text=f"Postfix {_NOWHERE[kind]} (`{transport}`); {_WAITS}")
    if kind == "lmtp":
        return Route((NOBODY,), text=f"LMTP (`{transport}`) is not spoken here; {_WAITS}")
    nexthops = tuple(word.lower() for word in words(place))
    if kind in _SMTP:
        return _hosts(nexthops, transport) if nexthops else Route()
    found = _hosts(nexthops, transport) if nexthops and _is_place(nexthops[0]) else Route((NOBODY,))
    if found.hosts == (NOBODY,):
        return Route((NOBODY,), text=f"the transport `{transport}` is none of ours; {_WAITS}")
    text = f"the transport `{transport}` is none of ours: what master.cf says of it is lost, the host is written"
    return Route(found.hosts, found.nexthops, text, weaker=True)


_WAITS = "here its host is one that does not exist: mail waits, and comes back"


def _hosts(nexthops: tuple[str, ...], transport: str) -> Route:
    hosts = tuple(place for place in map(host_of, nexthops) if place)
    if not hosts:
        return Route((NOBODY,), nexthops, f"`{transport}` names no host that can be read; {_WAITS}")
    looked_up = [nexthop for nexthop in nexthops if "[" not in nexthop]
    text = f"Postfix looks up the MX records of {', '.join(looked_up)}; here it is the host itself" if looked_up else ""
    return Route(hosts, nexthops, text)


def _is_place(nexthop: str) -> bool:
    """`[host]`, `[host]:port` or `host:port`: other words of a transport may be anything."""
    return bool(host_of(nexthop)) and ("[" in nexthop or ":" in nexthop)


def host_of(nexthop: str) -> str:
    """`host:port` of `[host]:port`; empty where it is none."""
    text = nexthop.strip()
    if text.startswith("[") and text.count(":") < 2:
        text = text.replace("[", "").replace("]", "")
    try:
        return str(host_port(text, 25))
    except ValueFault:
        return ""


def looked_up(table: Mapping[str, str], key: str) -> str | None:
    """What a table says of a domain, or `.domain`: its own entry, else that of the nearest domain above.

    Postfix asks for the domain, then for `.parent` of each parent; of anything but a domain only for itself.
    """
    if key in table or "[" in key or ":" in key:
        return table.get(key)
    _, dot, above = key.lstrip(".").partition(".")
    while dot:
        if f".{above}" in table:
            return table[f".{above}"]
        _, dot, above = above.partition(".")
    return None
