"""How deep a message may be nested."""

import mmap
import tempfile
from collections.abc import Callable

import pytest

from mta.rfc.mime.header import scan_header
from mta.rfc.mime.structure import PARTS, Buffer, check_structure
from tests.support.effort import steps


def nested(depth: int, kind: bytes = b"multipart/mixed") -> bytes:
    parts = [b"From: a@b\r\n"]
    for level in range(depth):
        parts.append(b'Content-Type: %s; boundary="b%d"\r\n\r\n--b%d\r\n' % (kind, level, level))
    return b"".join([*parts, b"\r\nhello\r\n", *(b"--b%d--\r\n" % level for level in reversed(range(depth)))])


def check(content: bytes, nesting: int = 3, boundary_length: int = 20, buffer: Buffer | None = None) -> str:
    return check_structure(buffer or content, scan_header(content, 10_000_000), nesting, boundary_length)


def test_nesting_of_the_limit_is_taken_and_one_deeper_is_not() -> None:
    assert check(nested(3)) == ""
    assert check(nested(4)) == "MIME parts are nested deeper than 3"
    assert check(nested(1), nesting=0) != ""
    assert check(nested(100), nesting=100) == ""
    assert check(nested(101), nesting=100) != ""


def test_attached_messages_count() -> None:
    message = b"Content-Type: message/rfc822\r\n\r\n"
    assert check(message * 3 + b"\r\nx") == ""
    assert check(message * 4 + b"\r\nx") != ""
    inside = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    assert check(inside + message * 2 + b"\r\nx") == ""
    assert check(inside + message * 3 + b"\r\nx") != ""
    assert check(inside + message * 2 + nested(1)) != ""


def test_parts_side_by_side_are_not_nested() -> None:
    part = b"--b\r\nContent-Type: multipart/alternative; boundary=c%d\r\n\r\n--c%d\r\n\r\nx\r\n--c%d--\r\n"
    siblings = b"".join(part % (n, n, n) for n in range(50))
    unclosed = b"".join((part % (n, n, n)).replace(b"--c%d--\r\n" % n, b"") for n in range(50))
    messages = b"--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n" * 50
    for body in (siblings, unclosed, messages):
        assert check(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body + b"--b--\r\n") == ""


def test_what_follows_the_end_of_a_multipart_is_not_looked_at() -> None:
    top = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    assert check(top + b"--b\r\n" + nested(5)) == ""


@pytest.mark.parametrize(
    "header",
    [
        b'Content-Type: multipart/mixed; boundary="%s"',
        b"content-type : MULTIPART/x;\r\n\tcharset=x; Boundary = %s",
        b'Content-Type: multipart/mixed; x="; boundary=no"; boundary=%s',
    ],
)
def test_a_boundary_of_the_limit_is_taken_and_an_octet_more_is_not(header: bytes) -> None:
    inner = b"\r\n\r\n--%s\r\n" + nested(2)
    assert check((header + inner) % (b"x" * 20, b"x" * 20)) == ""
    assert "deeper" in check((header + inner) % (b"x" * 20, b"x" * 20), nesting=2)
    assert check((header + inner) % (b"x" * 21, b"x" * 21)) == "a MIME boundary is longer than 20 octets"


def test_quoted_pairs_in_a_boundary_are_read() -> None:
    message = b'Content-Type: multipart/mixed; boundary="a\\"b"\r\n\r\n--a"b  \r\n'
    assert "deeper" in check(message + nested(3))


@pytest.mark.parametrize("before", [b"", b"boundary=a; "])
@pytest.mark.parametrize(
    "star", [b"boundary*=''b", b"boundary*0=b", b"boundary*0*=''b", b"boundary*1=b", b"\x0bBoundary*=b"]
)
def test_a_boundary_in_pieces_is_refused_also_beside_a_whole_one(before: bytes, star: bytes) -> None:
    assert "RFC 2231" in check(b"Content-Type: multipart/mixed; " + before + star + b"\r\n\r\n")


@pytest.mark.parametrize(
    "odd",
    [
        b"Content-Type\x0b: multipart/x; boundary=c",
        b"Content-Type\r\n : multipart/x; boundary=c",
        b"\xa0Content-Type: multipart/x; boundary=c",
        b"Content-Type: (c) multipart/x; boundary=c",
        b"Content-Type: multipart /x; boundary=c",
        b"Content-Type: multipart/x; \x0bboundary=c",
        b"Content-Type: multipart/x; boundary=c (d)",
    ],
)
def test_what_only_some_readers_take_for_a_multipart_is_bounded_as_well(odd: bytes) -> None:
    top = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + odd + b"\r\n\r\n--c\r\n"
    assert check(top + nested(1)) == ""
    assert "deeper" in check(top + nested(2))


PLAIN = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def test_parts_of_the_limit_are_taken_and_one_more_is_not() -> None:
    assert PARTS == 100_000
    assert check(PLAIN + b"--b\r\n" * PARTS) == ""
    assert check(PLAIN + b"--b\r\n" * (PARTS + 1)) == f"the message has more than {PARTS} MIME parts"


@pytest.mark.parametrize("line", [b"--b\r\n", b"--b\r\n\r\n", b"--\r\n", b"--b \x0b\r\n", b"--b--\r\n--b\r\n"])
def test_the_work_is_bounded_whatever_the_length(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.rfc.mime.structure.DASHES", 20_000)
    first, second = PLAIN + line * 25_000, PLAIN + line * 100_000
    assert steps(lambda: check(second)) <= 1.01 * steps(lambda: check(first))


def _empty_parts(size: int) -> Callable[[], object]:
    content = PLAIN + b"--b\r\n\r\n" * size
    return lambda: check(content)


def test_the_work_grows_with_the_length_alone() -> None:
    assert steps(_empty_parts(8000)) < 4.1 * steps(_empty_parts(2000))


def test_a_boundary_in_pieces_is_refused() -> None:
    assert "RFC 2231" in check(b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n")


def test_a_part_whose_header_has_no_end_is_nested_all_the_same() -> None:
    parts = [b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n--b0\r\n"]
    parts += [
        b"A: b\r\n--odd\r\nContent-Type: multipart/mixed; boundary=b%d\r\n--b%d\r\n" % (n, n) for n in range(1, 4)
    ]
    assert check(b"".join(parts), nesting=4) == ""
    assert check(b"".join(parts), nesting=3) != ""


def test_a_multipart_ends_with_the_part_it_is_in() -> None:
    top = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    unclosed = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n"
    assert check(top + unclosed + b"--c\r\n" + nested(2)) != ""
    assert check(top + unclosed + b"--b\r\n\r\ntext\r\n--c\r\n" + nested(2)) == ""


def test_a_boundary_used_again_means_the_outer_one_once_the_inner_has_ended() -> None:
    part = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    assert check(part + part + b"--b--\r\n--b\r\n" + nested(2)) == ""
    assert check(part + part + b"--b--\r\n--b\r\n" + nested(3)) != ""
    assert check(part + part + b"--b--\r\n--b--\r\n--b\r\n" + nested(3)) == ""


def test_a_boundary_used_again_inside_counts_again() -> None:
    part = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    assert check(part * 3) == ""
    assert check(part * 4) != ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n--b\r\n",
        b"Subject: x\r\n\r\n" + nested(9),
        b"Content-Type: text/plain; boundary=b0\r\n\r\n" + nested(9),
        b"Content-Type: multipart/mixed\r\n\r\n" + nested(9),
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n" + nested(9),
        b'Content-Type: multipart/mixed; boundary="unclosed\r\n\r\n',
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/rfc822",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b",
        b"Content-Type: message/delivery-status\r\n\r\n" + nested(9),
    ],
)
def test_what_holds_no_parts_is_fine(content: bytes) -> None:
    assert check(content) == ""


def test_memory_views_and_mapped_files_are_read_alike() -> None:
    for depth in (3, 4):
        content = nested(depth)
        expected = check(content)
        assert check(content, buffer=memoryview(content)) == expected
        assert check(content, buffer=bytearray(content)) == expected
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                assert check(content, buffer=mapped) == expected
