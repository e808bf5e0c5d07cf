"""Makes what was decrypted fit to travel on: in an envelope anything may stand, in SMTP it may not."""

from __future__ import annotations

import re

from mta.rfc.mime.entity import Anatomy, scan_entity
from mta.rfc.mime.seven_bit import SevenBitError, fits_lines, make_seven_bit, with_encoding
from mta.rfc.mime.structure import StructureError

_BARE_LF = re.compile(rb"(?<!\r)\n")
_LINE_ENDS = {"bare-lf", "bare-cr", "nul"}


def fit_for_smtp(message: bytes) -> bytes | None:
    """The message as every next hop takes it, or None if nobody can send it without changing what it means.

    Lines that end in LF alone get their CR (who encrypted it forgot RFC 8551 §3.1.1); binary and 8-bit parts are
    encoded. 8-bit parts that may not be touched, because a signature is on them, stay for hops with 8BITMIME.
    """
    try:
        anatomy = scan_entity(message)
        if "bare-lf" in anatomy.ambiguities:
            message = _BARE_LF.sub(b"\r\n", message)
            anatomy = scan_entity(message)
        return _encoded(message, anatomy)
    except StructureError:
        return None


def _encoded(message: bytes, anatomy: Anatomy) -> bytes | None:
    if _LINE_ENDS.intersection(anatomy.ambiguities):
        return None
    root = anatomy.root
    try:
        made = make_seven_bit(message, root, eight_bit_headers=True)
    except SevenBitError:
        clean = b"\0" not in message and message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r")
        return message if clean and fits_lines(message) else None
    header = message[: root.body]
    if made.encoding != root.encoding:
        header = with_encoding(root.header, root.body, made.encoding)
    return b"".join((header, *made.body))
