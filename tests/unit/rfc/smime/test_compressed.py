"""Compressed data are unpacked within bounds, once, and to their end."""

from __future__ import annotations

import os
import zlib

import pytest

from mta.errors import SmimeError
from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.compressed import LARGEST, LARGEST_RATIO, ZLIB, decompress
from tests.support.smime import ENTITY


def compressed(packed: bytes, kind: str = names.DATA, algorithm: str = ZLIB) -> bytes:
    inner = der.sequence(der.oid(kind), der.explicit(0, der.octet_string(packed)))
    body = der.sequence(der.integer(0), der.algorithm(algorithm), inner)
    return der.sequence(der.oid(names.COMPRESSED_DATA), der.explicit(0, body))


def test_what_was_compressed_is_unpacked() -> None:
    for content in (ENTITY, b"", os.urandom(100_000)):
        assert decompress(compressed(zlib.compress(content))) == content


def test_a_bomb_does_not_go_off() -> None:
    with pytest.raises(SmimeError, match="beyond all measure"):
        decompress(compressed(zlib.compress(bytes(LARGEST * 5))))
    with pytest.raises(SmimeError, match="beyond all measure"):
        decompress(compressed(zlib.compress(os.urandom(2000))), largest=1999)
    few = zlib.compress(bytes(50_000))
    assert len(few) * LARGEST_RATIO < 50_000
    with pytest.raises(SmimeError, match="beyond all measure"):
        decompress(compressed(few))


@pytest.mark.parametrize(
    "data",
    [
        compressed(b"junk"),
        compressed(zlib.compress(ENTITY)[:-1]),
        compressed(zlib.compress(ENTITY) + b"more"),
        compressed(zlib.compress(ENTITY) * 2),
        compressed(zlib.compress(ENTITY), kind=names.COMPRESSED_DATA),
        compressed(zlib.compress(ENTITY), algorithm="1.2.3"),
        der.sequence(der.oid(names.DATA), der.explicit(0, der.octet_string(ENTITY))),
    ],
)
def test_what_is_not_properly_compressed_is_refused(data: bytes) -> None:
    with pytest.raises(SmimeError):
        decompress(data)
