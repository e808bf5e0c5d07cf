"""RFC 6962's tree: the vectors of Certificate Transparency, and any tree against one built naively."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import TlogError
from mta.rfc.tlog.grow import Frontier, append, frontier
from mta.rfc.tlog.merkle import (
    EMPTY,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_hash,
    verify_consistency,
    verify_inclusion,
)
from mta.rfc.tlog.tiles import Tile, nodes

# The test data of Certificate Transparency's reference implementation
ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_consistency(old: int, leaves: list[bytes], known: bool = True) -> list[bytes]:
    """RFC 6962 §2.1.2."""
    if old == len(leaves):
        return [] if known else [naive_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*naive_consistency(old, leaves[:split], known), naive_root(leaves[split:])]
    return [*naive_consistency(old - split, leaves[split:], False), naive_root(leaves[:split])]


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


class Store:
    """Tiles in memory, grown as a store would."""

    def __init__(self) -> None:
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.tree = Frontier()
        self.read: list[Tile] = []

    def append(self, leaves: list[bytes]) -> None:
        self.tree, growth = append(self.tree, leaves)
        for tile, added in growth.items():
            data = self.tiles.get((tile.level, tile.index), b"") + added
            assert len(data) == tile.width * 32
            self.tiles[tile.level, tile.index] = data

    def __call__(self, tile: Tile) -> bytes:
        self.read.append(tile)
        return self.tiles.get((tile.level, tile.index), b"")


def grown(count: int, step: int = 1000) -> Store:
    store, leaves = Store(), leaves_of(count)
    for start in range(0, count, step):
        store.append(leaves[start : start + step])
    return store


@pytest.mark.parametrize("size", range(9))
def test_the_vectors_of_certificate_transparency(size: int) -> None:
    tree, _ = append(Frontier(), map(leaf_hash, ENTRIES[:size]))
    assert tree.root().hex() == ROOTS[size]


def test_the_empty_tree() -> None:
    assert Frontier().root() == EMPTY == root_hash(0, nodes(0, Store()))


@pytest.mark.parametrize("count", [1, 2, 7, 255, 256, 257, 511, 512, 513, 700])
@pytest.mark.parametrize("step", [1, 100, 1000])
def test_tiles_hold_the_tree(count: int, step: int) -> None:
    store, leaves = grown(count, step), leaves_of(count)
    node = nodes(count, store)
    assert root_hash(count, node) == store.tree.root() == naive_root(leaves)
    assert frontier(count, node) == store.tree
    assert store.tiles[0, count // 256 - (count % 256 == 0)][-32:] == leaves[-1]


def test_tiles_of_higher_levels() -> None:
    """C2SP tlog-tiles' own example of a tree of 70,000."""
    store = grown(70_000, 7001)
    assert [sum(1 for level, _ in store.tiles if level == height) for height in (0, 1, 2)] == [274, 2, 1]
    assert (len(store.tiles[0, 273]), len(store.tiles[1, 1]), len(store.tiles[2, 0])) == (112 * 32, 17 * 32, 32)
    node = nodes(70_000, store)
    assert frontier(70_000, node) == store.tree
    proof = prove_inclusion(69_999, 70_000, node)
    verify_inclusion(leaves_of(70_000)[-1], 69_999, 70_000, store.tree.root(), proof)
    assert len(store.read) == len(set(store.read)) < 8  # a proof needs a few tiles, each once


@given(st.integers(1, 600), st.data())
def test_inclusion_against_the_naive_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves, node = leaves_of(size), nodes(size, STORE)
    proof = prove_inclusion(index, size, node)
    root = naive_root(leaves)
    assert proof == naive_path(index, leaves)
    verify_inclusion(leaves[index], index, size, root, proof)
    wrong = data.draw(st.integers(0, size))
    if wrong != index:
        with pytest.raises(TlogError):
            verify_inclusion(leaves[index], wrong, size, root, proof)
    for bad in ([*proof, EMPTY], proof[1:] if proof else [EMPTY], [EMPTY, *proof[1:]] if proof else [EMPTY]):
        with pytest.raises(TlogError):
            verify_inclusion(leaves[index], index, size, root, bad)


@given(st.integers(0, 600), st.data())
def test_consistency_against_the_naive_tree(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    leaves, node = leaves_of(size), nodes(size, STORE)
    proof = prove_consistency(old, size, node)
    assert proof == (naive_consistency(old, leaves) if old else [])
    before, after = naive_root(leaves[:old]), naive_root(leaves)
    verify_consistency(old, before, size, after, proof)
    bads = [[*proof, EMPTY], proof[1:] if proof else [EMPTY], [EMPTY, *proof[1:]] if proof else [EMPTY]]
    for bad in bads:
        with pytest.raises(TlogError):
            verify_consistency(old, before, size, after, bad)
    for was, now in ((bytes(32), after), (before, bytes(32))):
        if old:
            with pytest.raises(TlogError):
                verify_consistency(old, was, size, now, proof)


@given(st.integers(2, 200), st.integers(0, 199))
def test_a_rewritten_log_has_no_proof(size: int, changed: int) -> None:
    """An old entry replaced: the honest proof of the new tree does not fit the old root."""
    old = size // 2 or 1
    leaves = leaves_of(size)
    before = naive_root(leaves[:old])
    leaves[changed % old] = leaf_hash(b"rewritten")
    store = Store()
    store.append(leaves)
    with pytest.raises(TlogError):
        verify_consistency(old, before, size, naive_root(leaves), prove_consistency(old, size, nodes(size, store)))


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0), (0, 2**63 + 1)])
def test_what_is_in_no_tree(index: int, size: int) -> None:
    with pytest.raises(TlogError):
        prove_inclusion(index, size, nodes(size, STORE))
    with pytest.raises(TlogError):
        verify_inclusion(EMPTY, index, size, EMPTY, [])
    with pytest.raises(TlogError):
        prove_consistency(size + 1, size, nodes(size, STORE))
    with pytest.raises(TlogError):
        verify_consistency(size + 1, EMPTY, size, EMPTY, [])


def test_a_tile_that_is_too_short_is_told() -> None:
    store = grown(300)
    store.tiles[0, 1] = store.tiles[0, 1][:-1]
    with pytest.raises(TlogError, match="tile 0/1"):
        root_hash(300, nodes(300, store))


STORE = grown(600)
