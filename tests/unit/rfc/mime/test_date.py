"""Dates of header fields."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.date import format_date


@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        (0.0, "Thu, 01 Jan 1970 00:00:00 +0000"),
        (1_767_604_987.999, "Mon, 05 Jan 2026 09:23:07 +0000"),
        (1_709_164_800.0, "Thu, 29 Feb 2024 00:00:00 +0000"),
        (-0.5, "Wed, 31 Dec 1969 23:59:59 +0000"),
    ],
)
def test_a_moment_is_written_in_utc_and_english(epoch: float, text: str) -> None:
    assert format_date(epoch) == text


@given(st.integers(0, 4_102_444_800))
def test_other_software_reads_the_same_moment(second: int) -> None:
    assert parsedate_to_datetime(format_date(second + 0.25)).timestamp() == second


def test_what_is_no_moment_raises() -> None:
    with pytest.raises((ValueError, OverflowError)):
        format_date(float("nan"))
