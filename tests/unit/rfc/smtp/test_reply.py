"""Replies are read piece by piece, within bounds, and come out fit for a log."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import RemoteProtocolError
from mta.model.reply import Reply
from mta.rfc.smtp.reply import MAX_LINE, MAX_LINES, ReplyReader

GOOD = [
    (b"250 ok\r\n", Reply(250, "", ("ok",))),
    (b"250\r\n", Reply(250, "", ("",))),
    (b"250 \r\n", Reply(250, "", ("",))),
    (b"250-one\r\n250 two\r\n", Reply(250, "", ("one", "two"))),
    (b"250-one\r\n250\r\n", Reply(250, "", ("one", ""))),
    (b"250 ok\n", Reply(250, "", ("ok",))),  # a bare LF may end a line
    (b"250 2.1.5 ok\r\n", Reply(250, "2.1.5", ("ok",))),
    (b"250 2.1.5\r\n", Reply(250, "2.1.5", ("",))),
    (b"550-5.7.1 no\r\n550 5.7.1 never\r\n", Reply(550, "5.7.1", ("no", "never"))),
    (b"550-5.7.1 no\r\n550 see 5.7.1 there\r\n", Reply(550, "5.7.1", ("no", "see 5.7.1 there"))),
    (b"550 5.7.1x no\r\n", Reply(550, "", ("5.7.1x no",))),
    (b"550 4.7.1 no\r\n", Reply(550, "", ("4.7.1 no",))),  # the class disagrees: mere text
    (b"354 3.0.0 go\r\n", Reply(354, "", ("3.0.0 go",))),
    (b"250 1.2.3.4 is you\r\n", Reply(250, "", ("1.2.3.4 is you",))),
    (b"550 5.1.1000 no\r\n", Reply(550, "", ("5.1.1000 no",))),
    (b"250 caf\xc3\xa9 \xff\r\n", Reply(250, "", ("café �",))),
    (b"250 a\rb\x00c\x1b[31m\r\n", Reply(250, "", ("a�b�c�[31m",))),
    (b"550 a\xc2\x85b\xe2\x80\xa8c\r\n", Reply(550, "", ("a�b�c",))),
]


@pytest.mark.parametrize(("wire", "reply"), GOOD)
def test_a_reply_is_read_at_once_and_octet_by_octet(wire: bytes, reply: Reply) -> None:
    assert ReplyReader().feed(wire) == [reply]
    reader = ReplyReader()
    assert [r for n in range(len(wire)) for r in reader.feed(wire[n : n + 1])] == [reply]
    assert not reader.pending


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"150 early\r\n",
        b"650 late\r\n",
        b"250-one\r\n251 two\r\n",
        b"\xb2\xb5\xb0 ok\r\n",
        b"250-" + b"x" * MAX_LINE,
        b"250 " + b"x" * MAX_LINE + b"\r\n",
        b"250-x\r\n" * (MAX_LINES + 1),
        (b"250-" + b"x" * 2000 + b"\r\n") * 40,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_garbage_is_the_peers_fault(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ReplyReader().feed(wire)


def test_a_reply_before_garbage_is_not_lost_and_the_reader_stays_broken() -> None:
    reader = ReplyReader()
    assert reader.feed(b"250 2.0.0 taken\r\ngarbage\r\n") == [Reply(250, "2.0.0", ("taken",))]
    assert reader.error is not None
    with pytest.raises(RemoteProtocolError):
        reader.feed(b"250 ok\r\n")


def test_a_line_at_the_limit_is_read_and_one_octet_more_is_not() -> None:
    longest = b"250 " + b"x" * (MAX_LINE - 6) + b"\r\n"
    assert len(longest) == MAX_LINE
    assert len(ReplyReader().feed(longest)) == 1
    with pytest.raises(RemoteProtocolError):
        ReplyReader().feed(b"250 x" + longest[4:])


def test_what_is_half_read_is_known() -> None:
    reader = ReplyReader()
    assert reader.feed(b"250-a\r\n") == []
    assert reader.pending
    assert len(reader.feed(b"250 b\r\n")) == 1
    assert not reader.pending


wire_soup = st.lists(
    st.sampled_from([b"250", b"354 go", b"-", b" ", b"\r\n", b"\n", b"\r", b"5.1.1", b"550 ", b"\x00", b"\xff", b"a"])
    | st.binary(max_size=5)
).map(b"".join)


@given(wire_soup, st.lists(st.integers(0, 80)))
def test_any_octets_give_replies_or_a_declared_error_however_they_are_cut(wire: bytes, cuts: list[int]) -> None:
    assert _read([wire]) == _read(_cut(wire, cuts)) == _read([wire[n : n + 1] for n in range(len(wire))])


def _cut(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    return [wire[a:b] for a, b in pairwise(places)]


def _read(pieces: list[bytes]) -> tuple[list[Reply], str]:
    reader, replies = ReplyReader(), []
    for piece in pieces:
        try:
            replies += reader.feed(piece)
        except RemoteProtocolError:
            break
    for reply in replies:
        assert not any(c in line for line in reply.text for c in "\r\n\0\x1b")
    return replies, str(reader.error)
