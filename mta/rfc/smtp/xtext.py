"""xtext, the armour of ENVID and ORCPT: RFC 3461 §4."""

from __future__ import annotations

import re

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(r"\+([0-9A-Fa-f]{2})")


class XtextError(ValueError):
    """Not xtext."""


def decode_xtext(text: str) -> bytes:
    """The octets that `text` stands for. Digits `a`-`f` are understood too. Raises XtextError."""
    if _XTEXT.fullmatch(text) is None:
        raise XtextError(f"not xtext: {text[:80]!r}")
    if "+" not in text:
        return text.encode("ascii")
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
