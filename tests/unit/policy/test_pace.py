"""How often somebody may do something."""

from __future__ import annotations

from mta.policy import pace
from mta.policy.pace import Pace


def test_a_window_slides():
    often = Pace(2, 10.0)
    assert [often.take("a", at) for at in (0.0, 5.0, 6.0)] == [True, True, False]
    assert often.take("b", 6.0)
    assert often.allows("a", 10.0)
    assert often.take("a", 10.0)
    assert not often.take("a", 14.9)


def test_a_clock_that_was_put_back_locks_nobody_out():
    often = Pace(1, 10.0)
    assert often.take("a", 1000.0)
    assert often.take("a", 5.0)


def test_a_flood_of_names_is_bounded(monkeypatch):
    monkeypatch.setattr(pace, "MOST_NAMES", 100)
    often = Pace(1, 1000.0)
    for number in range(1000):
        often.take(str(number), float(number) / 1000)
    assert len(often._times) == 100
