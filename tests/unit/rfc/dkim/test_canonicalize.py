"""Header fields in canonical form, and which of them h= chooses."""

from __future__ import annotations

import hashlib
from itertools import permutations

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.dkim.canonicalize import Canonicalization, Headers, relaxed_field
from mta.rfc.mime.header import scan_header

SIMPLE, RELAXED = Canonicalization.SIMPLE, Canonicalization.RELAXED
EXAMPLE = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"  # RFC 6376 §3.4.5


def headers(raw: bytes) -> Headers:
    return Headers(scan_header(raw, 10_000))


def test_the_example_of_the_standard() -> None:
    found = headers(EXAMPLE)
    a, b = found.block.fields
    assert [found.canonical(field, RELAXED) for field in (a, b)] == [b"a:X\r\n", b"b:Y Z\r\n"]
    assert [found.canonical(field, SIMPLE) for field in (a, b)] == [b"A: X\r\n", b"B : Y\t\r\n\tZ  \r\n"]


@given(
    st.from_regex(rb"[!-9;-~]{1,12}[ \t]{0,3}", fullmatch=True),
    st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"a", b"B", b":", b"\xc3\xa4"])).map(b"".join),
)
def test_relaxed_fields_are_those_of_dkimpy(name: bytes, value: bytes) -> None:
    ((theirs_name, theirs_value),) = Relaxed.canonicalize_headers([(name, value + b"\r\n")])
    assert relaxed_field(name, value + b"\r\n") == theirs_name + b":" + theirs_value


@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\x0b", b"\x0c", b"\x00", b"\xa0"])
def test_only_space_and_tab_are_white_space(octet: bytes) -> None:
    assert relaxed_field(b"A", b" " + octet + b"x  y" + octet + b"\r\n") == b"a:" + octet + b"x y" + octet + b"\r\n"


def chosen(raw: bytes, *names: bytes, own: int | None = None) -> bytes:
    """What is hashed for these names, found by trying."""
    found = headers(raw)
    field = found.block.fields[own] if own is not None else None
    digest = found.digest(names, RELAXED, field, b"")
    for order in _orders(found):
        if hashlib.sha256(order).digest() == digest:
            return order
    raise AssertionError("the digest is of nothing that was expected")


def _orders(found: Headers) -> list[bytes]:
    fields = [found.canonical(field, RELAXED) for field in found.block.fields]
    return [b"".join(order) for count in range(len(fields) + 1) for order in permutations(fields, count)]


def test_fields_are_chosen_from_the_bottom_up() -> None:
    raw = b"A: 1\r\nB: 2\r\nA: 3\r\n\r\n"
    assert chosen(raw, b"a") == b"a:3\r\n"
    assert chosen(raw, b"a", b"b", b"a") == b"a:3\r\nb:2\r\na:1\r\n"


def test_a_name_without_a_field_stands_for_nothing() -> None:
    raw = b"A: 1\r\n\r\n"
    assert chosen(raw, b"a", b"a", b"c", b"a") == b"a:1\r\n"


def test_the_signature_itself_is_never_chosen() -> None:
    raw = b"S: 1\r\nS: 2\r\nS: 3\r\n\r\n"
    assert chosen(raw, b"s", b"s", b"s", own=1) == b"s:3\r\ns:1\r\n"


def test_a_last_field_without_line_end_is_ended() -> None:
    found = headers(b"A: 1")
    assert found.canonical(found.block.fields[0], SIMPLE) == b"A: 1\r\n"
    assert found.canonical(found.block.fields[0], RELAXED) == b"a:1\r\n"
