"""A thread for work that may never end."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from mta.lane import Lane
from tests.support.patience import PATIENCE


def test_one_thread_does_one_thing_after_the_other() -> None:
    lane, seen = Lane("x"), list[tuple[int, int]]()
    for number in range(20):
        lane.submit(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
    assert lane.submit(lambda: 7).result(PATIENCE) == 7
    assert [number for number, _ in seen] == list(range(20))
    assert len({thread for _, thread in seen}) == 1


def test_an_error_is_told_and_the_next_is_done() -> None:
    lane = Lane("x")
    with pytest.raises(ZeroDivisionError):
        lane.submit(lambda: 1 // 0).result(PATIENCE)
    assert lane.submit(lambda: 7).result(PATIENCE) == 7


def test_what_nobody_waits_for_is_not_begun() -> None:
    lane, gate, seen = Lane("x"), threading.Event(), list[str]()
    first = lane.submit(lambda: gate.wait(PATIENCE))
    second = lane.submit(lambda: seen.append("second"))
    assert second.cancel()
    gate.set()
    assert first.result(PATIENCE)
    lane.submit(lambda: seen.append("third")).result(PATIENCE)
    assert seen == ["third"]


def test_the_exit_does_not_wait() -> None:
    code = "import threading; from mta.lane import Lane; Lane('x').submit(threading.Event().wait); print('out')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENCE, check=True)
    assert done.stdout == b"out\n"
