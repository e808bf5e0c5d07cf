"""The container of a protected file: a ZIP of two stored entries, written in one pass (PKWARE APPNOTE 6.3).

`0.payload` comes first, with a data descriptor behind it, `0.manifest.json` second; no comment, no other entry, and a
date that tells nothing. ZIP64 stands where the sizes need it and in the local header of a payload of unknown size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import BinaryIO

from mta.errors import TdfError

PAYLOAD = "0.payload"
MANIFEST = "0.manifest.json"
LIMIT_32 = 0xFFFFFFFF
Checksum = Callable[..., int]  # of zlib.crc32's shape

LOCAL = struct.Struct("<4sHHHHHLLLHH")
CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
END = struct.Struct("<4sHHHHLLH")
END_64 = struct.Struct("<4sQHHLLQQQQ")
LOCATOR_64 = struct.Struct("<4sLQL")
LOCAL_MARK, CENTRAL_MARK, DESCRIPTOR_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
END_MARK, END_64_MARK, LOCATOR_64_MARK = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
WITH_DESCRIPTOR = 1 << 3
UTF_8 = 1 << 11
ZIP64_EXTRA = 0x0001
_VERSION, _VERSION_64 = 20, 45
_DATE = 0x0021  # 1980-01-01, the first day there is


class ContainerWriter:
    """Writes the container to `out` from where it stands: `write` the payload in pieces, then `close`.

    `size` is the payload's size if it is known, which spares small files ZIP64; another size is an error then.
    """

    def __init__(self, out: BinaryIO, size: int | None = None, checksum: Checksum = zlib.crc32) -> None:
        self._out = out
        self._announced = size
        self._checksum = checksum
        self._large = size is None or size >= LIMIT_32
        self._crc = 0
        self.size = 0
        extra = struct.pack("<HHQQ", ZIP64_EXTRA, 16, 0, 0) if self._large else b""
        header = _local(PAYLOAD, extra, WITH_DESCRIPTOR, 0, LIMIT_32 if self._large else 0)
        out.write(header)
        self._start = len(header)

    def write(self, data: memoryview | bytes) -> None:
        """Append to the payload."""
        self._crc = self._checksum(data, self._crc)
        self.size += len(data)
        self._out.write(data)

    def close(self, manifest: bytes) -> int:
        """Write what follows the payload; the size of the container in octets. Raises TdfError for a wrong `size`."""
        if self._announced is not None and self.size != self._announced:
            raise TdfError(f"the payload has {self.size} octets sealed, {self._announced} were announced")
        descriptor = struct.pack(
            "<4sLQQ" if self._large else "<4sLLL", DESCRIPTOR_MARK, self._crc, self.size, self.size
        )
        at_manifest = self._start + self.size + len(descriptor)
        crc = zlib.crc32(manifest)
        local = _local(MANIFEST, b"", 0, crc, len(manifest))
        directory = _central(PAYLOAD, WITH_DESCRIPTOR, self._crc, self.size, 0)
        directory += _central(MANIFEST, 0, crc, len(manifest), at_manifest)
        at_directory = at_manifest + len(local) + len(manifest)
        tail = b"".join((descriptor, local, manifest, directory, _end(len(directory), at_directory)))
        self._out.write(tail)
        return self._start + self.size + len(tail)


def _local(name: str, extra: bytes, flags: int, crc: int, size: int) -> bytes:
    version = _VERSION_64 if extra else _VERSION
    head = LOCAL.pack(LOCAL_MARK, version, flags, 0, 0, _DATE, crc, size, size, len(name), len(extra))
    return head + name.encode() + extra


def _central(name: str, flags: int, crc: int, size: int, offset: int) -> bytes:
    wide = b""
    if size >= LIMIT_32:
        wide += struct.pack("<QQ", size, size)
    if offset >= LIMIT_32:
        wide += struct.pack("<Q", offset)
    extra = struct.pack("<HH", ZIP64_EXTRA, len(wide)) + wide if wide else b""
    version = _VERSION_64 if wide else _VERSION
    shown, start = min(size, LIMIT_32), min(offset, LIMIT_32)
    lengths = (len(name), len(extra), 0)
    head = CENTRAL.pack(CENTRAL_MARK, version, version, flags, 0, 0, _DATE, crc, shown, shown, *lengths, 0, 0, 0, start)
    return head + name.encode() + extra


def _end(size: int, offset: int) -> bytes:
    end = END.pack(END_MARK, 0, 0, 2, 2, size, min(offset, LIMIT_32), 0)
    if offset < LIMIT_32:
        return end
    wide = END_64.pack(END_64_MARK, END_64.size - 12, _VERSION_64, _VERSION_64, 0, 0, 2, 2, size, offset)
    return wide + LOCATOR_64.pack(LOCATOR_64_MARK, 0, offset + size, 1) + end
