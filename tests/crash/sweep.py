"""Recover from the states of a recording, one after the other, and say which are at fault."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.crash.check import look
from tests.crash.disk import Recording, Sync
from tests.crash.record import QUEUE, write_below
from tests.crash.states import Disks, State


@dataclass(frozen=True, slots=True)
class Fault:
    """A state from which the store does not recover as it must."""

    state: State
    what: str

    def __str__(self) -> str:
        return f"line {self.state.at}, survived {self.state.how}: {self.what}"


def faults(
    recording: Recording, states: Iterable[State], root: Path, *, damaged: bool = False, told: tuple[str, ...] = ()
) -> Iterator[Fault]:
    """Those of `states` that are at fault. `told`: what had been acknowledged before the recording began."""
    disks = Disks(recording)
    for state in states:
        lay_out(disks, state, root)
        what = look(root / QUEUE, (*told, *(each.text for each in state.told)), damaged=damaged)
        if what:
            yield Fault(state, what)


def lay_out(disks: Disks, state: State, root: Path) -> None:
    """Make the disk of a state."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    write_below(root, disks.tree(state))
    for lock in root.rglob("lock") if state.how != "all of it" else ():
        lock.write_bytes(b"1\nanother-start-of-the-machine\n")  # a power cut; all survives where a process is killed


def without(recording: Recording, *syncs: Sync) -> Recording:
    """The same program, had it not made these fsyncs."""
    return replace(recording, syncs=[sync for sync in recording.syncs if sync not in syncs])
