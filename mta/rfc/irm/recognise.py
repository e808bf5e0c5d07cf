"""Recognises what others' rights management protects, by its octets and not by its name alone."""

from __future__ import annotations

import mmap
import re
import struct
import zlib

from mta.model.foreign import Foreign
from mta.rfc.irm.compound import MAGIC, Compound, CompoundError
from mta.rfc.irm.licence import Licence, read_licence
from mta.rfc.mime.detach import Part, leaves

RPMSG = bytes.fromhex("76e80460c411e386")  # MS-OXORMMS §2.2.4: message.rpmsg
PFILE = b".pfile"
_RPMSG_TYPE = "application/x-microsoft-rpmsg-message"
_BLOCK = 0x0FA0
_MOST_UNPACKED = 64 << 20  # octets
_PARTS = 10_000
_HINT = re.compile(
    rb"rpmsg|\.pfile|LnBmaWxl|dugEYMQR4|0M8R4KGxG|" + b"|".join(map(re.escape, (RPMSG, MAGIC))), re.IGNORECASE
)


def may_hold(content: bytes | mmap.mmap) -> bool:
    """Whether a message could hold protected parts at all: one search, so that others cost no more."""
    return _HINT.search(content) is not None


def find_foreign(message: bytes) -> tuple[Foreign, ...]:
    """The protected parts of a message, attached messages included. Bounded; never raises."""
    if not may_hold(message):
        return ()
    parts = (recognise(part) for part in leaves(message, _PARTS))
    return tuple(foreign for foreign in parts if foreign is not None)


def recognise(part: Part) -> Foreign | None:
    """What a part is, if rights management of others protects it."""
    data = part.data
    if data.startswith(RPMSG) or part.media_type == _RPMSG_TYPE:
        return _told("rpmsg", part, _licence_of(_unpacked(data)) or Licence())
    if data.startswith(PFILE):
        return _told("pfile", part, read_licence(data))
    if data.startswith(MAGIC):
        licence = _licence_of(data)
        return _told("office", part, licence) if licence is not None else None
    return None


def _told(kind: str, part: Part, licence: Licence) -> Foreign:
    name = "".join(sign if sign.isprintable() else "?" for sign in part.name[:200])
    return Foreign(kind, name, licence.owner, licence.server, licence.content_id)


def _unpacked(data: bytes) -> bytes:
    """The compound file in a message.rpmsg: blocks of one zlib stream, each behind its mark and two sizes."""
    stream, position, made = zlib.decompressobj(), len(RPMSG), bytearray()
    try:
        while position + 12 <= len(data) and len(made) < _MOST_UNPACKED:
            mark, _, packed = struct.unpack_from("<III", data, position)
            if mark != _BLOCK or packed > len(data):
                break
            made += stream.decompress(data[position + 12 : position + 12 + packed], _MOST_UNPACKED - len(made))
            position += 12 + packed
    except zlib.error:
        pass  # what was read until here may hold the licence
    return bytes(made)


def _licence_of(data: bytes) -> Licence | None:
    """The licence of a compound file under IRM (MS-OFFCRYPTO §1.3.3); None for another one.

    A document under a mere password has data spaces, too, with a transform of another name.
    """
    try:
        compound = Compound(data)
        for path, number in compound.paths():
            spaces = len(path) == 4 and path[:2] == ("\x06DataSpaces", "TransformInfo")
            if spaces and path[2].startswith("DRM") and path[3] == "\x06Primary":
                return read_licence(compound.stream(number))
    except (CompoundError, struct.error):
        return None
    return None
