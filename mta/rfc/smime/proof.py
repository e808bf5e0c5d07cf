"""Whether a message is inside what it claims on its outside to be: no contract is kept by a mere Content-Type."""

from __future__ import annotations

import base64
import binascii
import re

from mta.model.message import HeaderBlock
from mta.rfc.mime.entity import Entity, scan_entity
from mta.rfc.mime.structure import StructureError
from mta.rfc.smime.kind import Kind
from mta.rfc.smime.message import open_message

_ARMOUR = re.compile(
    rb"-----BEGIN PGP MESSAGE-----\r?\n(?:[!-9;-~]++: [^\n]*+\n)*\r?\n([A-Za-z0-9+/=]{8})[A-Za-z0-9+/=\s]*+"
    rb"-----END PGP MESSAGE-----\s*+"
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*+[=\s]*+")  # nothing behind it, which a decoder would not look at
_VERSION = re.compile(rb"\s*+Version:\s*+1\s*+", re.IGNORECASE)  # RFC 3156 §4
_SESSION_KEYS = (1, 3)  # RFC 9580 §5: packets that begin an encrypted message


def is_what_it_claims(raw: bytes, block: HeaderBlock, kind: Kind) -> bool:
    """Signed by somebody whose signature is right, or encrypted in a form that only a key opens.

    Whose signature, and to whom it is encrypted, is not asked. Signatures of PGP cannot be judged here: never proven.
    """
    if kind is Kind.PGP_ENCRYPTED:
        return _is_pgp_encrypted(raw, block)
    if not kind.smime:
        return False
    opened = open_message(raw, (), block)
    if not opened.layers:
        return False
    outermost = opened.layers[0]
    if kind is Kind.ENCRYPTED:
        return outermost.envelope is not None and bool(outermost.envelope.recipients) and _is_all_base64(raw, block)
    return outermost.signed is not None and outermost.signed.good


def _is_all_base64(raw: bytes, block: HeaderBlock) -> bool:
    """Whether nothing stands in clear beside the envelope, where a decoder of base64 would not look any more."""
    encodings = [value.strip().lower() for value in block.values(b"content-transfer-encoding")]
    return encodings != [b"base64"] or _BASE64.fullmatch(raw, block.body_start) is not None


def _is_pgp_encrypted(raw: bytes, block: HeaderBlock) -> bool:
    """RFC 3156 §4: two parts, and the second holds nothing but an encrypted message."""
    try:
        anatomy = scan_entity(raw, block)
    except StructureError:
        return False
    parts = anatomy.root.parts
    if anatomy.ambiguities or len(parts) != 2 or parts[0].content_type.essence != "application/pgp-encrypted":
        return False
    first, second = parts
    if _VERSION.fullmatch(raw, first.body, first.end) is None or not _nothing_follows(raw, anatomy.root):
        return False
    return _begins_with_session_key(raw, second)


def _nothing_follows(raw: bytes, root: Entity) -> bool:
    """Behind the last part; in front of the first one mail programs write for people what it is."""
    last = re.escape(root.content_type.get("boundary").encode("utf-8", "replace"))
    return re.compile(rb"\s*+--" + last + rb"--\s*+").fullmatch(raw, root.parts[-1].end) is not None


def _begins_with_session_key(raw: bytes, part: Entity) -> bool:
    match = _ARMOUR.fullmatch(raw[part.body : part.end].lstrip())
    if match is None:
        return False
    try:
        first = base64.b64decode(match[1], validate=True)[0]
    except (binascii.Error, IndexError):
        return False
    packet = first & 0x3F if first & 0x40 else first >> 2 & 0x0F  # RFC 9580 §4.2
    return bool(first & 0x80) and packet in _SESSION_KEYS
