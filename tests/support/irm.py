"""Mail and files as others' rights management makes them, with nothing secret inside (MS-CFB, MS-OXORMMS, PFILE)."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping

from mta.rfc.irm.compound import MAGIC
from mta.rfc.irm.recognise import RPMSG

SECTOR, MINI, END, FREE, FAT = 512, 64, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
LICENCE = """<?xml version="1.0"?><XrML version="1.2"><BODY type="Microsoft Rights Label">
<DISTRIBUTIONPOINT><OBJECT type="License-Acquisition-URL"><ID type="MS-GUID">{0F45FD50-383B-43EE-90A4-ED013CD0CFE5}</ID>
<NAME>DRM Server Cluster</NAME><ADDRESS type="URL">https://rms.fabrikam.example/_wmcs/licensing</ADDRESS></OBJECT>
</DISTRIBUTIONPOINT><WORK><OBJECT type="Microsoft Office Document"><ID type="MS-GUID">
{1DE7B0A2-9E5D-4D3C-8A11-0123456789AB}</ID></OBJECT><METADATA><OWNER><OBJECT><ID type="Windows">S-1-5</ID>
<NAME>carol@fabrikam.example</NAME></OBJECT></OWNER></METADATA></WORK></BODY></XrML>"""
CONTENT_ID = "1de7b0a2-9e5d-4d3c-8a11-0123456789ab"
TRANSFORM = ("\x06DataSpaces", "TransformInfo", "DRMTransform", "\x06Primary")


def compound(streams: Mapping[tuple[str, ...], bytes]) -> bytes:
    """A compound file with these streams by path."""
    fat: list[int] = [FAT]
    sectors: list[bytes] = [b""]

    def add(data: bytes) -> int:
        pieces = [data[at : at + SECTOR].ljust(SECTOR, b"\0") for at in range(0, len(data), SECTOR)]
        first = len(sectors)
        sectors.extend(pieces)
        fat.extend([*range(first + 1, first + len(pieces)), END] if pieces else [])
        return first if pieces else END

    entries: list[list[object]] = [["Root Entry", 5, FREE, FREE, 0, 0]]  # name, type, right, child, start, size
    mini, mini_fat, folders = bytearray(), list[int](), {(): 0}

    def hang(path: tuple[str, ...], entry: list[object]) -> None:
        above = entries[folders[path[:-1]]]
        entry[2], above[3] = above[3], len(entries)
        entries.append(entry)

    for path, data in streams.items():
        for depth in range(1, len(path)):
            if path[:depth] not in folders:
                hang(path[:depth], [path[depth - 1], 1, FREE, FREE, 0, 0])
                folders[path[:depth]] = len(entries) - 1
        if len(data) >= 4096:
            start = add(data)
        else:
            start, count = len(mini) // MINI, -(-len(data) // MINI)
            mini += data.ljust(count * MINI, b"\0")
            mini_fat += [*range(start + 1, start + count), END]
        hang(path, [path[-1], 2, FREE, FREE, start, len(data)])
    entries[0][4], entries[0][5] = add(bytes(mini)), len(mini)
    mini_at = add(b"".join(struct.pack("<I", one) for one in mini_fat).ljust(SECTOR, b"\xff"))
    directory = add(b"".join(map(_entry, entries)))
    table = b"".join(struct.pack("<I", one) for one in fat).ljust(SECTOR, b"\xff")
    assert len(table) == SECTOR, "larger than this writer knows"
    sectors[0] = table
    head = MAGIC + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, 1, directory, 0, 4096, mini_at, 1, END, 0)
    return head + struct.pack("<109I", 0, *[FREE] * 108) + b"".join(sectors)


def _entry(entry: list[object]) -> bytes:
    name, type_, right, child, start, size = entry
    wide = str(name).encode("utf-16-le")
    raw = wide.ljust(64, b"\0") + struct.pack("<HBB", len(wide) + 2, type_, 1)
    return raw + struct.pack("<III", FREE, right, child) + bytes(36) + struct.pack("<IQ", start, size)


def transform(licence: str = LICENCE, encoding: str = "utf-8") -> bytes:
    """The stream with the licence: a header of its own before it."""
    told = licence.encode(encoding)
    name = "{C73DFACD-061F-43B0-8B64-0C620D2A8B50}".encode("utf-16-le")
    head = struct.pack("<II", 8 + len(name), 1) + struct.pack("<I", len(name)) + name
    return head + struct.pack("<II", 4, len(told)) + told


def office(licence: str = LICENCE, encoding: str = "utf-8", name: str = "DRMEncryptedTransform") -> bytes:
    """A document under IRM."""
    path = (*TRANSFORM[:2], name, TRANSFORM[3])
    return compound({path: transform(licence, encoding), ("EncryptedPackage",): bytes(range(256)) * 40})


def rpmsg() -> bytes:
    """A message.rpmsg: blocks of one zlib stream."""
    whole = compound({TRANSFORM: transform(), ("\x09DRMContent",): b"x" * 9000})
    packer, out = zlib.compressobj(), RPMSG
    pieces = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
    for n, piece in enumerate(pieces):
        packed = packer.compress(piece) + packer.flush(zlib.Z_FINISH if n + 1 == len(pieces) else zlib.Z_SYNC_FLUSH)
        out += struct.pack("<III", 0x0FA0, len(piece), len(packed)) + packed
    return out


def pfile() -> bytes:
    """A protected file of any kind."""
    redirect = b"This file is protected. Open it with a reader that knows how."
    return b".pfile" + struct.pack("<II", 2, 1) + redirect + LICENCE.encode("utf-8") + b"\x07" * 2000


def mail(*parts: tuple[str, str, bytes]) -> bytes:
    """A message with these attachments: name, media type, octets."""
    text = "From: carol@elsewhere.example\r\nTo: bob@contoso.example\r\nSubject: plan\r\nMIME-Version: 1.0\r\n"
    text += 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
    for name, kind, data in parts:
        body = base64.encodebytes(data).decode().replace("\n", "\r\n")
        text += f'--b\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        text += f"Content-Transfer-Encoding: base64\r\n\r\n{body}"
    return (text + "--b--\r\n").encode()
