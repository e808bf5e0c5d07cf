"""Protected files for tests: orders with fixed randomness, and the pieces of a container."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

from mta.rfc.tdf.open import Opened, read_protected, unlock
from mta.rfc.tdf.policy import Policy, write_policy
from mta.rfc.tdf.seal import SealOrder, WrappedKey, seal
from mta.rfc.tdf.zip_read import read_container
from mta.rfc.tdf.zip_write import ContainerWriter

KEY = bytes(range(32))
UUID_ = UUID("6f3c1f6a-2a55-4d5c-9d4e-1f6f0c6f5a11")
POLICY = write_policy(
    Policy(UUID_, ("bob@fabrikam.example",), ("https://contoso.example/attr/classification/value/c",))
)
WRAPPED = WrappedKey("https://keys.contoso.example/kas", "r1+s", bytes(317))


def order(**changes: Any) -> SealOrder:
    """An order for segments of 16 octets, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "content_key": KEY,
        "nonce": bytes(12),
        "policy": POLICY,
        "key": WRAPPED,
        "segment_size": 16,
    }
    return SealOrder(**{**values, **changes})


def sealed(data: bytes, **changes: Any) -> bytes:
    """A container with `data` in it."""
    out = io.BytesIO()
    seal(io.BytesIO(data), out, order(**changes), len(data))
    return out.getvalue()


def opened(container: bytes, key: bytes = KEY) -> Opened:
    return unlock(read_protected(io.BytesIO(container)), key)


def content(container: bytes, key: bytes = KEY) -> bytes:
    return b"".join(opened(container, key).chunks())


def parts(container: bytes) -> tuple[bytes, dict[str, Any]]:
    """The sealed payload, and the manifest."""
    found = read_container(io.BytesIO(container))
    return container[found.payload_start :][: found.payload_size], json.loads(found.manifest)


def packed(payload: bytes, manifest: Any) -> bytes:
    """A container of our own writer with any payload and manifest."""
    out = io.BytesIO()
    writer = ContainerWriter(out, len(payload))
    writer.write(payload)
    writer.close(manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())
    return out.getvalue()


def changed(container: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The container with its manifest changed in place."""
    payload, manifest = parts(container)
    change(manifest)
    return packed(payload, manifest)


def raw_zip(
    *entries: tuple[str, bytes], before: bytes = b"", between: bytes = b"", behind: bytes = b"", comment: bytes = b""
) -> bytes:
    """A plain ZIP of stored entries, byte by byte, for what our writer never writes.

    `before`, `between` and `behind` hide before the first entry, behind each one, and behind the directory.
    """
    out, directory = before, b""
    for name, data in entries:
        values = (20, 0, 0, 0, 0x21, zlib.crc32(data), len(data), len(data), len(name), 0)
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, *values, 0, 0, 0, 0, len(out)) + name.encode()
        out += struct.pack("<4s5H3L2H", b"PK\x03\x04", *values) + name.encode() + data + between
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), len(out), len(comment)
    )
    return out + directory + behind + end + comment
