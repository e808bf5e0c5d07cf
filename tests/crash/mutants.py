"""Does the harness see anything? Take one fsync out of a recording: mail must get lost in some state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.crash.disk import Recording, Sync
from tests.crash.states import State, crash_states
from tests.crash.sweep import Fault, faults, without


def needed(recording: Recording, of: str) -> Iterator[Sync]:
    """The fsyncs of these files behind which something is acknowledged before the same file is fsynced again."""
    syncs = [sync for sync in recording.syncs if sync.what == of]
    for sync in syncs:
        next_one = min(
            (each.began for each in syncs if each.where == sync.where and each.began > sync.ended), default=1 << 60
        )
        if any(sync.ended < told.began < next_one and told.text[0] in "ESD" for told in recording.told):
            yield sync


def found(recording: Recording, root: Path, *syncs: Sync) -> Fault | None:
    """What is lost without these fsyncs: the states right after an acknowledgement are tried first."""
    mutant = without(recording, *syncs)
    after = min(sync.ended for sync in syncs)
    states = [state for state in crash_states(mutant) if state.at >= after]
    return next(faults(mutant, sorted(states, key=_likely), root), None)


def _likely(state: State) -> tuple[bool, int]:
    return state.how != "nothing more", state.at
