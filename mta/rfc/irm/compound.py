"""Reads streams out of a compound file (MS-CFB), which may be hostile: bounded, and never more than was given."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
MAX_STREAM = 1 << 20  # octets of a stream that is read
_MAX_ENTRIES = 20_000  # of the directory
_MOST = 0xFFFFFFFA  # MAXREGSECT: above are ends and free sectors
_STORAGE, _STREAM, _ROOT = 1, 2, 5


class CompoundError(ValueError):
    """No compound file, or a broken one."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    type: int
    left: int
    right: int
    child: int
    start: int
    size: int


class Compound:
    """A compound file in memory. Raises CompoundError."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(MAGIC) or len(data) < 512:
            raise CompoundError("no compound file")
        self._data = data
        shift, mini_shift = struct.unpack_from("<HH", data, 30)
        if shift not in (9, 12) or mini_shift != 6:  # MS-CFB §2.2
            raise CompoundError("sectors of an odd size")
        self._sector, self._mini = 1 << shift, 1 << mini_shift
        self._fat = self._read_fat()
        directory, self._cutoff, mini_fat = (struct.unpack_from("<I", data, at)[0] for at in (48, 56, 60))
        self._entries = self._read_directory(directory)
        self._mini_fat = self._numbers(b"".join(self._chain(mini_fat, MAX_STREAM)))
        root = self._entries[0]
        self._ministream = b"".join(self._chain(root.start, len(data)))

    def paths(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Every stream by its path, with the number by which `stream` reads it."""
        visited = set[int]()
        waiting: list[tuple[int, tuple[str, ...]]] = [(self._entries[0].child, ())]
        while waiting:
            number, above = waiting.pop()
            if number >= len(self._entries) or number in visited:
                continue
            visited.add(number)
            entry = self._entries[number]
            waiting += [(entry.left, above), (entry.right, above)]
            if entry.type == _STREAM:
                yield (*above, entry.name), number
            elif entry.type == _STORAGE:
                waiting.append((entry.child, (*above, entry.name)))

    def stream(self, number: int) -> bytes:
        """The first MAX_STREAM octets of a stream."""
        entry = self._entries[number]
        size = min(entry.size, MAX_STREAM)
        if entry.size >= self._cutoff:
            return b"".join(self._chain(entry.start, size))[:size]
        return b"".join(self._mini_chain(entry.start, size))[:size]

    def _read_fat(self) -> list[int]:
        sectors = [sector for sector in struct.unpack_from("<109I", self._data, 76) if sector < _MOST]
        following, visited = struct.unpack_from("<I", self._data, 68)[0], set[int]()
        while following < _MOST and following not in visited:  # DIFAT sectors of large files
            visited.add(following)
            numbers = self._numbers(self._at(following))
            if not numbers:
                break
            sectors += [number for number in numbers[:-1] if number < _MOST]
            following = numbers[-1]
        if len(sectors) * self._sector > len(self._data):
            raise CompoundError("an allocation table longer than the file")
        return self._numbers(b"".join(map(self._at, sectors)))

    def _read_directory(self, start: int) -> list[_Entry]:
        raw = b"".join(self._chain(start, _MAX_ENTRIES * 128))
        entries = [_entry(raw[at : at + 128]) for at in range(0, len(raw) - 127, 128)]
        if not entries or entries[0].type != _ROOT:
            raise CompoundError("no root entry")
        return entries

    def _chain(self, sector: int, most: int) -> Iterator[bytes]:
        visited, had = set[int](), 0
        while sector < len(self._fat) and sector not in visited and had < most:
            visited.add(sector)
            yield self._at(sector)
            had += self._sector
            sector = self._fat[sector]

    def _mini_chain(self, sector: int, most: int) -> Iterator[bytes]:
        visited, had = set[int](), 0
        while sector < len(self._mini_fat) and sector not in visited and had < most:
            visited.add(sector)
            yield self._ministream[sector * self._mini : (sector + 1) * self._mini]
            had += self._mini
            sector = self._mini_fat[sector]

    def _at(self, sector: int) -> bytes:
        offset = (sector + 1) * self._sector
        return self._data[offset : offset + self._sector]

    @staticmethod
    def _numbers(raw: bytes) -> list[int]:
        return list(struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4]))


def _entry(raw: bytes) -> _Entry:
    length, type_ = struct.unpack_from("<HB", raw, 64)
    left, right, child = struct.unpack_from("<III", raw, 68)
    start, size = struct.unpack_from("<II", raw, 116)  # of version 3 the upper half of the size may be anything
    name = raw[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
    return _Entry(name, type_, left, right, child, start, size)
