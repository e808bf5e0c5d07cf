"""The Merkle tree of RFC 6962 §2.1: hashes, and proofs as who reads them checks them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

from mta.errors import TlogError

HASH = 32  # octets
EMPTY = hashlib.sha256(b"").digest()  # RFC 6962 §2.1: the root of a tree without leaves
MAX_PROOF = 63  # hashes; a tree has fewer than 2^63 leaves
MAX_SIZE = 2**63
Node = Callable[[int, int], bytes]  # (level, index) -> hash of the full subtree of 2^level leaves


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry. RFC 6962 §2.1: leaves and nodes differ in their first octet."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def range_hash(start: int, stop: int, node: Node) -> bytes:
    """The hash over the leaves from `start` up to `stop`, of which there is one at least; `start` fits its size."""
    size = stop - start
    if size & (size - 1) == 0:
        return node(size.bit_length() - 1, start // size)
    split = start + _split(size)
    return node_hash(range_hash(start, split, node), range_hash(split, stop, node))


def _split(size: int) -> int:
    """The largest power of two below `size` (RFC 6962 §2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def root_hash(size: int, node: Node) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return range_hash(0, size, node) if size else EMPTY


def prove_inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """RFC 6962 §2.1.1: what leads from the leaf to the root. Raises TlogError for a leaf that is not in the tree."""
    if not 0 <= index < size <= MAX_SIZE:
        raise TlogError(f"entry {index} is not in a tree of {size}")
    proof: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        split = start + _split(stop - start)
        if index < split:
            proof.append(range_hash(split, stop, node))
            stop = split
        else:
            proof.append(range_hash(start, split, node))
            start = split
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises TlogError unless the leaf (a leaf_hash) is at `index` of the tree with that size and root."""
    if not 0 <= index < size <= MAX_SIZE:
        raise TlogError(f"entry {index} is not in a tree of {size}")
    node, last, hash_ = index, size - 1, leaf
    for sibling in proof:
        if not last:
            raise TlogError("a proof with hashes left over")
        if node & 1 or node == last:
            hash_ = node_hash(sibling, hash_)
            while not node & 1 and node:  # a subtree that stands alone at the right has no sibling up to here
                node, last = node >> 1, last >> 1
        else:
            hash_ = node_hash(hash_, sibling)
        node, last = node >> 1, last >> 1
    if last or not hmac.compare_digest(hash_, root):
        raise TlogError(f"entry {index} is not in the log: its proof does not lead to the root")


def prove_consistency(old: int, size: int, node: Node) -> list[bytes]:
    """RFC 6962 §2.1.2: that the tree of `size` only adds to the tree of `old`. Empty for 0 and for the same size."""
    if not 0 <= old <= size <= MAX_SIZE:
        raise TlogError(f"a tree of {size} does not follow one of {old}")
    if old in (0, size):
        return []
    proof: list[bytes] = []
    start, stop, is_known = 0, size, True
    while old != stop:
        split = start + _split(stop - start)
        if old <= split:
            proof.append(range_hash(split, stop, node))
            stop = split
        else:
            proof.append(range_hash(start, split, node))
            start, is_known = split, False
    if not is_known:
        proof.append(range_hash(start, stop, node))
    return proof[::-1]


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises TlogError unless the tree with `size` and `root` only adds to the one with `old` and `old_root`."""
    if not 0 <= old <= size <= MAX_SIZE:
        raise TlogError(f"a tree of {size} does not follow one of {old}")
    if old in (0, size):
        if proof or not hmac.compare_digest(old_root, root if old else EMPTY):
            raise TlogError("two roots of one size differ, or a proof with hashes left over")
        return
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    hashes = [*proof] if node else [old_root, *proof]  # an old tree that is full is its own first hash
    if not hashes:
        raise TlogError("a proof without hashes")
    was = now = hashes[0]
    for sibling in hashes[1:]:
        if not last:
            raise TlogError("a proof with hashes left over")
        if node & 1 or node == last:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            now = node_hash(now, sibling)
        node, last = node >> 1, last >> 1
    if last or not (hmac.compare_digest(was, old_root) and hmac.compare_digest(now, root)):
        raise TlogError(f"the tree of {size} entries does not continue the one of {old}: the log was rewritten")
