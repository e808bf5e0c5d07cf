"""The container: what unzippers see alike is read, everything else is refused."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import BinaryIO

import pytest

from mta.errors import TdfError, TdfUnsupported
from mta.rfc.tdf.zip_read import MAX_MANIFEST, read_container
from mta.rfc.tdf.zip_write import ContainerWriter
from tests.support.protected import packed, raw_zip

PAYLOAD, MANIFEST = ("0.payload", b"sealed"), ("0.manifest.json", b"{}")
FINE = packed(b"sealed", b"{}")


def read(data: bytes) -> tuple[bytes, bytes]:
    found = read_container(io.BytesIO(data))
    return data[found.payload_start :][: found.payload_size], found.manifest


@pytest.mark.parametrize("size", [6, None])
def test_any_unzipper_reads_ours(size: int | None) -> None:
    out = io.BytesIO()
    writer = ContainerWriter(out, size)
    writer.write(b"sea")
    writer.write(b"led")
    assert writer.close(b"{}") == len(out.getvalue())
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["0.payload", "0.manifest.json"]
        assert [entry.compress_type for entry in archive.infolist()] == [0, 0]
        assert archive.read("0.payload") == b"sealed"
    assert read(out.getvalue()) == (b"sealed", b"{}")


def test_it_is_written_where_the_file_stands_and_appended_to_nothing() -> None:
    out = io.BytesIO()
    writer = ContainerWriter(out, 7)
    writer.write(b"sealed")
    with pytest.raises(TdfError, match="7 were announced"):
        writer.close(b"{}")


@pytest.mark.parametrize("name", ["0.manifest.json", "manifest.json"])
@pytest.mark.parametrize("turned", [False, True])
def test_both_names_and_orders_are_read(name: str, turned: bool) -> None:
    entries = [PAYLOAD, (name, b"{}")]
    assert read(raw_zip(*(entries[::-1] if turned else entries))) == (b"sealed", b"{}")


def test_what_pythons_zipfile_writes_is_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (PAYLOAD, MANIFEST):
            archive.writestr(name, data)
    assert read(out.getvalue()) == (b"sealed", b"{}")


class Unseekable(io.BytesIO):
    """Makes zipfile write data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def test_what_is_written_as_a_stream_is_read() -> None:
    out = Unseekable()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in (PAYLOAD, MANIFEST):
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)
    assert read(out.getvalue()) == (b"sealed", b"{}")


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("descriptor_wide", [False, True])
def test_the_shapes_of_the_reference_writer(wide: bool, descriptor_wide: bool) -> None:
    """Go's: a payload with descriptor, a manifest without; all sizes and places in ZIP64 fields, or none."""
    local = struct.Struct("<4s5H3L2H")
    payload, manifest = b"sealed", b"{}"
    crcs = zlib.crc32(payload), zlib.crc32(manifest)
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if wide else b""
    unknown = 0xFFFFFFFF if wide else 0
    data = local.pack(b"PK\3\4", 45, 8, 0, 99, 99, 0, unknown, unknown, 9, len(extra)) + b"0.payload" + extra + payload
    data += struct.pack("<4sLQQ" if descriptor_wide else "<4sLLL", b"PK\7\x08", crcs[0], 6, 6)
    places = 0, len(data)
    data += local.pack(b"PK\3\4", 45, 0, 0, 99, 99, crcs[1], 2, 2, 15, 0) + b"0.manifest.json" + manifest
    start = len(data)
    for name, flags, crc, size, place in (
        ("0.payload", 8, crcs[0], 6, places[0]),
        ("0.manifest.json", 0, crcs[1], 2, places[1]),
    ):
        told = (0xFFFFFFFF,) * 3 if wide else (size, size, place)
        more = struct.pack("<HHQQQ", 1, 24, size, size, place) if wide else b""
        head = (45, 45, flags, 0, 98, 98, crc, told[0], told[1], len(name), len(more), 0, 0, 0, 0, told[2])
        data += struct.pack("<4s6H3L5H2L", b"PK\1\2", *head) + name.encode() + more
    size = len(data) - start
    if wide:
        data += struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, size, start)
        data += struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    counts = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF) if wide else (2, 2, size, start)
    data += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, 0)
    assert read(data) == (payload, manifest)


def deflated() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (PAYLOAD, MANIFEST):
            archive.writestr(name, data)
    return out.getvalue()


def patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    place = data.rindex(mark) + offset
    return data[:place] + new + data[place + len(new) :]


REFUSED = {
    "nothing": b"",
    "no zip": b"MZ" + bytes(100),
    "two manifests": raw_zip(PAYLOAD, MANIFEST, ("manifest.json", b"{}")),
    "two manifests and no payload": raw_zip(MANIFEST, ("manifest.json", b"{}")),
    "one name twice": raw_zip(PAYLOAD, PAYLOAD),
    "a third entry": raw_zip(PAYLOAD, MANIFEST, ("evil.exe", b"x")),
    "payload only": raw_zip(PAYLOAD),
    "another name": raw_zip(PAYLOAD, ("0.Manifest.json", b"{}")),
    "a folder": raw_zip(("./0.payload", b"x"), MANIFEST),
    "deflated": deflated(),
    "something before, and offsets that know it": raw_zip(PAYLOAD, MANIFEST, before=b"#!/bin/sh\n"),
    "something behind the directory": raw_zip(PAYLOAD, MANIFEST, behind=b"hidden"),
    "a gap": raw_zip(PAYLOAD, MANIFEST, between=b"hidden"),
    "a comment": raw_zip(PAYLOAD, MANIFEST, comment=b"PK"),
    "something before": b"#!/bin/sh\n" + FINE,
    "something behind": FINE + b"\0",
    "cut off": FINE[:-1],
    "its first octet gone": FINE[1:],
    "encrypted": patched(patched(FINE, b"PK\x01\x02", 8, b"\x01"), b"PK\x03\x04", 6, b"\x01"),
    "two disks": patched(FINE, b"PK\x05\x06", 4, b"\x01"),
    "three announced": patched(FINE, b"PK\x05\x06", 10, b"\x03"),
    "sizes disagree": patched(FINE, b"PK\x03\x04", 18, b"\x01"),
    "names disagree": patched(FINE, b"PK\x03\x04", 30, b"1"),
    "methods disagree": patched(FINE, b"PK\x03\x04", 8, b"\x08"),
    "checksum of the manifest": patched(patched(FINE, b"PK\x03\x04", 14, b"\0"), b"PK\x01\x02", 16, b"\0"),
    "both entries at one place": patched(FINE, b"PK\x01\x02", 42, bytes(4)),
    "a place outside": patched(FINE, b"PK\x01\x02", 42, b"\xfe\xff\xff\xff"),
    "a size outside": patched(FINE, b"PK\x01\x02", 20, b"\xfe\xff\xff\xff" * 2),
    "ZIP64 that is not there": patched(FINE, b"PK\x01\x02", 42, b"\xff" * 4),
    "a renaming extra field": patched(FINE, b"PK\x01\x02", 30, b"\x02\x00"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_tricks_are_refused(what: str) -> None:
    with pytest.raises(TdfError):
        read(REFUSED[what])


def test_compression_is_named() -> None:
    with pytest.raises(TdfUnsupported, match="compressed"):
        read(REFUSED["deflated"])


@pytest.mark.parametrize("place", range(len(FINE)))
def test_any_octet_of_the_structure_flipped(place: int) -> None:
    """What the ZIP says may change only where nothing depends on it: dates, versions and attributes."""
    data = bytearray(FINE)
    data[place] ^= 0xFF
    try:
        payload, manifest = read(bytes(data))
    except TdfError:
        return
    assert manifest == b"{}"
    assert len(payload) == 6


def test_a_manifest_beyond_the_limit_is_not_read_into_memory() -> None:
    with pytest.raises(TdfError, match="at most"):
        read(packed(b"", bytes(MAX_MANIFEST + 1)))


class Sparse(io.RawIOBase):
    """A file with a hole of zeros: what lies beyond 4 GiB without the room for it."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, bytes]] = []
        self._place = self._end = 0

    def write(self, data: object) -> int:
        octets = memoryview(data)  # type: ignore[arg-type]
        if len(octets) < 1 << 20:
            self._pieces.append((self._place, bytes(octets)))
        self._place += len(octets)
        self._end = max(self._end, self._place)
        return len(octets)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (self._end if whence == 2 else 0)
        return self._place

    def read(self, size: int = -1) -> bytes:
        room = bytearray(min(size, self._end - self._place))
        for start, data in self._pieces:
            for place in range(max(start, self._place), min(start + len(data), self._place + len(room))):
                room[place - self._place] = data[place - start]
        self._place += len(room)
        return bytes(room)


@pytest.mark.parametrize("size", [0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 5 << 30])
@pytest.mark.parametrize("known", [True, False])
def test_beyond_four_gib(size: int, known: bool) -> None:
    file = Sparse()
    as_file: BinaryIO = file  # type: ignore[assignment]
    writer = ContainerWriter(as_file, size if known else None, checksum=lambda data, crc: len(data) ^ crc)
    block = memoryview(bytes(1 << 26))
    while writer.size < size:
        writer.write(block[: min(len(block), size - writer.size)])
    writer.close(b"{}")
    found = read_container(as_file)
    assert (found.payload_size, found.manifest) == (size, b"{}")
    file.seek(file.seek(0, 2) - 22)
    offset = struct.unpack("<4s4H2LH", file.read(22))[6]
    assert (offset == 0xFFFFFFFF) == (found.payload_start + size >= 0xFFFFFFFF - 100)
