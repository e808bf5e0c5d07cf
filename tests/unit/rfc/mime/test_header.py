"""Header fields as spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.header import HeaderError, count_received, scan_header, unfold

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
        (b"From ann@x Mon Jan 1 10:00:00\r\nA: 1\r\n\r\n", [(b"a", b" 1\r\n")], b""),
        (b"A: 1\r\nno field\r\nFrom: x\r\n\r\nb", [(b"a", b" 1\r\n"), (b"from", b" x\r\n")], b"b"),
        (b": nameless\r\nA: 1\r\n\r\n", [(b"a", b" 1\r\n")], b""),
        (b"A:\r\nB:\r\n\r\n", [(b"a", b"\r\n"), (b"b", b"\r\n")], b""),
        (b"A: 1\n b\nB: 2\n\nbody", [(b"a", b" 1\n b\n"), (b"b", b" 2\n")], b"body"),
        (b"A: 1\n\nB: 2\r\n\r\n", [(b"a", b" 1\n")], b"B: 2\r\n\r\n"),
        (b"A: 1\r\n\r\nB\n\n", [(b"a", b" 1\r\n")], b"B\n\n"),
        (b"\xc3\xbc: 1\r\n\r\n", [(b"\xc3\xbc", b" 1\r\n")], b""),
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


LINES = st.sampled_from([b"A: 1", b" fold", b"", b"none", b"From : x", b"\t", b"B:", b"a b: c", b":", b"x\0y:z"])


@given(st.lists(st.tuples(LINES, st.sampled_from([b"\r\n", b"\n"])).map(b"".join), max_size=12).map(b"".join))
def test_the_scan_agrees_with_a_reading_line_by_line(raw: bytes) -> None:
    spans: list[tuple[bytes, int, int]] = []
    position = 0
    body = len(raw)
    open_field = False
    for line in raw.splitlines(keepends=True) if b"\r" not in raw.replace(b"\r\n", b"") else []:
        if not line.strip(b"\r\n"):
            body = position + len(line)
            break
        name, colon, _ = line.partition(b":")
        if line[:1] in b" \t":
            if open_field:
                spans[-1] = (spans[-1][0], spans[-1][1], position + len(line))
        else:
            bare = name.rstrip(b" \t")
            open_field = bool(colon) and bool(bare) and not any(sign in bare for sign in b" \t")
            if open_field:
                spans.append((bare.replace(b"\0", b"").lower(), position, position + len(line)))
        position += len(line)
    block = scan_header(raw, LIMIT)
    assert [(field.name, field.start, field.end) for field in block.fields] == spans
    assert block.body_start == body
