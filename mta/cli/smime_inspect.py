"""`mta smime inspect`: what any CMS on standard input is made of, as a tree."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Iterator

from mta.errors import SmimeError, UsageError
from mta.rfc.smime.inspect import MAX_OCTETS, cms_in, inspect

_ARMOR = re.compile(rb"-----BEGIN (?:PKCS ?#?7|CMS)[A-Z ]*-----\s([A-Za-z0-9+/=\s]+)-----END ")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=\s]+")
_BARE_LF = re.compile(rb"(?<!\r)\n")


def run(json_output: bool) -> int:
    """Show it; 0 if all of it could be read. Raises UsageError where there is none."""
    raw = sys.stdin.buffer.read(2 * MAX_OCTETS + 1)
    if len(raw) > 2 * MAX_OCTETS:
        raise UsageError(f"standard input: more than {2 * MAX_OCTETS} octets")
    found = _found(raw)
    if not found:
        raise UsageError("standard input: expected CMS (DER, PEM or base64), or a message that carries some")
    trees = [_tree(data) for data in found]
    if json_output:
        print(json.dumps(trees, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join("\n".join(_lines(tree)) for tree in trees))
    return 1 if any("unreadable" in tree for tree in trees) else 0


def _found(raw: bytes) -> tuple[bytes, ...]:
    """What is there to look at: CMS as it is, in armour, in base64, or as parts of a message."""
    if raw[:1] == b"\x30" and raw[1:2] >= b"\x06" and not raw[:20].isascii():
        return (raw,)
    if armor := _ARMOR.search(raw):
        return _plain(armor[1])
    if _BASE64.fullmatch(raw):
        return _plain(raw)
    if raw.startswith(b"From "):  # the line that mbox files put in front of each message
        raw = raw.partition(b"\n")[2]
    return cms_in(_BARE_LF.sub(b"\r\n", raw))


def _plain(text: bytes) -> tuple[bytes, ...]:
    try:
        return (base64.b64decode(text),)
    except binascii.Error as error:
        raise UsageError(f"standard input: this is no whole base64: {error}") from error


def _tree(data: bytes) -> dict[str, object]:
    try:
        found: dict[str, object] = inspect(data)
        return found
    except SmimeError as error:
        return {"unreadable": str(error)}


def _lines(value: object, name: str = "", depth: int = 0) -> Iterator[str]:
    """The tree for people: a value a line, what lies in it two columns further in."""
    margin = "  " * depth
    if isinstance(value, dict):
        if set(value) == {"octets", "hex"}:
            yield f"{margin}{name}: {value['octets']} octets {value['hex']}".rstrip()
            return
        if name:
            yield f"{margin}{name}"
        for key, one in value.items():
            yield from _lines(one, key, depth + bool(name))
    elif isinstance(value, list):
        for number, one in enumerate(value, 1):
            yield from _lines(one, f"{name} {number}".strip() if len(value) > 1 else name or "-", depth)
    else:
        yield f"{margin}{name}: {value}"
