"""The full matrix: `make crash`, or `python -m tests.crash.matrix [WORKLOAD ...]`.

Every state of all workloads, a second power cut while some of them recover, every fsync taken out once, and every call
that fails once. It prints how many states there were, how many are at fault, and the minutes; it fails if one is, or if
a fsync that was taken out was not missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from tests.crash.disk import Recording
from tests.crash.errors import ERRORS, lost_by, places
from tests.crash.mutants import found, needed
from tests.crash.record import child_of, record, recorded
from tests.crash.states import Disks, crash_states
from tests.crash.sweep import Fault, faults, lay_out
from tests.crash.workloads import OLD, WORKLOADS, renewed

BEFORE = tuple(f"E before-{name}" for name in (0, 1, 2, 3, "large-4"))
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_SECOND = 20  # states whose recovery is cut off, too
_CALLS = 12  # of each kind and workload that are made to fail


def told_before(workload: str) -> tuple[str, ...]:
    """What was acknowledged before the recording of a workload began."""
    return BEFORE if workload in OLD or workload == "aside" else ()


def swept(workload: str, recording: Recording, base: Path) -> tuple[int, list[Fault]]:
    """Each state, once."""
    states = crash_states(recording)
    found = faults(recording, states, base / "state", damaged=workload == "aside", told=told_before(workload))
    return len(states), list(found)


def cut_again(
    workload: str, recording: Recording, base: Path, most: int = _SECOND, every: int = 1
) -> tuple[int, list[Fault]]:
    """The power fails once more while the store recovers from some of the states; each, or `every` so many tried."""
    states, disks = crash_states(recording), Disks(recording)
    tried, all_faults, step = 0, [], max(1, len(states) // most)
    for state in states[step // 2 :: step]:
        root = renewed(base / "disk")
        lay_out(disks, state, root)
        recovery = recorded(child_of("recover", root), root)
        told = (*told_before(workload), *(each.text for each in state.told))
        again = crash_states(recovery)[::every]
        tried += len(again)
        all_faults += faults(recovery, again, base / "state", damaged=workload == "aside", told=told)
    return tried, all_faults


def missed(recording: Recording, base: Path) -> tuple[int, list[str]]:
    """Fsyncs without which nothing is lost in any state: all of a file, and one at a time where somebody was told."""
    kinds = sorted({sync.what for sync in recording.syncs})
    tried, unseen = 0, []
    for kind in kinds:
        tried += 1
        if found(recording, base / "state", *(s for s in recording.syncs if s.what == kind)) is None:
            unseen.append(f"all of {kind}")
        for sync in needed(recording, kind) if kind in ("queue.db-wal", "a file of content", "content") else ():
            tried += 1
            if found(recording, base / "state", sync) is None:
                unseen.append(f"{kind} at line {sync.began}")
    return tried, unseen


def failing(workload: str, base: Path, most: int = _CALLS) -> Iterator[tuple[str, list[Fault]]]:
    """Calls that failed, in words, and what is lost by it."""
    known = places(workload, renewed(base / "disk"))
    for name, errors in ERRORS.items():
        mine = [place for place in known if place[0] == name]
        for place in islice(mine, 0, None, max(1, len(mine) // most)):
            for error in errors:
                failed, lost = lost_by(workload, base, place, error)
                if failed:
                    yield f"{name} {place[1]}: {error}", lost


def main(workloads: Iterable[str]) -> int:
    """The exit status: 1 if anything is at fault."""
    begun, states, bad = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        base = Path(place)
        for workload in workloads:
            recording = record(workload, renewed(base / "disk"))
            print(f"{workload}: {len(recording.changes)} changes, {len(recording.syncs)} fsyncs", flush=True)
            for what, (tried, lost) in (
                ("states", swept(workload, recording, base)),
                ("states of a second power cut", cut_again(workload, recording, base)),
            ):
                states, bad = states + tried, bad + len(lost)
                _print(f"{tried} {what}", lost)
            if workload in ("small", "large", "settle"):
                tried, unseen = missed(recording, base)
                bad += len(unseen)
                _print(f"{tried} times fsyncs taken out, not missed", unseen)
                results = list(failing(workload, base))
                bad += sum(len(lost) for _, lost in results)
                _print(
                    f"{len(results)} calls that failed",
                    [f"{call}: {fault}" for call, each in results for fault in each],
                )
    minutes = (time.monotonic() - begun) / 60
    print(f"{states} states, {bad} faults, {minutes:.1f} minutes")
    return bool(bad)


def _print(what: str, faults: list[Fault] | list[str]) -> None:
    print(f"  {what}: {len(faults)}", *(f"    {fault}" for fault in faults[:5]), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or WORKLOADS))
