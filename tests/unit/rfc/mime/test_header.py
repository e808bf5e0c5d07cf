"""Header fields as spans."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import HeaderError, begins_oddly, count_received, scan_header, unfold, without
from tests.support.effort import growth

LIMIT = 10_000


def fields(raw: bytes) -> list[tuple[bytes, bytes]]:
    return [(field.name, raw[field.value_start : field.end]) for field in scan_header(raw, LIMIT).fields]


@pytest.mark.parametrize(
    ("raw", "expected", "body"),
    [
        (b"", [], b""),
        (b"\r\nbody\r\n", [], b"body\r\n"),
        (b"A: 1\r\nB:2\r\n\r\nC: 3\r\n", [(b"a", b" 1\r\n"), (b"b", b"2\r\n")], b"C: 3\r\n"),
        (b"A: 1\r\n\tmore\r\n  yet\r\n\r\n", [(b"a", b" 1\r\n\tmore\r\n  yet\r\n")], b""),
        (b"A: 1\r\n \r\nB: 2\r\n\r\n", [(b"a", b" 1\r\n \r\n"), (b"b", b" 2\r\n")], b""),
        (b"A: 1\r\nB: 2", [(b"a", b" 1\r\n"), (b"b", b" 2")], b""),
        (b"From \t: x\r\n\r\n", [(b"from", b" x\r\n")], b""),
        (b"FROM: x\r\n\r\n", [(b"from", b" x\r\n")], b""),
        (b"Fr\0om: x\r\n\r\n", [(b"from", b" x\r\n")], b""),
        (b" lost\r\nA: 1\r\n\r\n", [(b"a", b" 1\r\n")], b""),
        (b"From ann@x Mon Jan 1\r\nA: 1\r\n\r\n", [(b"a", b" 1\r\n")], b""),
        (b"From ann@x at 10:00\r\nA: 1\r\n\r\n", [(b"fromann@xat10", b"00\r\n"), (b"a", b" 1\r\n")], b""),
        (b"A: 1\r\nno field\r\nFrom: x\r\n\r\nb", [(b"a", b" 1\r\n"), (b"from", b" x\r\n")], b"b"),
        (b": nameless\r\nA: 1\r\n\r\n", [(b"a", b" 1\r\n")], b""),
        (b"A:\r\nB:\r\n\r\n", [(b"a", b"\r\n"), (b"b", b"\r\n")], b""),
        (b"A: 1\n b\nB: 2\n\nbody", [(b"a", b" 1\n b\n"), (b"b", b" 2\n")], b"body"),
        (b"A: 1\n\nB: 2\r\n\r\n", [(b"a", b" 1\n")], b"B: 2\r\n\r\n"),
        (b"A: 1\r\n\r\nB\n\n", [(b"a", b" 1\r\n")], b"B\n\n"),
        (b"\xc3\xbc: 1\r\nA: 1\r\n\r\n", [(b"a", b" 1\r\n")], b""),
    ],
)
def test_fields_are_found_where_any_reader_would_see_them(
    raw: bytes, expected: list[tuple[bytes, bytes]], body: bytes
) -> None:
    assert fields(raw) == expected
    assert raw[scan_header(raw, LIMIT).body_start :] == body


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\n\r\nbody\r\n", b"\r\n", b"\n\n", b"\r\n\r\n" + b"x" * 300])
def test_a_header_of_the_limit_is_taken_and_an_octet_more_is_not(end: bytes) -> None:
    line_end = 1 if end.startswith(b"\n") else 2
    fits = b"A: ".ljust(100 - line_end, b"x") + end
    assert len(scan_header(fits, 100).fields) == 1
    with pytest.raises(HeaderError, match="100 octets"):
        scan_header(b"A" + fits, 100)


def test_a_header_without_end_is_refused_at_the_limit() -> None:
    with pytest.raises(HeaderError):
        scan_header(b"A: 1\r\n" * 100, 100)


def test_received_fields_are_counted_whatever_their_case() -> None:
    header = b"Received: a\r\nRECEIVED : b\r\nX-Received: c\r\nDelivered-To: d\r\nreceived: e\r\n f\r\n"
    raw = header + b"\r\nReceived: not in the header\r\n"
    assert count_received(scan_header(raw, LIMIT)) == 3


def test_unfolding_takes_line_ends_and_leaves_the_space() -> None:
    assert unfold(b" a\r\n b\n\tc") == b" a b\tc"


LINES = st.sampled_from(
    [b"A: 1", b" fold", b"", b"none", b"From : x", b"\t", b"B:", b"a b: c", b":", b"x\0y:z", b" y: z"]
)


@given(st.lists(st.tuples(LINES, st.sampled_from([b"\r\n", b"\n"])).map(b"".join), max_size=12).map(b"".join))
def test_the_scan_agrees_with_a_reading_line_by_line(raw: bytes) -> None:
    logical: list[tuple[int, bytes]] = []
    position, body = 0, len(raw)
    for line in raw.splitlines(keepends=True):
        if not line.strip(b"\r\n"):
            body = position + len(line)
            break
        if line[:1] in (b" ", b"\t") and logical:
            logical[-1] = (logical[-1][0], logical[-1][1] + line)
        else:
            logical.append((position, line))
        position += len(line)
    spans = []
    for start, text in logical:
        name = text.partition(b":")[0].translate(None, b" \t\0\r\n").lower()
        if name and b":" in text:
            spans.append((name, start, start + len(text)))
    block = scan_header(raw, LIMIT)
    assert [(field.name, field.start, field.end) for field in block.fields] == spans
    assert block.body_start == body


# What some reader or other takes for the field "From" (RFC 5322 §3.6.8: a name is of the octets 33 to 126)
STRAY = [bytes([octet]) for octet in range(256) if not 33 <= octet <= 126 and octet not in b"\r\n"]
STRAY += [b"\xef\xbb\xbf", b"\xc2\xa0", b"\xe2\x80\x8b", b"\r\n ", b"\r\n\t", b" \r\n \r\n\t "]


@pytest.mark.parametrize("stray", STRAY)
def test_a_name_is_found_whatever_stands_around_and_within_it(stray: bytes) -> None:
    first = b"" if stray[:1] in b" \t\r" else stray
    for name in (b"From" + stray, first + b"From", b"Fr" + stray + b"om", b"From \t" + stray):
        found = scan_header(b"A: 1\r\n" + name + b": boss@x\r\nFrom: b@x\r\n\r\n", LIMIT)
        assert found.values(b"from") == (b" boss@x", b" b@x")


@pytest.mark.parametrize("first", [b" ", b"\t", b" \t ", b"\x0b", b"\xa0", b"\xef\xbb\xbf", b" \r\n "])
def test_a_first_line_that_continues_nothing_is_a_field_of_its_own(first: bytes) -> None:
    block = scan_header(first + b"From: boss@x\r\nFrom: b@x\r\n\r\n", LIMIT)
    assert begins_oddly(block)
    assert block.count(b"from") == 2


@pytest.mark.parametrize("raw", [b"", b"\r\nbody", b"A: 1\r\n\r\n", b"no field\r\n\r\n", b"!: x\r\n\r\n"])
def test_what_begins_as_a_field_can_stand_behind_ours(raw: bytes) -> None:
    assert not begins_oddly(scan_header(raw, LIMIT))


@pytest.mark.parametrize(
    ("lines", "extended"),
    [
        (b"From: a@x\r\n\x0b<boss@x>\r\nTo: c\r\n", {b"from"}),
        (b"From: a@x\r\n\xa0<boss@x>\r\n", {b"from"}),
        (b"From: a@x\r\n more\r\n\xef\xbb\xbfboss: x\r\n", {b"from"}),
        (b"From: a@x\r\nboss@x\r\nTo: c\r\n", {b"from"}),
        (b"From: a@x\r\nboss@x\r\n more", {b"from"}),
        (b"From: a@x\r\nTo: c\r\njunk\r\n", {b"to"}),
        (b"From ann\r\nFrom: a@x\r\nX y: c\r\n", set()),
        (b"From\r\n : a@x\r\nX: c\r\n", set()),
        (b"From: a@x\r\n \r\nX: c\r\n", set()),
    ],
)
def test_fields_that_some_readers_carry_on_are_told(lines: bytes, extended: set[bytes]) -> None:
    block = scan_header(lines + b"\r\nbody", LIMIT)
    assert block.extended == extended
    assert parse_from(block, 100).ambiguous is (b"from" in extended or b"more" in lines)


def test_a_carriage_return_alone_ends_a_line_to_some() -> None:
    block = scan_header(b"A: 1\rFrom: boss@x\r\nFrom: b@x\r\n\r\n", LIMIT)
    assert block.values(b"from") == (b" boss@x", b" b@x")


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n\r\nb", b"A: 1\r\nC: 4\r\n\r\nb"),
        (b"B: 2\r\n\x0bmore\r\nodd\r\n more\r\nB : 3\r\nC: 4\r\n\r\nb", b"C: 4\r\n\r\nb"),
        (b"A: 1\r\nB: 2\r\n\x0b: more\r\n\r\nb\r\nB: 3", b"A: 1\r\n\r\nb\r\nB: 3"),
    ],
)
def test_a_field_goes_with_all_that_some_take_for_a_part_of_it(raw: bytes, kept: bytes) -> None:
    block = scan_header(raw, LIMIT)
    assert b"".join(without(block, [field for field in block.fields if field.name == b"b"])) == kept


def _odd(size: int) -> Callable[[], object]:
    pieces = [b"x\r\n \x0b\r\n\tb\r\n: c\r\n\xa0From\r\n : x\r\n"] * (size // 30)
    raw = b"".join((*pieces, b"n\r\n", b" y\r\n" * size))
    return lambda: scan_header(raw, len(raw))


def test_an_odd_header_is_scanned_in_linear_time() -> None:
    assert growth(_odd, 30_000) < 8
