"""Cheap facts compare, hash and copy like any frozen dataclass, and have no room for stray attributes."""

from __future__ import annotations

from dataclasses import field, replace

import pytest

from mta.model.frozen import frozen


@frozen
class Place:
    name: str
    port: int = 25
    words: tuple[str, ...] = field(default=())


def test_facts_of_the_same_fields_are_the_same() -> None:
    assert Place("a") == Place("a", 25, ())
    assert Place("a") != Place("a", 26)
    assert {Place("a"): 1}[Place("a")] == 1
    assert replace(Place("a"), port=26) == Place("a", 26)


def test_a_fact_takes_no_other_attribute() -> None:
    with pytest.raises(AttributeError):
        Place("a").prt = 26  # type: ignore[attr-defined]
