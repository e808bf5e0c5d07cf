"""What calls did to the files below a folder, and from when on it is durable.

The model is the least that POSIX promises: fsync of a file makes durable what was written to it by calls that had
returned before, and nothing else, not even its name; fsync of a folder makes the names in it durable. All else may be
lost, kept or torn, each by itself.

An fsync of a file that failed has lost what it was asked for: the kernel marks these pages clean, and a later fsync
answers 0 without them. Names are kept until they are written, or nothing can be written any more.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.calls import UNKNOWN, Call

ROOT = 0


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One thing that a call did. `where` is the file or folder it was done to.

    Of a file: `data` at `offset`, or (None) its size becomes `offset`. Of a folder: `name` leads to `target`, or (None)
    to nothing.
    """

    number: int
    where: int
    began: int
    ended: int
    data: bytes | None = None
    offset: int = 0
    name: str | None = None
    target: int | None = None
    leaves: str | None = None  # the name that a rename within the folder takes away in the same moment
    needs: int | None = None  # the number of the change without which this one cannot survive


@dataclass(frozen=True, slots=True)
class Sync:
    """An fsync. `where` None: of everything."""

    where: int | None
    what: str  # in words
    began: int
    ended: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Something was acknowledged: nobody may lose it from now on."""

    text: str
    began: int


@dataclass
class Recording:
    """All that was done below a folder, in order."""

    folders: set[int] = field(default_factory=lambda: {ROOT})
    changes: list[Change] = field(default_factory=list)
    syncs: list[Sync] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    start: int = 0  # changes of these first numbers were durable before


def record_of(root: Path, before: dict[str, bytes | None], calls: Iterable[Call], said: str = "") -> Recording:
    """`before`: the files (None: folders) that are there at the beginning, by their place below `root`.

    `said`: what acknowledgements begin with, where they are written to a socket; else each line of standard output.
    """
    reader = _Reader(str(root), said)
    for place, data in sorted(before.items()):
        reader.put(place, data)
    reader.recording.start = len(reader.recording.changes)
    for call in calls:
        reader.take(call)
    return reader.recording


_FORBIDDEN = frozenset(UNKNOWN.split(","))


class _Reader:
    def __init__(self, root: str, said: str) -> None:
        self.recording = Recording()
        self._root = root
        self._said = said.encode()
        self._names: dict[int, dict[str, int]] = {ROOT: {}}
        self._sizes: dict[int, int] = {}
        self._places: dict[int, int] = {}  # where the next write() of a file goes
        self._next = 1

    def put(self, place: str, data: bytes | None) -> None:
        """Something that was there before."""
        quiet = Call("", -1, ended=-1)
        thing = self._new(place, folder=data is None, call=quiet)
        if data:
            self._change(thing, quiet, data=data, offset=0)

    def take(self, call: Call) -> None:
        """One call: one that failed has done nothing, one that never ended may have."""
        if call.name in _FORBIDDEN and any(self._inside(p) for p in (call.path, *map(_text, call.texts))):
            raise AssertionError(f"{call.name} on {call.path or call.texts}: the model does not know this call")
        if call.result < 0 and call.ended and call.name not in ("fsync", "fdatasync"):
            return
        does = getattr(self, f"_{call.name}", None)
        if does:
            does(call)

    def _inside(self, path: str) -> bool:
        return path.startswith(self._root + "/")

    def _place(self, path: str) -> str | None:
        return "" if path == self._root else path[len(self._root) + 1 :] if self._inside(path) else None

    def _find(self, place: str) -> int | None:
        here: int | None = ROOT
        for name in filter(None, place.split("/")):
            here = self._names.get(here, {}).get(name) if here is not None else None
        return here

    def _new(self, place: str, *, folder: bool, call: Call) -> int:
        thing, self._next = self._next, self._next + 1
        if folder:
            self._names[thing] = {}
            self.recording.folders.add(thing)
        self._name(place, thing, call)
        return thing

    def _name(self, place: str, target: int | None, call: Call, **more: object) -> None:
        above, name = posixpath.split(place)
        where = self._find(above)
        assert where is not None, f"{call.name}: no folder {above}"
        if target is None:
            self._names[where].pop(name, None)
        else:
            self._names[where][name] = target
        self._change(where, call, name=name, target=target, **more)

    def _change(self, where: int, call: Call, **what: object) -> None:
        ended = call.ended if call.result >= 0 or call.began < 0 else 1 << 60
        changes = self.recording.changes
        changes.append(Change(len(changes), where, call.began, ended, **what))  # type: ignore[arg-type]
        if what.get("data") is not None:
            self._sizes[where] = max(self._sizes.get(where, 0), int(what["offset"]) + len(what["data"]))  # type: ignore

    # --- one for each call ---------------------------------------------------------------------------------------

    def _openat(self, call: Call) -> None:
        place = self._place(posixpath.join(call.path, _text(call.texts[0])))
        if place is None or place == "":
            return
        thing = self._find(place)
        if thing is None and "O_CREAT" in call.rest:
            thing = self._new(place, folder=False, call=call)
        if thing is not None and "O_TRUNC" in call.rest and self._sizes.get(thing):
            self._sizes[thing] = 0
            self._change(thing, call, offset=0)
        if thing is not None:
            self._places[thing] = self._sizes.get(thing, 0) if "O_APPEND" in call.rest else 0

    def _pwrite64(self, call: Call) -> None:
        self._written(call, call.numbers[-1])

    def _write(self, call: Call) -> None:
        thing = self._thing(call)
        if thing is not None:
            offset = self._places.get(thing, 0)
            self._written(call, offset)
            self._places[thing] = offset + len(call.texts[0])
        elif self._said or call.descriptor == 1:
            self._hear(call)

    def _sendto(self, call: Call) -> None:
        if self._said:
            self._hear(call)

    _sendmsg = _writev = _sendto

    def _hear(self, call: Call) -> None:
        for text in call.texts:
            if text.startswith(self._said):
                self.recording.told += [Told(line.decode(), call.began) for line in text.splitlines()]

    def _written(self, call: Call, offset: int) -> None:
        thing, data = self._thing(call), call.texts[0]
        if thing is not None:
            done = data[: call.result] if call.result >= 0 else data
            self._change(thing, call, data=done, offset=offset)

    def _thing(self, call: Call) -> int | None:
        place = self._place(call.path)
        return self._find(place) if place else None

    def _truncate(self, call: Call) -> None:
        call.path = _text(call.texts[0])
        self._ftruncate(call)

    def _ftruncate(self, call: Call) -> None:
        thing = self._thing(call)
        if thing is not None:
            self._sizes[thing] = call.numbers[0]
            self._change(thing, call, offset=call.numbers[0])

    def _fsync(self, call: Call) -> None:
        place = self._place(call.path)
        thing = self._find(place) if place is not None else None
        if thing is not None and call.ended:
            what = posixpath.basename(place or "") or "the folder above"
            above = posixpath.basename(posixpath.dirname(place or ""))
            named = f"a file of {above}" if above in ("content", "envelope") else what
            self.recording.syncs.append(Sync(thing, named, call.began, call.ended, call.result < 0))

    _fdatasync = _fsync

    def _sync(self, call: Call) -> None:
        self.recording.syncs.append(Sync(None, "everything", call.began, call.ended))

    def _unlink(self, call: Call) -> None:
        place = self._place(posixpath.join(call.path, _text(call.texts[0])))
        if place:
            self._name(place, None, call)

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        place = self._place(_text(call.texts[0]))
        if place:
            self._new(place, folder=True, call=call)

    def _rename(self, call: Call) -> None:
        old, new = (self._place(_text(text)) for text in call.texts[:2])
        if not old or not new:
            return
        thing = self._find(old)
        assert thing is not None, f"rename of {old}, which is not there"
        (above, _), (was_in, was) = posixpath.split(new), posixpath.split(old)
        if above == was_in:
            self._names[self._find(above) or ROOT].pop(was)
            self._name(new, thing, call, leaves=was)
        else:  # both names may survive a power cut, but not neither
            self._name(new, thing, call)
            self._name(old, None, call, needs=len(self.recording.changes) - 1)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
