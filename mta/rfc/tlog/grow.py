"""Appends to the tree with nothing in memory but the hashes of its full subtrees: one for each set bit of its size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mta.rfc.tlog.merkle import EMPTY, Node, node_hash
from mta.rfc.tlog.tiles import HEIGHT, WIDTH, Tile

Growth = dict[Tile, bytes]


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree to be appended to. `peaks` are the hashes of its full subtrees, the largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """The root of the tree as it is."""
        if not self.peaks:
            return EMPTY
        hash_ = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            hash_ = node_hash(peak, hash_)
        return hash_


def frontier(size: int, node: Node) -> Frontier:
    """The frontier of the first `size` leaves, from the tiles: five hashes for a million."""
    peaks, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            peaks.append(node(level, start >> level))
            start += 1 << level
    return Frontier(size, tuple(peaks))


def append(tree: Frontier, leaves: Iterable[bytes]) -> tuple[Frontier, Growth]:
    """The tree with further leaves (leaf hashes), and what is added to the end of which tile.

    Tiles are named by level and index with the width they have afterwards; the octets are the added ones only.
    """
    size, peaks = tree.size, [*tree.peaks]
    added: dict[tuple[int, int], list[bytes]] = {}
    for leaf in leaves:
        hash_, level = leaf, 0
        added.setdefault((0, size // WIDTH), []).append(leaf)
        while size >> level & 1:
            hash_ = node_hash(peaks.pop(), hash_)
            level += 1
            if level % HEIGHT == 0:
                added.setdefault((level // HEIGHT, (size >> level) // WIDTH), []).append(hash_)
        peaks.append(hash_)
        size += 1
    growth: Growth = {}
    for (level, index), hashes in added.items():
        growth[Tile(level, index, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))] = b"".join(hashes)
    return Frontier(size, tuple(peaks)), growth
