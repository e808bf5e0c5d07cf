"""Second channels: what a label wants, what a reader has, who may set one up, and who is held."""

from __future__ import annotations

import pytest

from mta.contract.protection import Label
from mta.policy.channel import Channel, Step, is_enough, known_channels, next_step, without_channel

P, T, S, F = Channel.PASSKEY, Channel.TOTP, Channel.SMS, Channel.PHRASE
OWN = ("totp", "passkey")


def label(wish: str, *channels: str) -> Label:
    return Label("l", second_channel=wish, channels=channels or OWN)


@pytest.mark.parametrize(
    ("one", "ready", "proved", "expected"),
    [
        (None, {T}, (), Step()),
        (label("none"), {T}, (), Step()),
        # offered: nothing is asked of who has none; who has one is asked, and nobody adds another beside it
        (label("offered"), set(), (), Step(False, (), (T, P))),
        (label("offered"), {T}, (), Step(True, (T,), ())),
        (label("offered"), {T}, ("totp",), Step(False, (T,), (P,))),
        (label("offered", "sms"), {S}, (), Step(False, (S,), ())),  # a number we happen to know is no wish of theirs
        (label("offered", "sms", "totp"), {S}, (), Step(False, (S,), (T,))),
        (label("offered", "phrase"), {F}, (), Step(True, (F,), ())),  # agreed on is meant
        (label("offered", "phrase"), set(), (), Step(False, (), ())),
        # demanded: one of the label's, whatever else was proved
        (label("demanded"), set(), (), Step(True, (), (T, P))),
        (label("demanded"), {T}, (), Step(True, (T,), ())),
        (label("demanded"), {T}, ("sms",), Step(True, (T,), ())),
        (label("demanded"), {T, S}, ("totp",), Step(False, (T,), (P,))),
        (label("demanded", "totp", "sms"), {S}, (), Step(True, (S,), ())),  # first the number, then an app
        (label("demanded", "totp", "sms"), {S}, ("sms",), Step(False, (S,), (T,))),
        (label("demanded", "phrase"), set(), (), Step(True, (), ())),
    ],
)
def test_the_next_step(one: Label | None, ready: set[Channel], proved: tuple[str, ...], expected: Step):
    assert next_step(one, ready, proved) == expected


@pytest.mark.parametrize(
    ("one", "proved", "enough"),
    [
        (None, (), True),
        (label("offered"), (), True),
        (label("demanded"), (), False),
        (label("demanded"), ("phrase",), False),
        (label("demanded"), ("passkey",), True),
    ],
)
def test_what_opens(one: Label | None, proved: tuple[str, ...], enough: bool):
    assert is_enough(one, proved) == enough


@pytest.mark.parametrize(
    ("one", "numbers", "phrase", "held"),
    [
        (label("demanded", "sms"), {}, "", True),
        (label("demanded", "sms"), {"bob@x.example": "+491701234567"}, "", False),
        (label("demanded", "sms"), {"eve@x.example": "+491701234567"}, "", True),
        (label("demanded", "sms", "totp"), {}, "", False),
        (label("demanded", "phrase"), {}, " ", True),
        (label("demanded", "phrase"), {}, "blue moon", False),
        (label("offered", "sms"), {}, "", False),
    ],
)
def test_who_is_held(one: Label, numbers: dict[str, str], phrase: str, held: bool):
    failure = without_channel(one, "bob@x.example", known_channels("bob@x.example", numbers, phrase))
    assert (failure is not None) == held
    if failure is not None:
        assert not failure.permanent
        assert "bob@x.example" in failure.reason
        assert "bob" not in str(failure.reply)
