"""What is old is forgotten by a clock that can be believed."""

from __future__ import annotations

from mta.queue.steady import DOUBT, SteadyClock

YEAR = 31_536_000.0


class Clock:
    def __init__(self) -> None:
        self.wall, self.passed = 1000.0, 5.0

    def now(self) -> float:
        return self.wall + self.passed

    def monotonic(self) -> float:
        return self.passed


def test_a_clock_that_runs_evenly_is_believed() -> None:
    clock = Clock()
    judge = SteadyClock(clock)
    for _ in range(10):
        clock.passed += 600
        clock.wall += 1  # NTP
        assert judge.steady


def test_after_each_jump_it_is_in_doubt_for_an_hour() -> None:
    clock = Clock()
    judge = SteadyClock(clock)
    clock.wall += YEAR
    assert not judge.steady
    clock.passed += DOUBT - 1
    clock.wall -= YEAR
    assert not judge.steady
    clock.passed += DOUBT - 1
    assert not judge.steady
    clock.passed += 2
    assert judge.steady
