"""Checkpoints (C2SP tlog-checkpoint): a log's word on its size and root; and what witnesses add (tlog-cosignature)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.errors import TlogError
from mta.rfc.jose.base64url import decode_padded
from mta.rfc.tlog.merkle import HASH, MAX_SIZE
from mta.rfc.tlog.note import KeyType, Note, Signature, VerifierKey, read_note, verify_note

_STAMP = 8  # octets of a cosignature's time


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself. `extensions` are further lines, of no meaning here."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """The text that is signed."""
        root = base64.b64encode(self.root).decode("ascii")
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))


def read_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note's text. Raises TlogError."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not lines[0] or not all(lines[3:-1]):
        raise TlogError("a checkpoint has three lines at least, and no empty one")
    try:
        root = decode_padded(lines[2])
    except ValueError:
        root = b""
    if len(root) != HASH:
        raise TlogError("the root of a checkpoint is a hash in base64")
    return Checkpoint(lines[0], read_number(lines[1]), root, tuple(lines[3:-1]))


def read_number(text: str) -> int:
    """A decimal number without leading zeros, below 2^63. Raises TlogError."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or (text[0] == "0" and text != "0"):
        raise TlogError(f"{text[:30]!r} is no size or index")
    if int(text) >= MAX_SIZE:
        raise TlogError(f"{text[:30]!r} is no size or index")
    return int(text)


def open_checkpoint(data: bytes, log: VerifierKey, origin: str = "") -> tuple[Checkpoint, Note]:
    """A checkpoint that the log has signed. `origin` is the log's, unless it is its key's name. Raises TlogError."""
    note = read_note(data)
    checkpoint = read_checkpoint(note.text)
    if checkpoint.origin != (origin or log.name):
        raise TlogError(f"a checkpoint of another log ({checkpoint.origin[:100]!r})")
    verify_note(note, [log])
    return checkpoint, note


def cosign(text: str, key: VerifierKey, sign: Callable[[bytes], bytes], now: int) -> Signature:
    """A witness's signature on a checkpoint's text: that at `now` (seconds) it was the largest one known."""
    if key.type is not KeyType.COSIGNATURE:
        raise TlogError(f"{key.name} is no key of a witness")
    return Signature(key.name, key.id, now.to_bytes(_STAMP, "big") + sign(_cosigned(text, now)))


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def cosigned_at(text: str, signature: Signature, key: VerifierKey) -> int:
    """When the witness saw the checkpoint, in seconds. Raises TlogError unless its signature holds."""
    time = int.from_bytes(signature.octets[:_STAMP], "big")
    holds = key.type is KeyType.COSIGNATURE and signature.by(key) and time < MAX_SIZE
    if not holds or not key.holds(_cosigned(text, time), signature.octets[_STAMP:]):
        raise TlogError(f"the cosignature of {key.name} does not hold")
    return time


def cosignatures(note: Note, witnesses: Sequence[VerifierKey]) -> dict[VerifierKey, int]:
    """Which witnesses saw the checkpoint, and when. Raises TlogError where one of theirs does not hold."""
    times = {}
    for witness in witnesses:
        if witness.type is not KeyType.COSIGNATURE:
            continue  # the log itself is no witness of its own
        for signature in note.signatures:
            if signature.by(witness):
                times[witness] = cosigned_at(note.text, signature, witness)
                break
    return times
