"""What goes between a token process and its parent: a length of four octets, then JSON. Octets are written in hex.

Request: `n` (its number), `do`, `call` (stands in the log), `token`, `label`, `id`, `public` (SHA-256 of the SPKI the
key must have, or empty), and what the work needs. Answer: `n` and `value`, or `n`, `fault` (a word) and `text`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic_core import from_json, to_json

from mta.errors import LocalProtocolError

MOST = 262_144  # octets of one frame; a key of 4096 bits takes 6000
_HEAD = 4


class Fault(StrEnum):
    """Why a token process did not do what was asked."""

    AWAY = "away"  # the module or the token does not work; the process ends, and another may find it working
    LOST = "lost"  # the session is no longer good: log in and ask once more
    PIN = "pin"  # the PIN is wrong; each further try may lock the token
    MISSING = "missing"  # no such key, or more than one
    OTHER = "other"  # the key is another than the one that is meant
    EXISTS = "exists"  # there is a key of that name
    UNFIT = "unfit"  # a key that must not be used for this: too short, extractable
    REFUSED = "refused"  # the token works and will not do this with this key


def pack(frame: dict[str, Any]) -> bytes:
    """A frame as it is sent."""
    body = to_json(frame)
    if len(body) > MOST:
        raise LocalProtocolError(f"a frame of {len(body)} octets for a token process")
    return len(body).to_bytes(_HEAD) + body


def unpack(data: bytearray) -> list[dict[str, Any]]:
    """The whole frames at the beginning of `data`, which are taken out of it. Raises ValueError."""
    parts = []
    while len(data) >= _HEAD:
        size = int.from_bytes(data[:_HEAD])
        if size > MOST:
            raise ValueError(f"a frame of {size} octets")
        if len(data) < _HEAD + size:
            break
        parts.append(_object(bytes(data[_HEAD : _HEAD + size])))
        del data[: _HEAD + size]
    return parts


def _object(body: bytes) -> dict[str, Any]:
    document = from_json(body)
    if not isinstance(document, dict):
        raise ValueError("a frame that is no object")  # noqa: TRY004 - as for one that is no JSON
    return document


def frames(line: socket.socket) -> Iterator[dict[str, Any]]:
    """What the parent sends, until it lets go. Blocks."""
    data = bytearray()
    while piece := line.recv(65_536):
        data += piece
        yield from unpack(data)
