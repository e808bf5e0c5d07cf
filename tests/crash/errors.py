"""The disk says no: each call of ours fails once, and nobody may be told of mail that is not safe.

strace counts calls by thread. A place is (call, how many of them its thread has made); where the interpreter itself
starts up in the same thread, its own calls come first and are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.crash.calls import Call
from tests.crash.disk import record_of
from tests.crash.record import QUEUE, child_of, files_below, traced
from tests.crash.states import State, crash_states
from tests.crash.sweep import Fault, faults
from tests.crash.workloads import renewed

ERRORS = {
    "write": ("ENOSPC", "EIO"),
    "pwrite64": ("ENOSPC", "EIO"),
    "fsync": ("EIO",),
    "fdatasync": ("EIO", "ENOSPC"),
    "openat": ("EMFILE",),
    "ftruncate": ("EIO",),
}
Place = tuple[str, int]


def places(workload: str, root: Path) -> list[Place]:
    """Where a call on the queue can be made to fail without touching anything else."""
    calls = traced(child_of(workload, root), root.with_name("dry.strace"))
    seen: Counter[tuple[str, str]] = Counter()
    ours: dict[Place, bool] = {}
    for call in calls:
        seen[call.thread, call.name] += 1
        place = call.name, seen[call.thread, call.name]
        ours[place] = ours.get(place, True) and _is_ours(call, str(root / QUEUE))
    return [place for place, only in ours.items() if only and place[0] in ERRORS]


def _is_ours(call: Call, queue: str) -> bool:
    named = call.texts[0].decode("utf-8", "replace") if call.name == "openat" else call.path
    return named.startswith(queue)


def lost_by(workload: str, base: Path, place: Place, error: str) -> tuple[bool, list[Fault]]:
    """Whether the call at this place did fail, and what of the acknowledged is lost by it after a power cut."""
    root = renewed(base / "disk")
    before = files_below(root)
    rule = f"{place[0]}:error={error}:when={place[1]}"
    calls = traced(child_of(workload, root), base / "inject.strace", [rule])
    recording = record_of(root, before, calls)
    states = _telling(crash_states(recording))
    return any(call.injected for call in calls), list(faults(recording, states, base / "state"))


def _telling(states: Iterable[State]) -> list[State]:
    """Where nothing survives that an fsync has not promised; and the end, where all of it does."""
    states = list(states)
    return [state for state in states if state.how == "nothing more"] + states[-1:]
