"""A power cut at any instant, in short; `make crash` tries all of it.

Every kind of harm is tried once in some seconds: some of the states of each workload, a power cut while recovering,
the fsyncs without which mail is lost, and a disk that says no.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.disk import Change, Recording, Sync, Told
from tests.crash.errors import lost_by, places
from tests.crash.matrix import MEMORY, cut_again, told_before
from tests.crash.mutants import found, needed
from tests.crash.record import record
from tests.crash.states import Disks, State, crash_states
from tests.crash.sweep import faults
from tests.crash.workloads import OLD, renewed
from tests.support.programs import needs

pytestmark = [pytest.mark.peer, needs("strace"), pytest.mark.xdist_group("crash")]

SHORT = ("small", "large", "settle", "checkpoint", OLD[0], "aside")
_STATES = 25  # of each workload


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory, where there is one: nothing here has to survive a power cut."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        yield Path(place)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Three sessions, two of which send large messages."""
    return record("large", renewed(tmp_path_factory.mktemp("large") / "disk"))


@pytest.mark.parametrize("workload", SHORT)
def test_what_was_acknowledged_survives_a_power_cut(workload: str, base: Path) -> None:
    recording = record(workload, renewed(base / "disk"))
    states = crash_states(recording)
    assert len(states) > 500
    some = states[3 :: len(states) // _STATES]
    told = told_before(workload)
    lost = faults(recording, some, base / "state", damaged=workload == "aside", told=told)
    assert [str(fault) for fault in lost] == []


def test_and_one_more_while_it_recovers(large: Recording, base: Path) -> None:
    tried, lost = cut_again("large", large, base, most=1, every=7)
    assert tried > 3
    assert [str(fault) for fault in lost] == []


@pytest.mark.parametrize("file", ["q", "the folder above", "queue.db", "queue.db-wal", "a file of content", "content"])
def test_without_the_fsync_of_a_file_mail_is_lost(large: Recording, file: str, base: Path) -> None:
    assert found(large, base / "state", *(sync for sync in large.syncs if sync.what == file))


@pytest.mark.parametrize("file", ["queue.db-wal", "a file of content", "content"])
def test_each_one_of_them_is_missed(large: Recording, file: str, base: Path) -> None:
    each = list(needed(large, file))
    assert len(each) >= 3
    assert [sync for sync in each if not found(large, base / "state", sync)] == []


def test_a_call_that_fails_loses_nothing_acknowledged(base: Path) -> None:
    """The fsync of a content, of its folder and of the log, the opening of a content, and a write that has no room."""
    known = places("large", renewed(base / "disk"))
    wanted = {"fsync": ("EIO", -1), "fdatasync": ("EIO", 0), "openat": ("EMFILE", -1), "write": ("ENOSPC", -1)}
    for name, (error, which) in wanted.items():
        place = [place for place in known if place[0] == name][which]
        failed, lost = lost_by("large", base, place, error)
        assert failed, place
        assert [str(fault) for fault in lost] == [], (place, error)


# --- the model itself ----------------------------------------------------------------------------------------------


def of(*syncs: Sync) -> list[State]:
    """A folder, a file of two sectors in it, a rename and an acknowledgement."""
    changes = [
        Change(0, 0, 1, 1, name="new", target=1),
        Change(1, 1, 2, 2, data=b"x" * 1024),
        Change(2, 0, 3, 3, name="there", target=1, leaves="new"),
    ]
    return crash_states(Recording(changes=changes, syncs=list(syncs), told=[Told("E 1", 9)]))


def trees(states: list[State]) -> set[tuple[tuple[str, bytes | None], ...]]:
    changes = [
        Change(0, 0, 1, 1, name="new", target=1),
        Change(1, 1, 2, 2, data=b"x" * 1024),
        Change(2, 0, 3, 3, name="there", target=1, leaves="new"),
    ]
    disks = Disks(Recording(changes=changes))
    return {tuple(sorted(disks.tree(state).items())) for state in states if state.told}


def test_nothing_is_durable_that_was_not_fsynced() -> None:
    assert () in trees(of())
    assert (("there", b""),) in trees(of(Sync(0, "the folder", 4, 5)))
    assert () in trees(of(Sync(1, "the file", 4, 5)))
    both = of(Sync(1, "the file", 4, 5), Sync(0, "the folder", 6, 7))
    assert trees(both) == {(("there", b"x" * 1024),)}


def test_a_write_that_began_after_the_fsync_is_not_covered_by_it() -> None:
    assert (("there", b""),) in trees(of(Sync(1, "the file", 1, 8), Sync(0, "the folder", 4, 5)))


def test_what_a_failed_fsync_has_lost_no_later_one_brings_back() -> None:
    lying = of(Sync(1, "the file", 4, 5, failed=True), Sync(1, "the file", 6, 7), Sync(0, "the folder", 7, 8))
    assert (("there", b""),) in trees(lying)
