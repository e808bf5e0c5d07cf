"""What a `rua` means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.policy.report_target import target_of


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("mailto:tls@b.example", "tls@b.example"),
        ("MAILTO:tls@b.example", "tls@b.example"),
        ("mailto:tls%2Breports@b.example?subject=x", "tls+reports@b.example"),
    ],
)
def test_an_address(uri: str, address: str) -> None:
    target = target_of(uri)
    assert (str(target.mailbox), target.problem) == (address, "")


def test_a_url() -> None:
    assert target_of("https://b.example/v1") == target_of("https://b.example/v1")
    assert (target_of("https://b.example/v1").mailbox, target_of("https://b.example/v1").problem) == (None, "")


@pytest.mark.parametrize(
    "uri",
    [
        "mailto:",
        "mailto:tls",
        "mailto:a@b.example,c@b.example",
        "mailto:a@b.example%0d%0aRCPT TO:<x@y>",
        "mailto:a@[192.0.2.1]",
        "mailto:%C3%A4@b.example",
        "https:",
        "https:///x",
        "ftp://b.example",
        "",
    ],
)
def test_what_is_not_written_to(uri: str) -> None:
    assert target_of(uri).problem


@given(
    st.text(max_size=60) | st.text(max_size=40).map("mailto:{}".format) | st.text(max_size=40).map("https://{}".format)
)
def test_any_text_is_a_target_or_has_a_problem(uri: str) -> None:
    target = target_of(uri)
    assert target.problem or target.mailbox is not None or uri.lower().startswith("https:")
