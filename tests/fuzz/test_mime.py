"""Whatever a message holds: its header, From and structure are read or refused, in time that grows with its length."""

import contextlib
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import HeaderError, count_received, scan_header
from mta.rfc.mime.structure import check_structure
from tests.support import corpora
from tests.support.effort import growth

HUGE = 1_000_000_000
SIGNS = [bytes([octet]) for octet in b'<>"(),:;\n \t\r\\\0\xffb']
WORDS = [b"From: ", b"a@b", b"\r\n", b"--b", b"--", b"Content-Type: multipart/x; boundary="]
PIECES = st.sampled_from([*SIGNS, *WORDS, b"Content-Type: message/rfc822\r\n\r\n"])
MESSAGES = st.binary(max_size=120) | st.lists(PIECES, max_size=30).map(b"".join)


@given(MESSAGES, st.integers(0, 200))
def test_a_message_is_read_or_its_header_refused(raw: bytes, limit: int) -> None:
    with contextlib.suppress(HeaderError):
        block = scan_header(raw, limit)
        assert 0 <= block.body_start <= len(raw)
        position = 0
        for field in block.fields:
            assert position <= field.start < field.value_start <= field.end <= block.body_start
            assert raw[field.value_start - 1] == ord(":")
            position = field.end
        found = parse_from(block, 50)
        assert found.count == block.count(b"from")
        assert found.authors or found.error or not found.count
        check_structure(raw, block, 3, 10)


@pytest.mark.parametrize("folder", ["mime-mikel", "mime-flanker"])
def test_mail_as_found_in_the_wild_is_read(folder: str) -> None:
    paths = corpora.files(folder)
    assert len(paths) > 90
    single = 0
    for path in paths:
        raw = path.read_bytes()
        for content in (raw, raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
            block = scan_header(content, HUGE)
            count_received(block)
            found = parse_from(block, 10_240)
            assert found == parse_from(block, 10_240, slow=True)
            assert check_structure(content, block, 100, 2048) == ""
        single += found.count == 1 and not found.ambiguous
    assert single > len(paths) // 4


def header_work(unit: bytes) -> Callable[[int], Callable[[], object]]:
    return lambda size: lambda: scan_header(unit * size, HUGE)


@pytest.mark.parametrize("unit", [b"a: b\r\n", b" fold\r\n", b"nothing\r\n", b"x", b"x ", b"a:\r\n b\r\n", b" ", b"\r"])
def test_finding_fields_is_linear_work(unit: bytes) -> None:
    assert growth(header_work(unit), 20_000) < 9


@pytest.mark.parametrize(
    "unit",
    [b"a@b.example, ", b"a <a@b>,\r\n ", b"(", b"()", b'"', b'"\\', b"<", b"a ", b"a.", b"x" * 9, b"[", b":;", b"@"],
)
def test_reading_a_from_is_linear_work(unit: bytes) -> None:
    def work(size: int) -> Callable[[], object]:
        block = scan_header(b"From: " + unit * size + b"\r\n\r\n", HUGE)
        return lambda: parse_from(block, HUGE)

    assert growth(work, 10_000) < 9


TOP = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
BODIES: dict[str, Callable[[int], bytes]] = {
    "nested": lambda size: b"".join(
        b"--b\r\nContent-Type: multipart/x; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(size)
    ),
    "deeper": lambda size: (
        b"--b\r\n" + b"".join(b"Content-Type: multipart/x; boundary=c%d\r\n\r\n--c%d\r\n" % (n, n) for n in range(size))
    ),
    "same boundary": lambda size: b"--b\r\nContent-Type: multipart/x; boundary=b\r\n\r\n" * size,
    "messages": lambda size: b"--b\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * size,
    "no empty lines": lambda size: b"--b\r\na: b\r\n" * size,
    "dashes": lambda size: b"--x\n" * size,
    "long line": lambda size: b"--" + b"b " * size,
    "long boundary": lambda size: (
        b"--b\r\nContent-Type: multipart/x; boundary=" + b"x" * size + b"\r\n\r\n--" + b"x" * size
    ),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_checking_the_structure_is_linear_work(body: Callable[[int], bytes]) -> None:
    def work(size: int) -> Callable[[], object]:
        content = TOP + body(size)
        block = scan_header(content, HUGE)
        return lambda: check_structure(content, block, HUGE, HUGE)

    assert growth(work, 5_000) < 9


def test_ten_thousand_nested_multiparts_take_no_more_than_four_times_their_memory() -> None:
    content = TOP + BODIES["deeper"](10_000)
    block = scan_header(content, HUGE)
    tracemalloc.start()
    try:
        assert check_structure(content, block, 10_001, 2048) == ""
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(content)
    assert check_structure(content, block, 10_000, 2048) != ""
