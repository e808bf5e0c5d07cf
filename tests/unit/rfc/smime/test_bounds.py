"""Nothing that nests, grows or lies gets past the proof, and what passes reads like what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.ber import read
from mta.rfc.smime.bounds import MAX_DEPTH, MAX_NODES, prove


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = der.sequence(data)
    return data


def open_nested(depth: int) -> bytes:
    return b"\x30\x80" * depth + b"\0\0" * depth


def test_depth_is_bounded() -> None:
    for form in (nested, open_nested):
        prove(form(MAX_DEPTH))
        with pytest.raises(SmimeError, match="nested more than 64"):
            prove(form(MAX_DEPTH + 1))
        with pytest.raises(SmimeError):
            prove(form(20_000))


def test_the_number_of_parts_is_bounded() -> None:
    prove(der.sequence(*[der.NULL] * (MAX_NODES - 1)))
    with pytest.raises(SmimeError, match="more than 100000 parts"):
        prove(der.sequence(*[der.NULL] * MAX_NODES))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x05\x02\x01",  # cut off
        b"\x30\x03\x02\x04\x01",  # longer than what it lies in
        b"\x30\x80\x02\x01\x01",  # no end
        b"\x30\x02\x00\x00",  # an end where nothing is open
        b"\x00\x00",
        b"\x04\x80\x00\x00",  # a primitive of indefinite length
        b"\x30\x00\x00",  # something behind
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x89" + b"\x00" * 9,
        b"\x30\xff",
        b"\x1f",
        b"\x1f\x81",
        b"\x1f\x81\x81\x81\x81\x81\x01\x00",
        b"\x30\x80\x30\x04\x00\x00\x00\x00\x00\x00",  # the end of the outer one inside the inner one
    ],
)
def test_what_is_no_ber_is_refused(data: bytes) -> None:
    with pytest.raises(SmimeError):
        prove(data)


@given(st.binary(max_size=200))
def test_any_octets_are_proven_or_refused(data: bytes) -> None:
    try:
        prove(data)
    except SmimeError:
        return
    root = read(data)
    assert root.after == len(data)
    pending = [root]
    while pending:
        element = pending.pop()
        assert root.start <= element.start < element.after <= root.after
        if element.tag & 0x20:
            pending.extend(element.children())


TREES = st.recursive(
    st.binary(max_size=40).map(der.octet_string) | st.integers(-(2**70), 2**70).map(der.integer),
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: der.sequence(*parts)),
    max_leaves=20,
)


@given(TREES)
def test_what_is_written_reads_back(data: bytes) -> None:
    assert read(data).raw == data
    indefinite = b"\x30\x80" + data + b"\0\0"
    (child,) = read(indefinite).children()
    assert child.raw == data


@given(st.binary(max_size=50), st.integers(1, 20))
def test_pieces_of_an_octet_string_are_joined(data: bytes, size: int) -> None:
    pieces = [der.octet_string(data[start : start + size]) for start in range(0, len(data), size)]
    assert read(b"\x24\x80" + b"".join(pieces) + b"\0\0").octets() == data
    assert read(der.element(0x24, *pieces)).octets() == data


@pytest.mark.parametrize(
    "dotted", ["1.2.840.113549.1.7.2", "2.999.3", "0.9.2342", "2.16.840.1.101.3.4.1.46", "1.3.101.112"]
)
def test_object_identifiers_keep_their_numbers(dotted: str) -> None:
    assert read(der.oid(dotted)).oid() == dotted


@given(st.integers(-(2**120), 2**120))
def test_integers_keep_their_value(value: int) -> None:
    assert read(der.integer(value)).integer() == value
