"""Receipts (C2SP tlog-proof): that an entry is in the log, for who has but the keys of the log and its witnesses."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from mta.errors import TlogError
from mta.rfc.jose.base64url import decode_padded
from mta.rfc.tlog.checkpoint import Checkpoint, cosignatures, open_checkpoint, read_number
from mta.rfc.tlog.merkle import HASH, MAX_PROOF, leaf_hash, verify_inclusion
from mta.rfc.tlog.note import MAX_NOTE, VerifierKey

_FIRST = "c2sp.org/tlog-proof@v1"
MAX_EXTRA = 128 * 1024  # octets


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it was read. `checkpoint` is the signed note; `extra` is under no signature."""

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a receipt proves: the entry is in this tree, which these witnesses saw (and when, in seconds)."""

    checkpoint: Checkpoint
    witnesses: dict[VerifierKey, int]


def write_receipt(receipt: Receipt) -> bytes:
    """The receipt as a file (`.tlog-proof`)."""
    lines = [_FIRST]
    if receipt.extra:
        lines.append(f"extra {_base64(receipt.extra)}")
    lines += [f"index {receipt.index}", *map(_base64, receipt.proof), "", ""]
    return "\n".join(lines).encode() + receipt.checkpoint


def read_receipt(data: bytes) -> Receipt:
    """The parts of a receipt. Raises TlogError."""
    if len(data) > 2 * MAX_EXTRA + MAX_NOTE:
        raise TlogError(f"a receipt of {len(data)} octets is not read")
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        first, lines = "", []
    if not blank or first != _FIRST or not lines:
        raise TlogError("no receipt of a transparency log")
    extra = b""
    if lines[0].startswith("extra "):
        extra = _octets(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index ") or len(lines) > MAX_PROOF + 1:
        raise TlogError("a receipt names the index of its entry, and a proof of at most 63 hashes")
    index = read_number(lines[0].removeprefix("index "))
    return Receipt(index, read_hashes(lines[1:]), checkpoint, extra)


def read_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    """The hashes of a proof, one a line. Raises TlogError."""
    hashes = tuple(map(_octets, lines))
    if any(len(hash_) != HASH for hash_ in hashes):
        raise TlogError("a line of a proof that is no hash")
    return hashes


def verify_receipt(
    receipt: Receipt, entry: bytes, log: VerifierKey, witnesses: Sequence[VerifierKey] = (), needed: int = 0
) -> Proven:
    """What the receipt proves of the entry. Raises TlogError, also where fewer than `needed` witnesses signed."""
    checkpoint, note = open_checkpoint(receipt.checkpoint, log)
    verify_inclusion(leaf_hash(entry), receipt.index, checkpoint.size, checkpoint.root, receipt.proof)
    cosigned = cosignatures(note, witnesses)
    if len({witness.key for witness in cosigned}) < needed:  # one key under two names is one witness
        raise TlogError(f"the checkpoint was seen by {len(cosigned)} known witnesses, {needed} are needed")
    return Proven(checkpoint, cosigned)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _octets(text: str) -> bytes:
    try:
        return decode_padded(text)
    except ValueError as error:
        raise TlogError(f"a line of a receipt: {error}") from None
