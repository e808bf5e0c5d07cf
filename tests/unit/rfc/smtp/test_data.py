"""The data of a message, in and out."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta.errors import LocalProtocolError
from mta.rfc.smtp.data import DataFault, DataReader, DotStuffer, stuff

# What other servers have been known to take for CRLF . CRLF
LOOK_ALIKES = [
    before + b"." + after
    for before, after in itertools.product([b"\r\n", b"\n", b"\r", b"\r\r\n"], repeat=2)
    if (before, after) != (b"\r\n", b"\r\n")
] + [b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n", b"\r\n..\r\n"]


def read(data: bytes, *, max_size: int = 0, max_line: int = 1000, step: int = 0) -> tuple[bytes, DataReader]:
    reader = DataReader(max_size, max_line)
    content = b""
    for start in range(0, len(data), step or len(data)):
        if reader.done:
            reader.rest += data[start:]
            break
        content += reader.feed(data[start : start + (step or len(data))])
    return content, reader


def naive(data: bytes, max_size: int, max_line: int) -> tuple[bytes, set[DataFault], bytes] | None:
    """The same, octet by octet, from the words of the standard."""
    framed = b"\r\n" + data
    end = framed.find(b"\r\n.\r\n")
    if end < 0:
        return None
    body, rest = framed[2 : end + 2], framed[end + 5 :]
    faults = set()
    for index, octet in enumerate(framed[: end + 2]):
        if octet == 13 and framed[index + 1 : index + 2] != b"\n":
            faults.add(DataFault.BARE_CR)
        if octet == 10 and framed[index - 1 : index] != b"\r":
            faults.add(DataFault.BARE_LF)
        if octet == 0:
            faults.add(DataFault.NUL)
    content = framed[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
    if any(len(line) > max_line for line in re.split(rb"(?<=\n)", content)):
        faults.add(DataFault.LINE_TOO_LONG)
    if len(content) > max_size:
        faults.add(DataFault.TOO_LARGE)
    return (content if not faults else body), faults, rest


@pytest.mark.parametrize(
    ("data", "content", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n", b"Subject: x\r\n\r\nhello\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"...\r\n..a\r\n.b\r\n.\r\n", b"..\r\n.a\r\nb\r\n", b""),
        (b"\r\n..\r\n.\r\n.\r\n", b"\r\n.\r\n", b".\r\n"),
        (b"a\x01b\xff\r\n.\r\n", b"a\x01b\xff\r\n", b""),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_content_ends_at_the_final_dot_and_loses_the_stuffed_ones(
    data: bytes, content: bytes, rest: bytes, step: int
) -> None:
    found, reader = read(data, step=step)
    assert (found, reader.done, reader.rest, reader.fault, reader.size) == (content, True, rest, None, len(content))


@pytest.mark.parametrize("sequence", LOOK_ALIKES)
@pytest.mark.parametrize("step", [0, 1])
def test_nothing_but_crlf_dot_crlf_ends_the_data(sequence: bytes, step: int) -> None:
    _, reader = read(b"one" + sequence + b"MAIL FROM:<x@y>\r\n", step=step)
    honest = sequence == b"\r\r\n.\r\n"
    assert reader.done is honest
    _, reader = read(b"one" + sequence + b"two\r\n.\r\nNOOP\r\n", step=step)
    assert reader.done
    assert reader.rest.endswith(b"NOOP\r\n")
    bare = sequence.replace(b"\r\n", b"").strip(b". ")
    assert (reader.fault in {DataFault.BARE_CR, DataFault.BARE_LF, DataFault.NUL}) is bool(bare)


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        (b"a\nb\r\n.\r\n", {DataFault.BARE_LF}),
        (b"a\rb\r\n.\r\n", {DataFault.BARE_CR}),
        (b"\na\r\n.\r\n", {DataFault.BARE_LF}),
        (b"a\n\rb\r\n.\r\n", {DataFault.BARE_CR, DataFault.BARE_LF}),
        (b"a\r\r\n.\r\n", {DataFault.BARE_CR}),
        (b"a\r\n\n.\r\n\r\n.\r\n", {DataFault.BARE_LF}),
        (b"a\r\n\0.\r\nMAIL\r\n.\r\n", {DataFault.NUL}),
        (b"\0a\r\n.\0\r\n.\r\n", {DataFault.NUL}),
    ],
)
def test_bare_line_ends_and_nul_are_faults_and_the_end_is_still_found(data: bytes, faults: set[DataFault]) -> None:
    for step in (0, 1):
        content, reader = read(data, step=step)
        assert reader.done
        assert reader.faults == faults
        assert step == 1 or content == b""


def test_a_bare_line_end_is_found_at_every_place_of_a_large_piece() -> None:
    for place in (0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 39_999):
        for octet, fault in ((b"\r", DataFault.BARE_CR), (b"\n", DataFault.BARE_LF), (b"\0", DataFault.NUL)):
            data = bytearray(b"x" * 40_000)
            data[place : place + 1] = octet
            _, reader = read(bytes(data) + b"x\r\n.\r\n", max_line=0)
            assert reader.faults == {fault}
    for place in (16_382, 16_383, 16_384):
        pair = b"x" * place + b"\r\n" + b"x" * 20_000 + b"\r\n.\r\n"
        assert read(pair, max_line=0)[1].fault is None


@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_line_holds_as_many_octets_as_the_limit_and_no_more(step: int) -> None:
    fits = b"x" * 98 + b"\r\n"
    for lines, good in [
        ([fits], True),
        ([b"x" + fits], False),
        ([b"." + b"." * 98 + b"\r\n"], True),  # the stuffed dot does not count
        ([b".." + b"." * 98 + b"\r\n"], False),
        ([b"a\r\n", fits, b"b\r\n", fits], True),
        ([b"a\r\n", fits, b"b\r\n", b"x" + fits], False),
        ([fits] * 30 + [b"x" + fits] + [b"\r\n"] * 30, False),
    ]:
        _, reader = read(b"".join(lines) + b".\r\n", max_line=100, step=step)
        assert reader.faults == (set() if good else {DataFault.LINE_TOO_LONG})


@pytest.mark.parametrize("step", [0, 1, 7])
def test_content_of_the_limit_is_taken_and_an_octet_more_is_not(step: int) -> None:
    content, reader = read(b"12345678\r\n.\r\n", max_size=10, step=step)
    assert (content, reader.fault) == (b"12345678\r\n", None)
    _, reader = read(b"123456789\r\n.\r\nNOOP\r\n", max_size=10, step=step)
    assert (reader.fault, reader.done, reader.rest) == (DataFault.TOO_LARGE, True, b"NOOP\r\n")


def test_the_fault_that_endangers_others_decides() -> None:
    _, reader = read(b"x" * 2000 + b"\na\rb\0\r\n.\r\n", max_size=10)
    assert reader.faults == set(DataFault)
    assert reader.fault is DataFault.BARE_CR


def test_nothing_may_follow_the_end() -> None:
    _, reader = read(b".\r\n")
    with pytest.raises(LocalProtocolError):
        reader.feed(b"x")


def test_no_more_than_four_octets_are_kept() -> None:
    reader = DataReader(0, 0)
    given_out = len(reader.feed(b"x" * 100_000 + b"\r\n.\r"))
    assert given_out == 100_000
    for piece in (b"\r\n.\r", b"\r\n.\r", b"\r\n"):
        reader.feed(piece)
        assert len(reader._held) <= 4


PIECES = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\r\n.", b"ab", b"c" * 9]), max_size=24).map(b"".join)


@given(PIECES, st.lists(st.integers(1, 40), max_size=10))
@example(b".", [1])
@example(b"\r\n.\r", [3])
def test_the_reading_is_that_of_the_standard_however_the_data_is_cut(data: bytes, cuts: list[int]) -> None:
    data += b"\r\n.\r\nNOOP\r\n"
    expected = naive(data, 20, 10)
    assert expected is not None
    for step in (0, 1, 2, 3, 5):
        content, reader = read(data, max_size=20, max_line=10, step=step)
        assert reader.done
        assert reader.rest == expected[2]
        assert reader.faults == expected[1]
        assert expected[1] or content == expected[0]
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    reader = DataReader(20, 10)
    for start, end in itertools.pairwise(places):
        if not reader.done:
            reader.feed(data[start:end])
    assert reader.faults == expected[1]


@pytest.mark.parametrize(
    ("content", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b".a\r\n.b\r\n..", b"..a\r\n..b\r\n...\r\n.\r\n"),
        (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\r\n.b", b"a\r\n\r\n..b\r\n.\r\n"),
    ],
)
def test_what_is_sent_is_stuffed_and_ends_with_the_final_dot(content: bytes, wire: bytes) -> None:
    for step in (len(content) or 1, 1, 2):
        stuffer = DotStuffer()
        sent = b"".join(stuffer.feed(content[at : at + step]) for at in range(0, len(content), step))
        assert sent + stuffer.finish() == wire


@given(PIECES, st.integers(1, 9))
def test_what_one_side_stuffs_the_other_reads_back(content: bytes, step: int) -> None:
    stuffer = DotStuffer()
    sent = b"".join(stuffer.feed(content[at : at + step]) for at in range(0, len(content), step)) + stuffer.finish()
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    expected = lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"
    found, reader = read(sent)
    assert (found, reader.fault, reader.rest) == (expected, None, b"")


@given(PIECES, st.integers(0, 9))
@example(b"ab", 0)
@example(b"..ab", 1)
def test_what_came_verbatim_is_sent_as_it_is(data: bytes, step: int) -> None:
    """Only what needs neither stuffing nor mending may be called so, whatever stands before it."""
    content, reader = read(data + b"\r\n.\r\n", step=step)
    if reader.verbatim:
        assert DotStuffer().feed(content) == content
        for before in (b"", b"a: b\r\n", b"a", b"a\r"):
            looked_at, taken = DotStuffer(), DotStuffer()
            looked_at.feed(before)
            taken.feed(before)
            assert looked_at.feed(content) + looked_at.finish() == taken.feed_verbatim(content) + taken.finish()
    else:
        assert reader.faults or data.startswith(b".") or b"\r\n." in data


@pytest.mark.parametrize("step", [0, 1, 3])
@pytest.mark.parametrize(
    ("data", "verbatim"), [(b"a\r\n", True), (b"", True), (b"..a\r\n", False), (b"a\r\n..\r\n", False), (b"\n", False)]
)
def test_what_was_stuffed_or_faulty_is_not_verbatim(data: bytes, verbatim: bool, step: int) -> None:
    _, reader = read(data + b".\r\n" if data.endswith(b"\r\n") or not data else data + b"\r\n.\r\n", step=step)
    assert reader.verbatim is verbatim


def test_stuffing_whole_buffers_knows_where_the_line_begins() -> None:
    assert stuff(b".a\r\n.b", True) == b"..a\r\n..b"
    assert stuff(b".a\r\n.b", False) == b".a\r\n..b"
    plain = b"nothing to do\r\n"
    assert stuff(plain, True) is plain
