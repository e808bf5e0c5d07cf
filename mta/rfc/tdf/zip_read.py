"""Reads the container of a protected file, and only that: what two unzippers could see differently is refused.

Two stored entries fill the file from its first octet to the directory, the directory reaches to the end records, and
those to the end of the file. Nothing else has a place to hide in: no third entry, no second manifest, no comment, no
gap, no overlap, no compression.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from mta.errors import TdfError, TdfUnsupported
from mta.rfc.tdf.zip_write import (
    CENTRAL,
    CENTRAL_MARK,
    DESCRIPTOR_MARK,
    END,
    END_64,
    END_64_MARK,
    END_MARK,
    LIMIT_32,
    LOCAL,
    LOCAL_MARK,
    LOCATOR_64,
    LOCATOR_64_MARK,
    PAYLOAD,
    UTF_8,
    WITH_DESCRIPTOR,
    ZIP64_EXTRA,
)

MANIFEST_NAMES = ("0.manifest.json", "manifest.json")  # the specification says the latter, its writers the former
MAX_MANIFEST = 10 * 1024 * 1024  # octets; the limit of the other readers
_MAX_DIRECTORY = 4096
_TIMESTAMP_EXTRA = 0x5455
_DESCRIPTORS = ("<4sLLL", "<4sLQQ", "<LLL", "<LQQ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the directory tells of it; `start` is where its data begins."""

    name: str
    flags: int
    crc: int
    size: int
    offset: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """Where the payload lies in the file, and the manifest's text."""

    payload_start: int
    payload_size: int
    manifest: bytes


def read_container(file: BinaryIO) -> Container:
    """The container in a seekable file. Raises TdfError, TdfUnsupported where an entry is compressed or encrypted."""
    length = file.seek(0, 2)
    directory_start, directory_size, ends = _directory(file, length)
    entries = _entries(_at(file, directory_start, directory_size))
    if directory_start + directory_size != ends:
        raise TdfError("something lies between the directory and its end record")
    placed = [_placed(file, entry, directory_start) for entry in sorted(entries, key=lambda entry: entry.offset)]
    _without_gaps(file, placed, directory_start)
    by_name = {entry.name: entry for entry in placed}
    payload = by_name.pop(PAYLOAD, None)
    if payload is None or not by_name.keys() <= set(MANIFEST_NAMES):
        raise TdfError(f"the container's entries are {', '.join(entry.name for entry in placed)!r}")
    [manifest] = by_name.values()
    if manifest.size > MAX_MANIFEST:
        raise TdfError(f"a manifest of {manifest.size} octets, at most {MAX_MANIFEST} are read")
    text = _at(file, manifest.start, manifest.size)
    if zlib.crc32(text) != manifest.crc:
        raise TdfError("the manifest's checksum does not agree with it")
    return Container(payload.start, payload.size, text)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise TdfError("the file ends before what it announces")
    return data


def _directory(file: BinaryIO, length: int) -> tuple[int, int, int]:
    """Where the directory starts, its size, and where the end records start."""
    if length < END.size:
        raise TdfError("no container: the file is too short")
    end = length - END.size
    mark, *disks, here, total, size, offset, comment = END.unpack(_at(file, end, END.size))
    if mark != END_MARK or comment or any(disks):
        raise TdfError("no container: it does not end with the end record of a ZIP of one part without a comment")
    wide = _directory_64(file, end)
    if wide is not None:
        end, known = wide
        for value, sentinel, true in zip(
            (here, total, size, offset), (0xFFFF, 0xFFFF, LIMIT_32, LIMIT_32), known, strict=True
        ):
            if value not in (sentinel, true):
                raise TdfError("the two end records disagree")
        here, total, size, offset = known
    if (here, total) != (2, 2):
        raise TdfError(f"a container has two entries, this one {total}")
    if size > _MAX_DIRECTORY or offset > end:
        raise TdfError("the directory does not fit into the container")
    return offset, size, end


def _directory_64(file: BinaryIO, end: int) -> tuple[int, tuple[int, int, int, int]] | None:
    """Where the ZIP64 end record starts, and its four values; None where there is none."""
    if end < LOCATOR_64.size + END_64.size:
        return None
    mark, disk, start, disks = LOCATOR_64.unpack(_at(file, end - LOCATOR_64.size, LOCATOR_64.size))
    if mark != LOCATOR_64_MARK:
        return None
    if disk or disks != 1 or start != end - LOCATOR_64.size - END_64.size:
        raise TdfError("the ZIP64 end record is not where it belongs")
    record = END_64.unpack(_at(file, start, END_64.size))
    if record[0] != END_64_MARK or record[1] != END_64.size - 12 or record[4] or record[5]:
        raise TdfError("the ZIP64 end record is no such thing")
    return start, record[6:10]


def _entries(directory: bytes) -> list[Entry]:
    entries = []
    offset = 0
    while offset < len(directory):
        if len(directory) - offset < CENTRAL.size:
            raise TdfError("the directory is cut off")
        record = CENTRAL.unpack_from(directory, offset)
        name_size, extra_size, comment_size = record[10:13]
        stop = offset + CENTRAL.size + name_size + extra_size
        if record[0] != CENTRAL_MARK or comment_size or record[13] or stop > len(directory):
            raise TdfError("the directory holds something that is no entry of a container")
        name = directory[offset + CENTRAL.size : stop - extra_size]
        entries.append(_entry(record, name, directory[stop - extra_size : stop]))
        offset = stop
    if len(entries) != 2 or entries[0].name == entries[1].name:
        raise TdfError("a container has two entries of different names")
    return entries


def _entry(record: tuple[Any, ...], name: bytes, extra: bytes) -> Entry:
    flags, method, crc = record[3], record[4], record[7]
    packed, size, offset = record[8], record[9], record[16]
    if method:
        raise TdfUnsupported(f"an entry is compressed (method {method}); only stored ones are read")
    if flags & ~(WITH_DESCRIPTOR | UTF_8):
        raise TdfUnsupported(f"an entry has the flags {flags:#06x}")
    wide = _wide(extra)
    values = []
    for value in (size, packed, offset):
        if value == LIMIT_32:
            if len(wide) < 8:
                raise TdfError("an entry refers to ZIP64 values that are not there")
            value = int.from_bytes(wide[:8], "little")
            wide = wide[8:]
        values.append(value)
    if values[0] != values[1]:
        raise TdfError("a stored entry has two sizes")
    return Entry(name.decode("ascii", "replace"), flags, crc, values[0], values[2])


def _wide(extra: bytes) -> bytes:
    """The ZIP64 values of an extra field. Other kinds than it and time stamps are refused: some rename the entry."""
    found = b""
    while extra:
        if len(extra) < 4:
            raise TdfError("an extra field is cut off")
        kind, size = struct.unpack_from("<HH", extra)
        if size > len(extra) - 4 or kind not in (ZIP64_EXTRA, _TIMESTAMP_EXTRA) or (kind == ZIP64_EXTRA and found):
            raise TdfError(f"an extra field of kind {kind:#06x} that has no place in a container")
        if kind == ZIP64_EXTRA:
            found = extra[4 : 4 + size]
        extra = extra[4 + size :]
    return found


def _placed(file: BinaryIO, entry: Entry, directory_start: int) -> Entry:
    """The entry with the start of its data, its local header being of one mind with the directory."""
    if entry.offset + LOCAL.size > directory_start:
        raise TdfError("an entry lies outside the container")
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack(
        _at(file, entry.offset, LOCAL.size)
    )
    name = _at(file, entry.offset + LOCAL.size, name_size)
    wide = _wide(_at(file, entry.offset + LOCAL.size + name_size, extra_size))
    if mark != LOCAL_MARK or name.decode("ascii", "replace") != entry.name or flags != entry.flags or method:
        raise TdfError(f"the entry {entry.name} is another in the directory")
    sizes = {packed, size} if LIMIT_32 not in (packed, size) else {*struct.unpack_from("<QQ", wide.ljust(16, b"\xff"))}
    if flags & WITH_DESCRIPTOR:
        agrees = crc in (0, entry.crc) and sizes <= {0, entry.size}
    else:
        agrees = crc == entry.crc and sizes == {entry.size}
    if not agrees:
        raise TdfError(f"the entry {entry.name} has another size or checksum in the directory")
    start = entry.offset + LOCAL.size + name_size + extra_size
    if start + entry.size > directory_start:
        raise TdfError(f"the entry {entry.name} reaches beyond the container")
    return Entry(entry.name, entry.flags, entry.crc, entry.size, entry.offset, start)


def _without_gaps(file: BinaryIO, entries: list[Entry], directory_start: int) -> None:
    first, second = entries
    if first.offset:
        raise TdfError("something lies before the first entry")
    for entry, follows in ((first, second.offset), (second, directory_start)):
        between = follows - entry.start - entry.size
        if not entry.flags & WITH_DESCRIPTOR:
            if between:
                raise TdfError(f"something lies behind the entry {entry.name}")
            continue
        if not 12 <= between <= 24 or not _describes(_at(file, entry.start + entry.size, between), entry):
            raise TdfError(f"behind the entry {entry.name} is something else than its data descriptor")


def _describes(descriptor: bytes, entry: Entry) -> bool:
    for form in _DESCRIPTORS:
        values = (entry.crc, entry.size, entry.size)
        if struct.calcsize(form) != len(descriptor) or ("LLL" in form and entry.size > LIMIT_32):
            continue
        if descriptor == (struct.pack(form, DESCRIPTOR_MARK, *values) if "4s" in form else struct.pack(form, *values)):
            return True
    return False
