"""A certificate from the future is told beside the clock that says so: often it is the clock that is wrong."""

from __future__ import annotations

from mta.policy.certificate import not_before


def test_the_beginning_stands_beside_this_machines_clock() -> None:
    told = not_before(1_800_000_000.0, 1_700_000_000.0)
    assert told == "not valid before 2027-01-15 08:00 UTC, this machine's clock says 2023-11-14 22:13 UTC"
