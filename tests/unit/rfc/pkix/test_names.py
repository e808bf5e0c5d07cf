"""RFC 9525 §6.3: names are compared label by label, and a wildcard is one whole leftmost label."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.pkix.names import match, match_any, match_ip

MATCHES = [
    ("mail.x.example", "mail.x.example"),
    ("mail.x.example", "MAIL.X.Example"),
    ("Mail.X.example", "mail.x.example"),
    ("mail.x.example.", "mail.x.example"),
    ("mail.x.example", "*.x.example"),
    ("xn--bcher-kva.x.example", "*.x.example"),
    ("_smtp.x.example", "*.x.example"),
    ("localhost", "localhost"),
    ("*.x.example", "mail.x.example"),
    ("*.x.example", "*.x.example"),
    ("*.corp", "*.corp"),
    ("*.corp", "mail.corp"),
    (".x.example", "mail.x.example"),
    (".x.example", "a.b.c.x.example"),
    (".x.example", "*.x.example"),
    (".x.example", "*.a.x.example"),
]
DIFFERS = [
    ("mail.x.example", "x.example"),
    ("mail.x.example", "mail.y.example"),
    ("mail.x.example", "mail.x.example.evil.example"),
    ("mail.x.example", "mail.x.example\0.evil.example"),
    ("mail.x.example", "amail.x.example"),
    ("mail.x.example", "mail.x.example."),
    ("mail.x.example", ".x.example"),
    ("mail.x.example", ""),
    ("", ""),
    (".", "."),
    ("a..x.example", "a..x.example"),
    # RFC 9525 §6.3: exactly one label, and only the leftmost, and only a whole one
    ("a.mail.x.example", "*.x.example"),
    ("x.example", "*.x.example"),
    ("mail.x.example", "m*.x.example"),
    ("mail.x.example", "*l.x.example"),
    ("mail.x.example", "mail.*.example"),
    ("mail.x.example", "*.*.example"),
    ("a.mail.x.example", "*.*.x.example"),
    ("mail.x.example", "*"),
    ("mail", "*"),
    ("x.example", "*.example"),  # a wildcard over a whole top-level domain
    ("*.x.example", "x.example"),
    ("*.x.example", "a.b.x.example"),
    ("*.x.example", "*.a.x.example"),
    ("*.x.example", "m*.x.example"),
    ("*", "x"),
    ("*", "*"),
    ("m*.x.example", "mail.x.example"),
    ("m*.x.example", "m*.x.example"),
    (".x.example", "x.example"),
    (".x.example", ".x.example"),
    (".x.example", "mailx.example"),
    (".*.example", "mail.a.example"),
    # IP addresses are not names
    ("192.0.2.1", "192.0.2.1"),
    ("192.0.2.1", "*.0.2.1"),
    ("2001:db8::1", "2001:db8::1"),
    # U-labels are not compared
    ("bücher.example", "bücher.example"),
    ("k.x.example", "\u212a.x.example"),  # the Kelvin sign lower-cases to k
]


@pytest.mark.parametrize(("pattern", "presented"), MATCHES)
def test_a_name_that_is_expected_matches(pattern: str, presented: str) -> None:
    assert match(pattern, presented)


@pytest.mark.parametrize(("pattern", "presented"), DIFFERS)
def test_any_other_name_does_not(pattern: str, presented: str) -> None:
    assert not match(pattern, presented)


def test_one_name_of_many_is_enough_and_none_is_not() -> None:
    assert match_any(["a.example", "*.x.example"], ["b.example", "mail.x.example"])
    assert match_any((name for name in ["q.example", "z.example"]), (name for name in ["y.example", "z.example"]))
    assert not match_any(["a.example"], ["b.example"])
    assert not match_any([], ["a.example"])
    assert not match_any(["a.example"], [])


@pytest.mark.parametrize(
    ("pattern", "addresses", "expected"),
    [
        ("192.0.2.1", ["198.51.100.7", "192.0.2.1"], True),
        ("2001:DB8:0::1", ["2001:db8::1"], True),
        ("192.0.2.1", ["192.0.2.2"], False),
        ("192.0.2.1", ["::ffff:192.0.2.1"], False),
        ("192.0.2.1", [], False),
        ("mail.x.example", ["192.0.2.1"], False),
        ("*.0.2.1", ["192.0.2.1"], False),
    ],
)
def test_ip_addresses_are_compared_as_addresses(pattern: str, addresses: list[str], expected: bool) -> None:
    assert match_ip(pattern, addresses) is expected


LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda label: not label.isdigit())
NAMES = st.lists(LABEL, min_size=2, max_size=5).map(".".join)


@given(NAMES, NAMES)
def test_without_wildcards_matching_is_equality(left: str, right: str) -> None:
    assert match(left, left.upper())
    assert match(left, right) is (left == right)


@given(NAMES, st.lists(LABEL, max_size=3))
def test_a_wildcard_covers_one_label_and_a_dot_any_depth(name: str, labels: list[str]) -> None:
    below = ".".join([*labels, name])
    assert match(f"*.{name}", below) is (len(labels) == 1)
    assert match(below, f"*.{name}") is (len(labels) == 1)
    assert match(f".{name}", below) is (len(labels) >= 1)


@given(st.text("ab.*\0é", max_size=12), st.text("ab.*\0é", max_size=12))
def test_whatever_is_compared_nothing_raises_and_no_star_hides_in_a_label(pattern: str, presented: str) -> None:
    if match(pattern, presented):
        assert "*" not in presented.removeprefix("*.")
        assert "" not in presented.split(".")
