"""CompressedData (RFC 3274), read only: unpacked piece by piece, within bounds, and never twice."""

from __future__ import annotations

import zlib

from mta.errors import SmimeError
from mta.rfc.smime.algorithms import COMPRESSED_DATA, CONTENT_TYPES, DATA, read_algorithm
from mta.rfc.smime.ber import INTEGER, OID, SEQUENCE, read

ZLIB = "1.2.840.113549.1.9.16.3.8"
LARGEST = 10_000_000  # octets unpacked
LARGEST_RATIO = 100


def decompress(der: bytes, *, largest: int = LARGEST) -> bytes:
    """The content of a ContentInfo that is compressed data. Raises SmimeError where it is none, or grows too much."""
    oid, wrapped = read(der, SEQUENCE).only(OID, 0xA0)
    if oid.oid() != COMPRESSED_DATA:
        raise SmimeError(f"{CONTENT_TYPES.get(oid.oid(), oid.oid())} where compressed data were expected")
    _, algorithm, inner = wrapped.only(SEQUENCE)[0].only(INTEGER, SEQUENCE, SEQUENCE)
    if read_algorithm(algorithm).oid != ZLIB:
        raise SmimeError("a compression that is not known here")
    content_type, content = inner.only(OID, 0xA0)
    if content_type.oid() != DATA:
        raise SmimeError("compressed is something else than a message")
    return _inflated(content.parts(1)[0].octets(), largest)


def _inflated(packed: bytes, largest: int) -> bytes:
    most = min(largest, LARGEST_RATIO * len(packed))
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise SmimeError(f"compressed data that cannot be unpacked: {error}") from error
    if len(content) > most:
        raise SmimeError("compressed data that grow beyond all measure")
    if not unpacker.eof or unpacker.unused_data:
        raise SmimeError("compressed data that do not end where they should")
    return content
