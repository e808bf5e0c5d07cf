"""Reads Postfix's files: main.cf (postconf(5)) and lookup tables in text form (postmap(1))."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mta.model.address import ascii_lower

_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_REFERENCE = re.compile(r"\$(?:\{\s*(\w+)\s*\}|\(\s*(\w+)\s*\)|(\w+))")
_DEPTH = 10  # of settings that name other settings


def parse_main(text: str) -> dict[str, str]:
    """The settings of a main.cf, references to other settings filled in; what refers to unknown ones stays."""
    raw: dict[str, str] = {}
    for line in logical_lines(text):
        found = _NAME.fullmatch(line)
        if found:
            raw[found[1]] = " ".join(found[2].split())
    return {name: _expanded(value, raw, _DEPTH) for name, value in raw.items()}


def parse_table(text: str) -> list[tuple[str, str]]:
    """The keys and values of a table, in its order."""
    pairs = (line.split(None, 1) for line in logical_lines(text))
    return [(ascii_lower(pair[0]), pair[1].strip() if len(pair) > 1 else "") for pair in pairs]


def logical_lines(text: str) -> list[str]:
    """Lines without comments; one that begins with white space continues the one before."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and lines:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
    return lines


def words(value: str) -> list[str]:
    """A list of Postfix: between commas or white space."""
    return [word for word in re.split(r"[,\s]+", value) if word]


def table_of(value: str) -> str:
    """The file of `hash:/etc/postfix/tls_policy`; empty where it is no table in a file."""
    kind, colon, path = value.partition(":")
    return path if colon and kind in ("hash", "btree", "lmdb", "texthash", "cdb", "dbm") else ""


def _expanded(value: str, raw: Mapping[str, str], depth: int) -> str:
    if "$" not in value or not depth:
        return value

    def fill(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        return _expanded(raw[name], raw, depth - 1) if name in raw else match[0]

    return _REFERENCE.sub(fill, value)
