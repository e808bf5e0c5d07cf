"""The write-ahead log as SQLite leaves it, and what it ignores: it stops at the first frame whose checksum is wrong.

Every commit behind that frame is dropped, although it was acknowledged. Whether there are such commits is found here
before SQLite opens the file (https://www.sqlite.org/fileformat2.html#walformat); if there are, the log is written
anew with all of them, and what the damaged frame holds is left to the checks of the pages and rows.

A log whose end is torn, as a power cut leaves it, is sound: only the transaction that was never acknowledged is torn,
for each is on the disk before the next one begins. Any of its frames may be missing then, and its commit be there.
Without a power cut nothing tears: a bad frame in the last transaction is damage to what was acknowledged.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER, _FRAME = 32, 24  # octets of the log's header and of each frame's
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}  # and the order in which checksums are summed up
_VERSION = 3007000
_WORD = 0xFFFFFFFF

Sums = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """One page as a transaction left it."""

    page: int
    commit: int  # pages of the file after the transaction that ends here; 0: it goes on
    salts: Sums
    sums: Sums  # as they stand there
    body: memoryview


@dataclass(frozen=True, slots=True)
class Log:
    """What a log holds. `frames`: all that belong to a transaction that was committed, in order.

    `sound` of them SQLite reads by itself; fewer than all are there only where the log is damaged.
    """

    page_size: int
    order: str
    frames: tuple[Frame, ...] = ()
    sound: int = 0

    @property
    def damaged(self) -> bool:
        """Whether commits stand behind a bad frame."""
        return self.sound < len(self.frames)

    @property
    def octets(self) -> int:
        """Where in the file the sound part ends."""
        return _HEADER + self.sound * (_FRAME + self.page_size) if self.sound else 0


def read(data: bytes, page_size: int, *, torn: bool = False) -> Log:
    """The log in `data`. `page_size` is that of the database, for a log whose own header is damaged.

    `torn`: there may have been a power cut since it was written.
    """
    header = _header(data)
    if header:
        size, order, salts, sums = header
        return _log(tuple(_frames(data, size)), size, order, (salts, sums), torn)
    frames = tuple(_frames(data, page_size))
    if not frames:
        return Log(page_size, "<")
    salts = Counter(frame.salts for frame in frames).most_common(1)[0][0]
    logs = [_log(frames, page_size, order, (salts, None), torn) for order in "<>"]
    return max(logs, key=lambda log: len(log.frames))


def written_anew(log: Log) -> bytes:
    """A log that SQLite reads to its end."""
    magic = next(number for number, order in _MAGIC.items() if order == log.order)
    salts = (0x6D746171, 0x6D656E64)
    head = struct.pack(">6I", magic, _VERSION, log.page_size, 0, *salts)
    sums = _summed((0, 0), head, log.order)
    parts = [head, struct.pack(">2I", *sums)]
    for frame in log.frames:
        if frame.page == 0 or len(frame.body) < log.page_size:
            continue  # nothing of it can be used: the page stays as it was before
        front = struct.pack(">2I", frame.page, frame.commit)
        sums = _summed(_summed(sums, front, log.order), frame.body, log.order)
        parts += [front, struct.pack(">4I", *salts, *sums), bytes(frame.body)]
    return b"".join(parts)


def _header(data: bytes) -> tuple[int, str, Sums, Sums] | None:
    """Page size, order, salts and sums of a log whose header is whole."""
    if len(data) < _HEADER:
        return None
    magic, _, size, _, *rest = struct.unpack_from(">8I", data)
    salts, sums = (rest[0], rest[1]), (rest[2], rest[3])
    order = _MAGIC.get(magic, "")
    if not order or _summed((0, 0), data[:24], order) != sums:
        return None
    return size, order, salts, sums


def _frames(data: bytes, page_size: int) -> Iterator[Frame]:
    view = memoryview(data)
    for start in range(_HEADER, len(data) - _FRAME - page_size + 1, _FRAME + page_size):
        page, commit, *rest = struct.unpack_from(">6I", data, start)
        body = view[start + _FRAME : start + _FRAME + page_size]
        yield Frame(page, commit, (rest[0], rest[1]), (rest[2], rest[3]), body)


def _log(frames: tuple[Frame, ...], page_size: int, order: str, begin: tuple[Sums, Sums | None], torn: bool) -> Log:
    salts, before = begin
    sound = good = 0
    for frame in frames:
        if before is None or frame.salts != salts or _sums(before, frame, order) != frame.sums:
            break
        before, good = frame.sums, good + 1
        if frame.commit:
            sound = good
    end = _end(frames, salts, order, good, torn) or sound
    return Log(page_size, order, frames[:end], sound)


def _end(frames: tuple[Frame, ...], salts: Sums, order: str, bad: int, torn: bool) -> int:
    """How many frames count where frame `bad` is the first that is not as it was written; 0: none behind it.

    A frame is believed if its sums follow from those of the frame before it, as these stand there, or, where these
    are what is damaged, from those that the frame before ought to have. One commit behind may be that of the torn
    transaction itself: it counts if all of that is there; two are of transactions that were acknowledged.
    """
    commits: list[int] = []
    for place in range(bad, len(frames)):
        frame = frames[place]
        if frame.salts != salts:
            continue
        before = frames[place - 1].sums if place else None
        follows = before is not None and _sums(before, frame, order) == frame.sums
        if not follows and 1 < place <= bad + 1:
            follows = _sums(_sums(frames[place - 2].sums, frames[place - 1], order), frame, order) == frame.sums
        if frame.commit and (follows or place == bad):
            commits.append(place + 1)
    if len(commits) > 1:
        return commits[-1]
    whole = commits and not torn and all(frame.salts == salts for frame in frames[bad : commits[0]])
    return commits[0] if whole else 0


def _sums(before: Sums, frame: Frame, order: str) -> Sums:
    return _summed(_summed(before, struct.pack(">2I", frame.page, frame.commit), order), frame.body, order)


def _summed(before: Sums, data: bytes | memoryview, order: str) -> Sums:
    first, second = before
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return first, second
