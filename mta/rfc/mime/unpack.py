"""Unpacks what arrives compressed from strangers: gzip (RFC 1952) or zip, one member, within bounds. And packs.

Nobody's report is more than a hundred times smaller when packed; a bomb is.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib

from mta.errors import MtaError

MAX_OCTETS = 10 * 1024 * 1024
MAX_RATIO = 100
_FREE = 64 * 1024  # octets for which the ratio does not matter
_PIECE = 64 * 1024
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_PACKED = (_GZIP, _ZIP, b"BZh", b"\xfd7zXZ\0", b"(\xb5/\xfd", b"7z\xbc\xaf")


class UnpackError(MtaError):
    """What cannot, or must not, be unpacked; says why."""


def unpack(data: bytes, most: int = MAX_OCTETS) -> bytes:
    """The content of a gzip or zip file, or `data` itself if it is neither. Raises UnpackError."""
    limit = min(most, max(_FREE, MAX_RATIO * len(data)))
    if data.startswith(_GZIP):
        content = _gunzip(data, limit)
    elif data.startswith(_ZIP):
        content = _unzip(data, limit)
    elif len(data) > most:
        raise UnpackError(f"it is larger than {most} octets")
    else:
        return data
    if content.startswith(_PACKED):
        raise UnpackError("there is an archive in the archive")
    return content


def pack(data: bytes) -> bytes:
    """A gzip file of `data`, not smaller than readers with our bounds believe."""
    for level in (6, 1, 0):
        packed = gzip.compress(data, level, mtime=0)
        if len(data) <= max(_FREE, MAX_RATIO * len(packed)):
            break
    return packed


def _gunzip(data: bytes, limit: int) -> bytes:
    machine = zlib.decompressobj(wbits=31)
    try:
        content = machine.decompress(data, limit + 1)
    except zlib.error as error:
        raise UnpackError(f"it cannot be unpacked: {error}") from error
    _bounded(len(content), limit)
    if not machine.eof:
        raise UnpackError("it is cut off")
    if machine.unused_data.strip(b"\0\r\n"):
        raise UnpackError("something follows the packed file")
    return content


def _unzip(data: bytes, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise UnpackError(f"the archive has {len(members)} files, not one")
            if members[0].flag_bits & 1:
                raise UnpackError("the archive is encrypted")
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UnpackError("the archive is packed in an unusual way")  # and could not be read piece by piece
            content = bytearray()
            with archive.open(members[0]) as file:
                while piece := file.read(_PIECE):
                    content += piece
                    _bounded(len(content), limit)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise UnpackError(f"it cannot be unpacked: {error}") from error
    return bytes(content)


def _bounded(size: int, limit: int) -> None:
    if size > limit:
        raise UnpackError(f"it unpacks to more than {limit} octets, or to more than {MAX_RATIO} times its size")
