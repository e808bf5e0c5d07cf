"""What a process asks of the operating system."""

from __future__ import annotations

import os
import resource
import threading

from hypothesis import given
from hypothesis import strategies as st

from mta.adapters.process import lines, raise_descriptors


@given(st.lists(st.binary(max_size=200).map(lambda raw: raw.replace(b"\n", b"")), max_size=20), st.integers(1, 50))
def test_lines_come_out_as_they_went_in_however_they_are_cut(wanted: list[bytes], size: int) -> None:
    reading, writing = os.pipe()
    whole = b"".join(line + b"\n" for line in wanted)

    def write() -> None:
        for start in range(0, len(whole), size):
            os.write(writing, whole[start : start + size])
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    assert list(lines(reading)) == wanted
    writer.join()
    os.close(reading)


def test_a_line_longer_than_a_pipe_comes_whole() -> None:
    reading, writing = os.pipe()
    text = b"x" * 300_000
    writer = threading.Thread(target=lambda: (os.write(writing, text + b"\nrest"), os.close(writing)))
    writer.start()
    assert list(lines(reading)) == [text], "what has no end is no line"
    writer.join()
    os.close(reading)


def test_descriptors_are_as_many_as_the_administrator_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        assert raise_descriptors() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
