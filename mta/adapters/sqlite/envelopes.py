"""The envelope of a large content beside it, so that a body tells whose it is where the queue itself is lost.

Written once the message is committed, without a flush of its own: what lies here was acknowledged. It goes before the
content does. Small contents stand in the queue with their envelopes and need none.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from mta.adapters.queue_rows import envelope_in, to_json
from mta.adapters.sqlite.rows import Incoming
from mta.adapters.sqlite.spool import remove
from mta.model.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Kept:
    """What an envelope file tells of a message."""

    id: str
    received: float
    inbound: str
    hops: int
    size: int  # octets of the content,
    crc: int  # and its CRC-32
    prefix: bytes
    envelope: Envelope
    connectors: tuple[str, ...]  # of the recipients


def text_of(incoming: Incoming) -> bytes:
    """What is kept of a new message."""
    identity, received, _, inbound, hops, size, _, _, crc, _, envelope, _, prefix = incoming.row
    document = {
        "id": identity,
        "received": received,
        "inbound": inbound,
        "hops": hops,
        "size": size,
        "crc": crc,
        "prefix": bytes(prefix).decode("latin-1") if isinstance(prefix, bytes) else "",
        "envelope": envelope,
        "connectors": [row[1] for row in incoming.recipients],
    }
    text = to_json(document).encode("utf-8", "backslashreplace")
    return b"%08x\n" % crc32(text) + text


def write(folder: Path, name: str, text: bytes) -> None:
    """Keep it; never raises: without it the message is as safe as before."""
    with contextlib.suppress(OSError), open(folder / name, "wb", opener=_private) as file:
        file.write(text)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def forget(folder: Path, name: str) -> None:
    """The content of this name goes next."""
    remove(folder / name)


def read(path: Path) -> Kept | None:
    """What a file tells; None if it is not there, or not as it was written."""
    try:
        head, _, text = path.read_bytes().partition(b"\n")
        if int(head, 16) != crc32(text):
            return None
        raw = json.loads(text)
        return Kept(
            raw["id"],
            raw["received"],
            raw["inbound"],
            raw["hops"],
            raw["size"],
            raw["crc"],
            raw["prefix"].encode("latin-1"),
            envelope_in(raw["envelope"]),
            tuple(raw["connectors"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
