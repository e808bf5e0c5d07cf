"""The states of a recipient and the moves between them."""

from __future__ import annotations

import itertools

import pytest

from mta.errors import LocalProtocolError
from mta.model.message import RecipientState
from mta.queue.lifecycle import FINAL, HELD, MOVES, OPEN, QUEUED, STATES, check_move, is_final


def test_every_state_is_open_or_final_and_has_a_row_in_the_table() -> None:
    assert set(MOVES) == STATES
    assert not OPEN & FINAL


def test_a_new_recipient_is_queued() -> None:
    assert RecipientState(0, "default").state == QUEUED


@pytest.mark.parametrize("state", sorted(STATES))
def test_a_state_is_final_exactly_if_no_move_leaves_it(state: str) -> None:
    assert is_final(state) == (not MOVES[state])


@pytest.mark.parametrize(("old", "new"), list(itertools.product(sorted(OPEN), sorted(STATES))))
def test_an_open_recipient_may_be_retried_held_released_or_ended(old: str, new: str) -> None:
    check_move(old, new)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(sorted(FINAL), sorted(STATES))))
def test_a_final_state_is_left_by_nobody(old: str, new: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"from {old} to '{new}'.*final"):
        check_move(old, new)


@pytest.mark.parametrize(("old", "new"), [("lost", QUEUED), (QUEUED, "lost"), (HELD, ""), ("", QUEUED)])
def test_an_unknown_state_is_named(old: str, new: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"lost|''"):
        check_move(old, new)
