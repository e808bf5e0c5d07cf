"""What a log asks of a witness, and what the witness answers (C2SP tlog-witness, `add-checkpoint`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mta.errors import TlogError
from mta.rfc.tlog.checkpoint import Checkpoint, cosigned_at, read_checkpoint, read_number
from mta.rfc.tlog.merkle import EMPTY, MAX_PROOF, verify_consistency
from mta.rfc.tlog.note import MAX_NOTE, Note, Signature, VerifierKey, read_note, read_signatures, verify_note
from mta.rfc.tlog.proof import read_hashes

SIZE_TYPE = "text/x.tlog.size"  # the Content-Type of a 409 that tells our size
MAX_REQUEST = MAX_NOTE + 8192  # octets


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size that the log believes the witness to know, the proof from there, and the checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """The newest checkpoint that a witness cosigned for a log."""

    size: int = 0
    root: bytes = EMPTY


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a witness makes of a request: the HTTP status, and for 200 what it shall store, and then cosign.

    `body` is the answer's, where it is not the cosignature; `reason` is for our log.
    """

    status: int
    reason: str = ""
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"
    checkpoint: Checkpoint | None = None
    text: str = ""


def write_request(request: AddCheckpoint) -> bytes:
    """The body of the POST."""
    lines = [f"old {request.old}", *(base64.b64encode(hash_).decode("ascii") for hash_ in request.proof), "", ""]
    return "\n".join(lines).encode() + request.checkpoint


def read_request(data: bytes) -> AddCheckpoint:
    """The parts of a request. Raises TlogError: 400."""
    if len(data) > MAX_REQUEST:
        raise TlogError(f"a request of {len(data)} octets is not read")
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        first, lines = "", []
    if not blank or not first.startswith("old ") or len(lines) > MAX_PROOF:
        raise TlogError("a request names the old size, and at most 63 hashes")
    return AddCheckpoint(read_number(first.removeprefix("old ")), read_hashes(lines), checkpoint)


def judge(data: bytes, logs: Mapping[str, VerifierKey], known: Mapping[str, Known]) -> Verdict:
    """What to answer. `logs` are the keys by origin, `known` the newest cosigned checkpoints by origin.

    Between this and storing a new checkpoint nobody else may store one for the same log.
    """
    try:
        request = read_request(data)
        note = read_note(request.checkpoint)
        checkpoint = read_checkpoint(note.text)
    except TlogError as error:
        return Verdict(400, str(error))
    key = logs.get(checkpoint.origin)
    if key is None:
        return Verdict(404, f"the log {checkpoint.origin[:100]!r} is not known")
    try:
        verify_note(note, [key])
    except TlogError as error:
        return Verdict(403, str(error))
    return _judged(request, note, checkpoint, known.get(checkpoint.origin, Known()))


def _judged(request: AddCheckpoint, note: Note, checkpoint: Checkpoint, last: Known) -> Verdict:
    if request.old > checkpoint.size:
        return Verdict(400, "the old size is above the new one")
    if request.old != last.size:
        reason = f"the log believes us at {request.old}, we have seen {last.size}"
        return Verdict(409, reason, f"{last.size}\n", SIZE_TYPE)
    if request.old == checkpoint.size and checkpoint.root != last.root:
        return Verdict(409, "the log signed two roots of one size", f"{last.size}\n", SIZE_TYPE)
    try:
        verify_consistency(last.size, last.root, checkpoint.size, checkpoint.root, request.proof)
    except TlogError as error:
        return Verdict(422, str(error))
    return Verdict(200, checkpoint=checkpoint, text=note.text)


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The witness has seen the checkpoint: its cosignatures, and since when (seconds)."""

    signatures: tuple[Signature, ...]
    at: int


@dataclass(frozen=True, slots=True)
class HasSeen:
    """It believes itself at another size than it was asked from."""

    size: int


@dataclass(frozen=True, slots=True)
class Contradicts:
    """It knows another log of our name."""

    reason: str


def conclude(
    asked: AddCheckpoint, answer: tuple[int, str, bytes], witness: VerifierKey
) -> Cosigned | HasSeen | Contradicts:
    """What the answer to a request (status, Content-Type, body) says. Raises TlogError for one that says nothing."""
    status, kind, body = answer
    note = read_note(asked.checkpoint)
    if status == 200:
        signatures = read_answer(body, note.text, [witness])
        return Cosigned(tuple(signatures), max(cosigned_at(note.text, signature, witness) for signature in signatures))
    size = read_checkpoint(note.text).size
    if status == 422:
        return Contradicts(f"its log of {asked.old} entries is not the beginning of ours of {size}")
    if status == 409 and kind.partition(";")[0].strip().lower() == SIZE_TYPE:
        known = read_known_size(body)
        if known == asked.old == size:
            return Contradicts(f"its log of {size} entries is another one than ours")
        if known != asked.old:
            return HasSeen(known)
    raise TlogError(f"it answers {status}{_SAYS.get(status, '')}")


_SAYS = {
    403: ": our signature does not hold by the key that it has of us (`mta log head` shows ours)",
    404: ": it does not know our log; it needs our key (`mta log head`)",
}


def read_known_size(body: bytes) -> int:
    """The size that a witness tells in a 409 of SIZE_TYPE. Raises TlogError.

    One above the log's own says that the log has signed more than it remembers, and must not sign anything smaller.
    """
    text = body.decode("ascii", "replace")
    if not text.endswith("\n"):
        raise TlogError("the witness's answer is no size")
    return read_number(text[:-1])


def read_answer(body: bytes, text: str, witnesses: Sequence[VerifierKey]) -> list[Signature]:
    """The cosignatures of known witnesses in an answer to a checkpoint's text. Raises TlogError if there is none."""
    try:
        signatures = read_signatures(body.decode("utf-8")) if len(body) <= MAX_NOTE else ()
    except UnicodeDecodeError:
        signatures = ()
    good = []
    for signature in signatures:
        for witness in witnesses:
            if signature.by(witness):
                cosigned_at(text, signature, witness)
                good.append(signature)
    if not good:
        raise TlogError("the witness's answer holds no cosignature of a known witness")
    return good
