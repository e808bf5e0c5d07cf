"""Packed files of strangers: read within bounds, or refused with a reason."""

from __future__ import annotations

import gzip
import io
import os
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.unpack import MAX_OCTETS, UnpackError, pack, unpack
from tests.support.patience import cpu

TEXT = b"<feedback/>" * 500


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [TEXT, gzip.compress(TEXT), archive(("r.xml", TEXT)), gzip.compress(TEXT) + b"\0\r\n"],
    ids=["bare", "gzip", "zip", "padded"],
)
def test_one_file_is_unpacked_whatever_it_is_in(data: bytes) -> None:
    assert unpack(data) == TEXT


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(b" " * (MAX_OCTETS + 1)), "unpacks to more"),
        (gzip.compress(b" " * 1_000_000), "times its size"),
        (archive(("r.xml", b" " * 1_000_000)), "times its size"),
        (b" " * (MAX_OCTETS + 1), "larger"),
        (gzip.compress(TEXT)[:-9], "cut off"),
        (gzip.compress(TEXT) + gzip.compress(TEXT), "follows"),
        (b"\x1f\x8bnonsense", "cannot be unpacked"),
        (gzip.compress(gzip.compress(TEXT)), "archive in the archive"),
        (gzip.compress(archive(("r.xml", TEXT))), "archive in the archive"),
        (archive(("a.xml", TEXT), ("b.xml", TEXT)), "2 files"),
        (archive(("r.xml", TEXT), method=zipfile.ZIP_BZIP2), "unusual"),
        (archive(("r.xml", TEXT), method=zipfile.ZIP_LZMA), "unusual"),
        (archive(("r.xml", TEXT))[:-30], "cannot be unpacked"),
    ],
    ids=map(str, range(13)),
)
def test_what_is_not_unpacked(data: bytes, why: str) -> None:
    with pytest.raises(UnpackError, match=why):
        unpack(data)


@pytest.mark.parametrize(
    "data", [b"", TEXT, b" " * 5_000_000, os.urandom(1000)], ids=["none", "text", "same", "chance"]
)
def test_what_we_pack_can_be_unpacked_by_those_who_are_as_careful(data: bytes) -> None:
    assert unpack(pack(data)) == data
    assert len(pack(TEXT)) < len(TEXT) / 10


def test_a_bomb_costs_no_time() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    start = time.process_time()
    with pytest.raises(UnpackError):
        unpack(bomb)
    assert time.process_time() - start < cpu(0.5)


def test_a_zip_that_lies_about_its_size_is_still_bounded() -> None:
    data = bytearray(archive(("r.xml", os.urandom(1000) + b" " * 5_000_000)))
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")  # the size in the directory
    with pytest.raises(UnpackError):
        unpack(bytes(data))


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04", gzip.compress(b"x")[:12]]))
def test_noise_is_itself_or_a_declared_error(noise: bytes, beginning: bytes) -> None:
    try:
        found = unpack(beginning + noise)
    except UnpackError:
        return
    assert len(found) <= MAX_OCTETS
