"""The states of a recipient and the moves between them."""

from __future__ import annotations

import itertools

import pytest

from mta.model.lifecycle import BY_ATTEMPT, BY_COMMAND, DELETED, FINAL, HELD, OPEN, QUEUED, STATES, after
from mta.model.message import RecipientState


def test_every_state_is_open_or_final_and_has_a_row_in_the_table() -> None:
    assert set(BY_COMMAND) == set(BY_ATTEMPT) == STATES
    assert {QUEUED, HELD} == OPEN
    assert DELETED in FINAL
    assert not OPEN & FINAL


def test_a_new_recipient_is_queued() -> None:
    assert RecipientState(0, "default").state == QUEUED


@pytest.mark.parametrize(("old", "new"), list(itertools.product(sorted(OPEN), sorted(STATES))))
def test_an_open_recipient_may_be_retried_held_released_or_ended(old: str, new: str) -> None:
    assert after(old, new, by_attempt=False) == new
    assert after(old, new, by_attempt=True) == (HELD if (old, new) == (HELD, QUEUED) else new)


@pytest.mark.parametrize("by_attempt", [True, False])
@pytest.mark.parametrize(("old", "new"), list(itertools.product([*sorted(FINAL), "damaged"], sorted(STATES))))
def test_a_final_state_is_left_by_nobody(old: str, new: str, by_attempt: bool) -> None:
    assert after(old, new, by_attempt=by_attempt) is None
