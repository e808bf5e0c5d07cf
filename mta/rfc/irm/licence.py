"""What a publishing licence (XrML 1.2) says in clear: whose it is, which server licences, which content it is.

It is signed by a service that nobody here trusts, so it is a claim, looked up by pattern and not parsed as XML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MOST = 1 << 20  # octets that are looked at
_NEAR = 4000  # characters behind a tag in which its claim stands
_TRIES = 8
_NAME = re.compile(r"<(?:NAME|ADDRESS)\b[^<>]*>\s*([^<\s][^<]{0,499})<")
_URL = re.compile(r"<ADDRESS\b[^<>]*type=[\"']URL[\"'][^<>]*>\s*([^<\s]{1,500})\s*<")
_GUID = re.compile(r"<ID\b[^<>]*type=[\"']MS-GUID[\"'][^<>]*>\s*\{?([0-9A-Fa-f-]{36})\}?\s*<")


@dataclass(frozen=True, slots=True)
class Licence:
    """Claims of a licence; empty where it says nothing."""

    owner: str = ""
    server: str = ""
    content_id: str = ""


def read_licence(data: bytes) -> Licence:
    """The claims of the first licence in these octets, which may be UTF-8 or UTF-16 with anything around it."""
    text = _text(data[:_MOST])
    return Licence(
        _behind("<OWNER", _NAME, text), _behind("<DISTRIBUTIONPOINT", _URL, text), _behind("<WORK", _GUID, text).lower()
    )


def _text(data: bytes) -> str:
    wide = data.find("<XrML".encode("utf-16-le"))
    if wide >= 0:
        return data[wide:].decode("utf-16-le", "replace")
    return data.decode("utf-8", "replace")


def _behind(tag: str, claim: re.Pattern[str], text: str) -> str:
    """The claim that stands soon behind one of the first tags of this name."""
    position = -1
    for _ in range(_TRIES):
        position = text.find(tag, position + 1)
        if position < 0:
            break
        if match := claim.search(text, position, position + _NEAR):
            return "".join(sign if sign.isprintable() else "?" for sign in match[1].strip())
    return ""
