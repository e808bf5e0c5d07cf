"""A token that fails rests for longer each time, and one request finds out whether it is back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.adapters.token_pool.health import Health
from mta.errors import KeyAway


def health() -> Health:
    return Health("mta", pause=1.0, longest=5.0)


def test_the_pauses_grow_up_to_the_longest() -> None:
    token, now, pauses = health(), 100.0, []
    for _ in range(5):
        token.admit(now)
        token.bad(now, "away")
        pauses.append(token.until - now)
        with pytest.raises(KeyAway, match=r"away; the next try is in"):
            token.admit(now)
        now = token.until
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_one_request_finds_out_whether_it_is_back() -> None:
    token = health()
    token.bad(0.0, "away")
    token.admit(1.0)
    with pytest.raises(KeyAway, match="being tried just now"):
        token.admit(1.0)
    token.good()
    token.admit(1.0)
    token.admit(1.0)


def test_requests_that_fail_together_count_once() -> None:
    token = health()
    for _ in range(8):
        token.bad(10.0, "away")
    assert (token.failures, token.until) == (1, 11.0)


def test_a_request_that_never_came_to_the_token_leaves_the_next_one_to_try() -> None:
    token = health()
    token.bad(0.0, "away")
    token.admit(2.0)
    token.unknown()
    token.admit(2.0)


def test_a_wrong_pin_is_never_tried_again() -> None:
    token = health()
    token.wrong_pin = "the token refuses the PIN"
    for now in (0.0, 1e9):
        with pytest.raises(KeyAway, match="refuses the PIN; it is not tried again"):
            token.admit(now)


@given(st.lists(st.tuples(st.sampled_from(["bad", "good"]), st.floats(0, 100)), max_size=40))
def test_whatever_comes_it_never_rests_longer_than_that(steps: list[tuple[str, float]]) -> None:
    token, now = health(), 0.0
    for word, later in steps:
        now += later
        if word == "good":
            token.good()
            token.admit(now)
        else:
            token.bad(now, "away")
        assert token.until <= (now + 5.0) * (1 + 1e-12)  # as near as floats come to it
