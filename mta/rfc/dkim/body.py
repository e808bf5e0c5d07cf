"""Hashes a body once for all who signed it, piece by piece: RFC 6376 §3.4.3, §3.4.4 and §3.7.

Nothing here looks at single lines. A window of the body is searched for what the relaxed form would change, and most
mail has nothing of it; where it has, whole windows are rewritten. Memory is bounded by the window, whatever comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from mta.model.message import HeaderBlock
from mta.rfc.dkim.canonicalize import Canonicalization

Buffer = bytes | bytearray | memoryview
WINDOW = 65_536  # octets: fits a processor's cache
_CRLFS = b"\r\n" * 4096
_SHRINK = (b" " * 64, b" " * 8, b"  ")


@dataclass(frozen=True, slots=True)
class BodyRequest:
    """A hash that is wanted: of the body in `form`, of its first `length` octets only where l= says so."""

    form: Canonicalization
    length: int | None = None


@dataclass(frozen=True, slots=True)
class BodyHash:
    """SHA-256 of what was asked for, and how long the whole canonical body is, in octets."""

    digest: bytes
    length: int


@dataclass(frozen=True, slots=True)
class AuthMessage:
    """A message to be judged: its header block, and its body as often as it is asked for, in pieces of any size.

    `hashes` keeps what was computed, so that DKIM and ARC together read the body once where they ask for the same.
    """

    block: HeaderBlock
    body: Callable[[], Iterable[Buffer]]
    hashes: dict[BodyRequest, BodyHash] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def in_memory(cls, block: HeaderBlock) -> AuthMessage:
        """A message whose block holds all of it."""
        return cls(block, lambda: (memoryview(block.raw)[block.body_start :],))


def body_hashes(message: AuthMessage, requests: Iterable[BodyRequest]) -> dict[BodyRequest, BodyHash]:
    """The hashes asked for; the body is read at most once, and not at all if they are known."""
    wanted = set(requests)
    if missing := wanted - message.hashes.keys():
        message.hashes.update(_hashed(message.body(), missing))
    return {request: message.hashes[request] for request in wanted}


def _hashed(body: Iterable[Buffer], wanted: set[BodyRequest]) -> dict[BodyRequest, BodyHash]:
    if isinstance(body, tuple) and len(body) == 1 and len(body[0]) <= WINDOW and len(wanted) == 1:
        (request,), data = wanted, bytes(body[0])
        if request.length is None and _is_canonical(data, request.form):
            return {request: BodyHash(hashlib.sha256(data).digest(), len(data))}
    hasher = BodyHasher(wanted)
    for piece in body:
        hasher.feed(piece)
    return hasher.finish()


def _is_canonical(data: bytes, form: Canonicalization) -> bool:
    """Whether a small body is in this form already, as most are: then it is hashed as it stands."""
    if not data.endswith(b"\r\n") or data.endswith(b"\r\n\r\n") or len(data) == 2:
        return False
    return form is Canonicalization.SIMPLE or _relax(data) is data


class BodyHasher:
    """Several hashes of one body that arrives in pieces."""

    def __init__(self, requests: Iterable[BodyRequest]) -> None:
        lengths: dict[Canonicalization, set[int | None]] = {}
        for request in requests:
            lengths.setdefault(request.form, set()).add(request.length)
        self._sinks = {form: _Sink(wanted) for form, wanted in lengths.items()}
        self._forms: list[_Form] = [
            _Simple(sink) if form is Canonicalization.SIMPLE else _Relaxed(sink) for form, sink in self._sinks.items()
        ]

    def feed(self, piece: Buffer) -> None:
        """The next octets of the body."""
        for start in range(0, len(piece), WINDOW):
            window = bytes(piece[start : start + WINDOW])
            for form in self._forms:
                form.feed(window)

    def finish(self) -> dict[BodyRequest, BodyHash]:
        """All the hashes; the body is at its end."""
        for form in self._forms:
            form.finish()
        return {
            BodyRequest(form, length): BodyHash(digest, sink.length)
            for form, sink in self._sinks.items()
            for length, digest in sink.digests()
        }


class _Sink:
    """One pass of SHA-256 over the canonical octets, with a look at the state wherever an l= ends."""

    def __init__(self, lengths: Iterable[int | None]) -> None:
        self.length = 0
        self._hash = hashlib.sha256()
        self._marks = sorted((length for length in lengths if length is not None), reverse=True)
        self._done: dict[int | None, bytes] = {}

    def write(self, data: bytes) -> None:
        while self._marks and self._marks[-1] <= self.length + len(data):
            mark = self._marks.pop()
            cut = mark - self.length
            self._hash.update(data[:cut])
            self._done[mark] = self._hash.digest()
            data, self.length = data[cut:], mark
        self._hash.update(data)
        self.length += len(data)

    def digests(self) -> Iterator[tuple[int | None, bytes]]:
        """Of every length asked for; one beyond the end is that of the whole body."""
        whole = self._hash.digest()
        yield None, whole
        for mark in self._marks:
            yield mark, whole
        yield from self._done.items()


class _Form(Protocol):
    def feed(self, window: bytes) -> None: ...

    def finish(self) -> None: ...


class _Simple:
    """RFC 6376 §3.4.3: empty lines at the end are left out, and a CRLF ends the body, also an empty one."""

    def __init__(self, sink: _Sink) -> None:
        self._lines = _Lines(sink)
        self._tail = b""

    def feed(self, window: bytes) -> None:
        data = self._tail + window if self._tail else window
        self._tail = b"\r" if data.endswith(b"\r") else b""  # its LF may follow
        self._lines.write(data[:-1] if self._tail else data)

    def finish(self) -> None:
        self._lines.write(self._tail)
        self._lines.end(empty=b"\r\n")


class _Relaxed:
    """RFC 6376 §3.4.4: white space shrinks to one SP, and to none at the end of a line; an empty body stays empty."""

    def __init__(self, sink: _Sink) -> None:
        self._lines = _Lines(sink)
        self._tail = b""

    def feed(self, window: bytes) -> None:
        data = self._tail + window if self._tail else window
        if data.endswith((b" ", b"\t", b"\r")):
            data = self._hold(data)
        else:
            self._tail = b""
        self._lines.write(_relax(data))

    def finish(self) -> None:
        # White space before the end is white space at the end of a line, whether or not the line is ended.
        self._lines.write(self._tail if self._tail.endswith(b"\r") else b"")
        self._lines.end(empty=b"")

    def _hold(self, data: bytes) -> bytes:
        """Keep back what the next octets decide about: white space and a CR. A run is kept as one SP."""
        rest = data.removesuffix(b"\r")
        solid = rest.rstrip(b" \t")
        self._tail = (b" " if len(solid) < len(rest) else b"") + data[len(rest) :]
        return solid


class _Lines:
    """Passes octets on and holds line ends back until something follows them."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self._waiting = 0  # CRLFs
        self._empty = True

    def write(self, data: bytes) -> None:
        if not data:
            return
        solid, ends = _split_ends(data)
        if solid:
            self._release()
            self._sink.write(solid)
            self._empty = False
        self._waiting += ends

    def end(self, empty: bytes) -> None:
        """The body is over; `empty` stands for one without anything but line ends."""
        self._sink.write(empty if self._empty else b"\r\n")

    def _release(self) -> None:
        many, rest = divmod(self._waiting, len(_CRLFS) // 2)
        for _ in range(many):
            self._sink.write(_CRLFS)
        if rest:
            self._sink.write(_CRLFS[: 2 * rest])
        self._waiting = 0


def _split_ends(data: bytes) -> tuple[bytes, int]:
    """The data without the CRLFs at its end, and how many they are."""
    if not data.endswith(b"\r\n"):
        return data, 0
    solid = data.rstrip(b"\r\n")
    if len(solid) == len(data) - 2:
        return solid, 1
    # bare CRs and LFs may stand between: they are octets like any
    marked = data[len(solid) :].replace(b"\r\n", b"\x00")
    kept = marked.rstrip(b"\x00")
    return solid + kept.replace(b"\x00", b"\r\n"), len(marked) - len(kept)


def _relax(data: bytes) -> bytes:
    """White space as the relaxed form has it. `data` does not end within a run of it."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    elif data.replace(b"\r", b" ").rfind(b"  ") < 0:
        # One search for both faults: with CR as SP a space before CRLF is a double one, too. What else looks like one
        # now (CR next to SP) only takes the longer way. From the right, since that search is the faster one.
        return data
    if b"  " in data:
        data = _shrink(data)
    return data.replace(b" \r\n", b"\r\n")


def _shrink(data: bytes) -> bytes:
    """Runs of SP become one SP: long ones in a few steps, so that no run costs more than a handful of passes."""
    for run in _SHRINK:
        while run in data:
            data = data.replace(run, b" ")
    return data
