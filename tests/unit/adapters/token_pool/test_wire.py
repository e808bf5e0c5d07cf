"""Frames come out whole however they were cut on the way, and what is no frame is told."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.adapters.token_pool.wire import MOST, frames, pack, unpack
from mta.errors import LocalProtocolError

FRAMES = st.lists(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(), max_size=4), max_size=5)


@given(FRAMES, st.integers(1, 7))
def test_frames_come_out_whole_however_they_were_cut(sent: list[dict[str, object]], piece: int) -> None:
    stream, data, got = b"".join(map(pack, sent)), bytearray(), []
    for start in range(0, len(stream), piece):
        data += stream[start : start + piece]
        got += unpack(data)
    assert got == sent
    assert not data


@pytest.mark.parametrize(
    "data",
    [(MOST + 1).to_bytes(4), b"\0\0\0\2[]", b"\0\0\0\1{", b"\0\0\0\2\xff\xff"],
    ids=["long", "list", "cut", "utf8"],
)
def test_what_is_no_frame_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(bytearray(data))


def test_nothing_too_long_is_sent() -> None:
    with pytest.raises(LocalProtocolError):
        pack({"data": "x" * MOST})


def test_the_process_reads_until_its_parent_lets_go() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(pack({"n": 0}) + pack({"n": 1}))
        assert list(frames(theirs)) == [{"n": 0}, {"n": 1}]
