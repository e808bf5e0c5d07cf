"""RFC 8785's own examples, and what has no canonical form."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import JsonError
from mta.rfc.json.canonical import canonical
from mta.rfc.json.read import read_json, read_object

# RFC 8785, appendix B
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_as_ecmascript_writes_them(bits: str, text: str) -> None:
    [number] = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(number).decode() == text


@given(st.floats(-1e16, 1e16) | st.floats(-1, 1) | st.integers(0, 2**41).map(lambda milliseconds: milliseconds / 1000))
def test_a_double_is_written_the_same_alone_and_beside_what_only_the_long_way_writes(number: float) -> None:
    beside_a_name_beyond_ascii = canonical({"é": number}).decode()
    assert canonical(number).decode() == beside_a_name_beyond_ascii.removeprefix('{"é":').removesuffix("}")


def test_the_example_of_the_standard() -> None:
    """RFC 8785 §3.2.2 to §3.2.4."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value).decode() == expected


def test_names_are_sorted_by_their_utf_16() -> None:
    """RFC 8785 §3.2.3: an emoji (a surrogate pair) comes before a letter of a higher code unit."""
    value = {"\u20ac": 5, "\r": 1, "\ufb33": 7, "1": 2, "\U0001f600": 6, "\u0080": 3, "\u00f6": 4}
    assert [*json.loads(canonical(value)).values()] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, {"a": {1}}, "\ud800", b"octets"])
def test_what_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(JsonError):
        canonical(value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8"))
    | st.floats(-1e15, 1e15),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_it_reads_back_as_the_same(value: Any) -> None:
    assert read_json(canonical(value), 1_000_000) == value
    assert canonical(read_json(canonical(value), 1_000_000)) == canonical(value)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b"NaN",
        b"[Infinity]",
        b"\xff",
        b"{",
        b"[" * 100_000,
        b'"\xed\xa0\x80"',
        b"",
    ],
)
def test_what_readers_take_differently_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        read_json(text, 200_000)


def test_many_values_in_few_octets() -> None:
    """They would cost thirty times their size in memory."""
    for text in (b"[" + b"[]," * 60_000 + b"[]]", b"[" + b"{}," * 60_000 + b"{}]", b"[" + b"1," * 60_000 + b"1]"):
        with pytest.raises(JsonError, match="values"):
            read_json(text, 1_000_000)


def test_too_long_and_no_object() -> None:
    with pytest.raises(JsonError):
        read_json(b"[1]", 2)
    with pytest.raises(JsonError):
        read_object(b"[1]", 3)
