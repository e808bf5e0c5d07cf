"""Every disk that a power cut may leave behind, made of a recording.

At each moment: nothing survives that was not durable; all of it does (as after kill -9). Where an fsync ends, and what
waited for it is about to be safe: each change that waited lost alone, surviving alone, or torn at a sector, alone or
with all others; and some mixtures by chance. What waited longer is lost and kept by the file, not by the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from tests.crash.disk import ROOT, Change, Recording, Sync, Told

SECTOR = 512
_MIXTURES = 3  # by chance, at each fsync

Tear = tuple[int, int, int]  # of the change with this number, octets from here to there survive


@dataclass(frozen=True, slots=True)
class State:
    """A disk after a power cut: which changes it has, and one of them perhaps torn; what had been acknowledged."""

    survived: frozenset[int]
    told: tuple[Told, ...]
    at: int  # line of the log
    how: str
    torn: Tear | None = None


def crash_states(recording: Recording) -> list[State]:
    """All that differ. Of those that are the same the last one is kept: it must hold the most."""
    found: dict[tuple[frozenset[int], Tear | None], State] = {}
    for state in _Walk(recording).states():
        found[state.survived, state.torn] = state
    return sorted(found.values(), key=lambda state: state.at)


class _Walk:
    """Goes through a recording, and knows at each moment what is durable and what waits."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._durable: set[int] = set(range(recording.start))
        self._waiting: list[Change] = []
        self._doomed: set[int] = set()  # an fsync failed: they will never be durable
        self._fresh: set[int] = set()  # began since the last fsync
        self._told: list[Told] = []
        self._chance = Random(recording.start)

    def states(self) -> Iterator[State]:
        moments: list[tuple[int, int, Change | Sync | Told]] = [(t.began, 0, t) for t in self._recording.told]
        moments += [(c.began, 1, c) for c in self._recording.changes[self._recording.start :]]
        moments += [(s.ended, 2, s) for s in self._recording.syncs]
        at = 0
        for at, _, moment in sorted(moments, key=lambda each: each[:2]):
            if isinstance(moment, Told):
                self._told.append(moment)
            elif isinstance(moment, Change):
                self._waiting.append(moment)
                self._fresh.add(moment.number)
            else:
                yield from self._around(moment)
                self._synced(moment)
            yield from self._plainly(at)
        yield from self._plainly(at + 1)

    def _synced(self, sync: Sync) -> None:
        done = {c.number for c in self._waiting if sync.where in (None, c.where) and c.ended < sync.began}
        if sync.failed:
            self._doomed |= {c.number for c in self._waiting if c.number in done and c.name is None}
        else:
            self._durable |= done - self._doomed
            self._waiting = [c for c in self._waiting if c.number not in self._durable]
        self._fresh.clear()

    def _plainly(self, at: int) -> Iterator[State]:
        yield self._state(at, "nothing more", ())
        yield self._state(at, "all of it", [c.number for c in self._waiting])

    def _state(self, at: int, how: str, more: Iterable[int], torn: Tear | None = None) -> State:
        return State(frozenset(self._durable.union(more)), tuple(self._told), at, how, torn)

    def _around(self, sync: Sync) -> Iterator[State]:
        """The moment before this fsync returns."""
        at, everything = sync.ended, {c.number for c in self._waiting}
        units = [[c] for c in self._waiting if c.number in self._fresh or sync.where == c.where]
        alone = {unit[0].number for unit in units}
        for where in {c.where for c in self._waiting} if units else ():
            units.append([c for c in self._waiting if c.where == where and c.number not in alone])
        for unit in filter(None, units):
            numbers = {c.number for c in unit}
            what = f"{numbers} before the fsync of {sync.what}"
            yield self._state(at, f"lost: {what}", everything - numbers)
            yield self._state(at, f"alone: {what}", numbers)
            if len(unit) == 1 and unit[0].data:
                for tear in _tears(unit[0]):
                    yield self._state(at, f"torn {tear} with all: {what}", everything, tear)
                    yield self._state(at, f"torn {tear} alone: {what}", numbers, tear)
        for _ in range(_MIXTURES if len(everything) > 2 else 0):
            some = {number for number in everything if self._chance.random() < 0.5}
            yield self._state(at, f"some before the fsync of {sync.what}", some)


def _tears(change: Change) -> list[Tear]:
    """A write that reached the disk in part: its first sectors, its last ones, or its length alone."""
    size = len(change.data or b"")
    first = SECTOR - change.offset % SECTOR
    last = size - (change.offset + size) % SECTOR
    middle = first + (size - first) // 2 // SECTOR * SECTOR
    cuts = {cut for cut in (first, middle, last) if 0 < cut < size}
    return [
        (change.number, 0, 0),
        *((change.number, 0, cut) for cut in cuts),
        *((change.number, c, size) for c in cuts),
    ]


class Disks:
    """Makes the files of states; those that stay the same from one to the next are made once."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._made: dict[tuple[object, ...], bytes] = {}

    def tree(self, state: State) -> dict[str, bytes | None]:
        """Files with their octets, and folders (None), by their place below the root."""
        names: dict[int, dict[str, int]] = {}
        written: dict[int, list[Change]] = {}
        for change in self._recording.changes:
            if change.number not in state.survived or (change.needs is not None and change.needs not in state.survived):
                continue
            if change.name is None:
                written.setdefault(change.where, []).append(change)
                continue
            here = names.setdefault(change.where, {})
            if change.leaves:
                here.pop(change.leaves, None)
            if change.target is None:
                here.pop(change.name, None)
            else:
                here[change.name] = change.target
        return dict(self._walk("", ROOT, names, written, state.torn))

    def _walk(
        self,
        place: str,
        folder: int,
        names: dict[int, dict[str, int]],
        written: dict[int, list[Change]],
        torn: Tear | None,
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, thing in names.get(folder, {}).items():
            if thing in self._recording.folders:
                yield place + name, None
                yield from self._walk(f"{place}{name}/", thing, names, written, torn)
            else:
                yield place + name, self._octets(written.get(thing, []), torn)

    def _octets(self, changes: list[Change], torn: Tear | None) -> bytes:
        tear = torn if torn and any(c.number == torn[0] for c in changes) else None
        key = (tear, *(c.number for c in changes))
        if key not in self._made:
            if len(self._made) > 200:
                self._made.clear()
            self._made[key] = _contents(changes, tear)
        return self._made[key]


def _contents(changes: list[Change], tear: Tear | None) -> bytes:
    octets = bytearray()
    for change in changes:
        if change.data is None:
            octets[change.offset :] = bytes(max(0, change.offset - len(octets)))
            continue
        end = change.offset + len(change.data)
        if len(octets) < end:
            octets.extend(bytes(end - len(octets)))
        low, high = (tear[1], tear[2]) if tear and tear[0] == change.number else (0, len(change.data))
        octets[change.offset + low : change.offset + high] = change.data[low:high]
    return bytes(octets)
