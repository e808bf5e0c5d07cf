"""Recognises mail that is protected already, from its header and the first octets of its body: RFC 8551 §3.9.

What a message says of itself is a claim, good enough to decide which way it goes; `message.py` then reads what is
really there.
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import Enum

from mta.model.message import HeaderBlock
from mta.rfc.mime.content_type import PLAIN_TEXT, ContentType, parse_content_type, read_encoding
from mta.rfc.mime.parameters import uncommented

SIGNATURE_TYPES = ("application/pkcs7-signature", "application/x-pkcs7-signature")
_PKCS7 = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_PGP = re.compile(rb"\s*+-----BEGIN PGP (SIGNED MESSAGE|MESSAGE)-----")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_LOOK = 400  # octets of a body

# The content types of RFC 5652 and RFC 5083 as they stand in a ContentInfo: tag, length and identifier
_TYPES = {
    bytes.fromhex("06092a864886f70d010702"): "opaque",
    bytes.fromhex("06092a864886f70d010703"): "encrypted",
    bytes.fromhex("060b2a864886f70d0109100117"): "encrypted",
    bytes.fromhex("060b2a864886f70d0109100109"): "compressed",
    bytes.fromhex("060b2a864886f70d0109100102"): "unread",  # authenticated data
    **{
        bytes.fromhex(f"06092a864886f70d01070{arc}"): "unread" for arc in (1, 4, 5, 6)
    },  # RFC 2315: data, both in one, …
}
_BY_SMIME_TYPE = {
    "signed-data": "opaque",
    "signed-receipt": "opaque",
    "enveloped-data": "encrypted",
    "authenveloped-data": "encrypted",
    "compressed-data": "compressed",
    "certs-only": "certificates",
}


class Kind(Enum):
    """What a message is on its outside."""

    PLAIN = "plain"
    SIGNED = "signed"  # multipart/signed, S/MIME
    OPAQUE = "opaque"  # SignedData with the content inside
    ENCRYPTED = "encrypted"
    COMPRESSED = "compressed"
    UNREAD = "unread"  # CMS of another type
    CERTIFICATES = "certificates"  # no message: certificates alone
    PGP_SIGNED = "pgp-signed"
    PGP_ENCRYPTED = "pgp-encrypted"
    PGP_INLINE = "pgp-inline"

    @property
    def signed(self) -> bool:
        """Whether it claims a signature that we can judge, without being opened."""
        return self in (Kind.SIGNED, Kind.OPAQUE)

    @property
    def smime(self) -> bool:
        """Whether it is an S/MIME layer."""
        return self in (Kind.SIGNED, Kind.OPAQUE, Kind.ENCRYPTED, Kind.COMPRESSED, Kind.CERTIFICATES, Kind.UNREAD)

    @property
    def protected(self) -> bool:
        """Whether somebody has signed or encrypted it already, in whatever way."""
        return self not in (Kind.PLAIN, Kind.CERTIFICATES, Kind.COMPRESSED, Kind.UNREAD)


def kind_of(block: HeaderBlock, beginning: bytes) -> Kind:
    """What a message, or an entity, is; `beginning` is its bytes from the header on, with a little of the body."""
    start = beginning[block.body_start : block.body_start + _LOOK]
    types = [parse_content_type(value) for value in block.values(b"content-type")] or [PLAIN_TEXT]
    kinds = [_kind(content_type, block, start) for content_type in types]
    return next((kind for kind in kinds if kind is not Kind.PLAIN), Kind.PLAIN)  # of two, some reader believes it


def _kind(content_type: ContentType, block: HeaderBlock, start: bytes) -> Kind:
    if content_type.type == "multipart":
        return _of_multipart(content_type)
    if content_type.essence in _PKCS7 or _is_named_p7m(content_type, block):
        return _of_pkcs7(content_type, block, start)
    if content_type.type == "text":
        match = _PGP.match(start)
        return Kind.PGP_INLINE if match else Kind.PLAIN
    return Kind.PLAIN


def _of_multipart(content_type: ContentType) -> Kind:
    protocols = [value.strip().lower() for value in content_type.all("protocol")]
    if content_type.subtype == "signed" and any(each in SIGNATURE_TYPES for each in protocols):
        return Kind.SIGNED
    if content_type.subtype == "signed" and "application/pgp-signature" in protocols:
        return Kind.PGP_SIGNED
    if content_type.subtype == "encrypted" and "application/pgp-encrypted" in protocols:
        return Kind.PGP_ENCRYPTED
    return Kind.PLAIN


def _of_pkcs7(content_type: ContentType, block: HeaderBlock, start: bytes) -> Kind:
    """By what the octets say; by what the header says only where they cannot be read."""
    encodings = block.values(b"content-transfer-encoding")
    encoding = read_encoding(encodings[0]) if encodings else "7bit"
    octets = start
    if encoding == "base64":
        letters = _NOT_BASE64.sub(b"", start)
        octets = base64.b64decode(letters[: len(letters) // 4 * 4])
    elif encoding == "quoted-printable":
        octets = binascii.a2b_qp(start)
    words = [value.strip().lower() for value in content_type.all("smime-type")]
    claimed = Kind(_BY_SMIME_TYPE.get(words[0] if words else "", "opaque"))
    for identifier, word in _TYPES.items():
        if identifier in octets[:24]:
            kind = Kind(word)
            return claimed if kind is Kind.OPAQUE and claimed is Kind.CERTIFICATES else kind
    return claimed


def _is_named_p7m(content_type: ContentType, block: HeaderBlock) -> bool:
    """RFC 8551 §3.9: a gateway may have made `application/octet-stream` of it; the file name is what is left."""
    if content_type.essence != "application/octet-stream":
        return False
    names = [*content_type.all("name")]
    for value in block.values(b"content-disposition"):  # RFC 2183 §2: it has parameters like those of a type
        names += parse_content_type(b"x/" + uncommented(value).lstrip(b" \t\r\n")).all("filename")
    return any(name.strip().lower().endswith((".p7m", ".p7z")) for name in names)
