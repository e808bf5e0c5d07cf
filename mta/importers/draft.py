"""A connectors.yaml in the making: what another program's settings, or the traffic already seen, come to.

Beside the YAML stands every difference in meaning, at the connector it concerns, so that nobody has to guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import yaml

from mta.config.values import ValueFault, domain_pattern
from mta.contract.connectors import DEFAULT
from mta.model.message import OUR_OWN

UNNAMED_HOST = "mx.invalid"  # nobody is called so
_ODD = re.compile(r"[^\w.+-]+")
_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that does not mean the same here, or is not carried over. `source` is its name over there.

    `weaker`: something would be let through here that was not over there; a person must say that it may.
    """

    source: str
    text: str
    connector: str = ""  # or the whole
    weaker: bool = False

    def __str__(self) -> str:
        return f"{self.source}: {self.text}" if self.source else self.text

    @property
    def id(self) -> str:
        """What a person calls it by: the same as long as it says the same."""
        return f"w{crc32(repr((self.source, self.text, self.connector)).encode('utf-8', 'backslashreplace')):08x}"


@dataclass(slots=True)
class Draft:
    """Plain data in the words of connectors.yaml. A connector's value is what stands below its name."""

    server: dict[str, Any] = field(default_factory=lambda: {"hostname": UNNAMED_HOST})
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    connectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def differs(self, source: str, text: str, connector: str = "", *, weaker: bool = False) -> None:
        """Note a difference, once."""
        found = Difference(source, text, connector, weaker)
        if found not in self.differences:
            self.differences.append(found)

    def name(self, wanted: str) -> str:
        """A name for a new connector that is not taken yet."""
        base = _ODD.sub("-", wanted).strip("-.+")[:90] or "partner"
        taken = {*self.connectors, *OUR_OWN, DEFAULT}
        number = 2
        name = base
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        return name

    def claim(self, connector: str, patterns: Iterable[str], source: str) -> list[str]:
        """Those of the patterns that no other connector and no domain of ours has; the rest are differences."""
        owners = {one: name for name, keys in self.connectors.items() for one in keys.get("domains", ())}
        owners |= dict.fromkeys(self.domains, "a domain of ours")
        found: list[str] = []
        for pattern in dict.fromkeys(patterns):
            try:
                known = str(domain_pattern(pattern))
            except ValueFault as fault:
                self.differs(source, f"{pattern} is no domain here: {fault}", connector)
                continue
            owner = owners.get(known, connector)
            if owner != connector:
                self.differs(source, f"{known} is already claimed by {owner}: a domain has one owner here", connector)
            elif known not in found:
                found.append(known)
        return found


def render(draft: Draft, title: str, *, whole: bool = True, accepted: Set[str] = frozenset()) -> str:
    """The YAML, with the differences as comments above what they concern; not `whole`: the connectors alone.

    `accepted` are ids of differences that a person has said yes to.
    """
    lines = [f"# {_one_line(title)}", *_comments(draft, "", accepted)]
    if whole:
        lines += _dumped({"server": draft.server})
    if whole and draft.domains:
        lines += ["", *_dumped({"domains": draft.domains})]
    if draft.connectors:
        lines += ["", "connectors:"]
    for name, keys in draft.connectors.items():
        lines += [f"  {line}" for line in (*_comments(draft, name, accepted), *_dumped({name: keys}))]
    return "\n".join(lines) + "\n"


def _comments(draft: Draft, connector: str, accepted: Set[str]) -> list[str]:
    known = {*draft.connectors, ""}
    meant = (found for found in draft.differences if (found.connector if found.connector in known else "") == connector)
    return [f"# {_mark(found, accepted)} {_one_line(str(found))}" for found in meant]


def _mark(found: Difference, accepted: Set[str]) -> str:
    if not found.weaker:
        return "-"
    return "- accepted as weaker:" if found.id in accepted else f"! WEAKER ({found.id}):"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _dumped(data: dict[str, object]) -> list[str]:
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=_WIDTH)
    return text.rstrip("\n").split("\n")


class _Dumper(yaml.SafeDumper):
    """Short lists and objects on one line, without anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _flat(value: object) -> bool:
    return isinstance(value, list) and not any(isinstance(one, dict | list) for one in value)


def _represent_list(dumper: yaml.SafeDumper, data: list[object]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=_flat(data))


def _represent_dict(dumper: yaml.SafeDumper, data: dict[str, object]) -> yaml.Node:
    small = bool(data) and all(not isinstance(value, dict) and len(str(value)) < 60 for value in data.values())
    inner = small and len(data) < 6 and not any(isinstance(value, list) and not _flat(value) for value in data.values())
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=inner)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(dict, _represent_dict)
