"""Writes signing fields, folded below 78 columns where their words permit it (RFC 5322 §2.1.1)."""

from __future__ import annotations

import base64
from collections.abc import Sequence

WIDTH = 76
_FOLD = "\r\n "
_EMPTY = (" b=", " b=;")


def fold(tags: Sequence[tuple[str, str]], used: int) -> str:
    """A tag list behind `used` columns of its line. Lines break between tags, and in h= behind colons.

    So the relaxed form of the field (RFC 6376 §3.4.2) does not depend on the folding but for h=. An empty b= has lines
    of its own, to be filled by `insert_signature`.
    """
    parts: list[str] = []
    for atom in _atoms(tags):
        alone = atom in _EMPTY
        if alone or used + len(atom) > WIDTH:
            parts.append(_FOLD)
            atom, used = atom.lstrip(" "), 1
        parts.append(atom)
        used = WIDTH if alone else used + len(atom)
    return "".join(parts)


def insert_signature(tags: str, signature: bytes) -> bytes:
    """The tag list with its final CRLF and, where b= stands empty, the signature in base64, folded."""
    head, equals, tail = tags.partition(_FOLD + "b=")
    text = base64.b64encode(signature).decode()
    room = WIDTH - len(" b=")
    lines = [text[:room], *(text[start : start + WIDTH - 1] for start in range(room, len(text), WIDTH - 1))]
    return f"{head}{equals}{_FOLD.join(lines)}{tail}\r\n".encode()


def _atoms(tags: Sequence[tuple[str, str]]) -> list[str]:
    atoms: list[str] = []
    for number, (tag, value) in enumerate(tags):
        whole = f" {tag}={value}" + (";" if number < len(tags) - 1 else "")
        if tag == "h":
            *names, last = whole.split(":")
            atoms += [*(f"{name}:" for name in names), last]
        else:
            atoms.append(whole)
    return atoms
