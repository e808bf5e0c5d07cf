"""Tiles (C2SP tlog-tiles): the tree in files of up to 256 hashes, the entries in bundles, and their paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.errors import TlogError
from mta.rfc.tlog.merkle import HASH, Node, node_hash

HEIGHT, WIDTH = 8, 256  # levels of the tree in one tile, hashes of a full one
MAX_ENTRY = 65535  # octets
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)
_MAX_PATH = 64  # characters
_MAX_LEVEL = 63


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile. `level` counts tiles, not hashes; `width` is 256 for a full one."""

    level: int
    index: int
    width: int = WIDTH

    def path(self) -> str:
        """Where it is served, below the log's prefix."""
        return f"tile/{self.level}/{_name(self.index, self.width)}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The entries of one tile of level 0."""

    index: int
    width: int = WIDTH

    def path(self) -> str:
        """Where it is served, below the log's prefix."""
        return f"tile/entries/{_name(self.index, self.width)}"


def _name(index: int, width: int) -> str:
    digits = f"{index:d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    path = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"


def read_path(path: str) -> Tile | Bundle:
    """What a path below the log's prefix names. Raises TlogError for any that we would not write."""
    match = _PATH.fullmatch(path) if len(path) <= _MAX_PATH else None
    if match is None:
        raise TlogError("no path of a tile")
    kind, name, width = match.groups()
    index = int(name.replace("x", "").replace("/", ""))
    tile: Tile | Bundle
    if kind == "entries":
        tile = Bundle(index, int(width or WIDTH))
    else:
        tile = Tile(int(kind), index, int(width or WIDTH))
        if tile.level > _MAX_LEVEL:
            raise TlogError("no path of a tile")
    if tile.path() != path:  # a full width written out, or groups of zeros before the number
        raise TlogError("no path of a tile")
    return tile


def width_of(level: int, index: int, size: int) -> int:
    """How many hashes a tile has in a tree of `size` leaves: 0 where there is none."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def is_of(tile: Tile | Bundle, size: int) -> bool:
    """Whether a tile or bundle, full or not, is part of a tree of `size` leaves, or of one on the way there."""
    level = tile.level if isinstance(tile, Tile) else 0
    return 0 < tile.width <= width_of(level, tile.index, size)


def nodes(size: int, read: Callable[[Tile], bytes]) -> Node:
    """The hashes of full subtrees of the first `size` leaves, out of tiles.

    `read` gives a tile's octets, or more where it has grown since; each is read once. Raises TlogError for a short one.
    """
    kept: dict[tuple[int, int], bytes] = {}

    def tile(level: int, index: int) -> bytes:
        if (level, index) not in kept:
            width = width_of(level, index, size)
            data = read(Tile(level, index, width)) if width else b""
            if not width or len(data) < width * HASH:
                raise TlogError(f"tile {level}/{index} has {len(data)} octets, {width * HASH} are needed")
            kept[level, index] = data[: width * HASH]
        return kept[level, index]

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        data = tile(tile_level, first // WIDTH)
        start = first % WIDTH * HASH
        hashes = [data[start : start + HASH] for start in range(start, start + (HASH << height), HASH)]
        if len(hashes[-1]) != HASH:
            raise TlogError(f"the subtree {level}/{index} is not full")
        while len(hashes) > 1:
            hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        return hashes[0]

    return node


def write_bundle(entries: Sequence[bytes]) -> bytes:
    """Up to 256 entries in a row, each behind its length."""
    if len(entries) > WIDTH or any(len(entry) > MAX_ENTRY for entry in entries):
        raise TlogError(f"a bundle has up to {WIDTH} entries of up to {MAX_ENTRY} octets")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def read_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle. Raises TlogError where there are fewer, or more."""
    entries: list[bytes] = []
    offset = 0
    while offset < len(data) and len(entries) < width:
        stop = offset + 2 + int.from_bytes(data[offset : offset + 2], "big")
        if stop > len(data):
            break
        entries.append(data[offset + 2 : stop])
        offset = stop
    if len(entries) != width or offset != len(data):
        raise TlogError(f"a bundle that does not hold {width} entries")
    return entries
