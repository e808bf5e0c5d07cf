"""Writes the Received-SPF field: RFC 7208 §9.1."""

from __future__ import annotations

import re

from mta.model.auth import SpfOutcome
from mta.rfc.spf.check import SpfQuery

MAX_VALUE = 255  # characters
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def received_spf(query: SpfQuery, outcome: SpfOutcome, identity: str = "mailfrom") -> bytes:
    """The whole field with its CRLF; `identity` is `mailfrom` or `helo`. `query.receiver` is our name."""
    comment = re.sub(r"([\\()])", r"\\\1", _bounded(f"{query.receiver}: {outcome.reason or outcome.result.value}"))
    pairs = {
        "client-ip": query.client,
        "envelope-from": str(query.sender) if query.sender else "",
        "helo": query.helo,
        "receiver": query.receiver,
        "identity": identity,
    }
    listed = ";\r\n\t".join(f"{key}={_value(text)}" for key, text in pairs.items() if text or key == "envelope-from")
    return f"Received-SPF: {outcome.result.value}\r\n\t({comment})\r\n\t{listed}\r\n".encode("ascii")


def _value(text: str) -> str:
    text = _bounded(text)
    if _DOT_ATOM.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _bounded(text: str) -> str:
    """Never a line end, nor anything else that is not printable ASCII."""
    return _UNPRINTABLE.sub("?", text)[:MAX_VALUE]
