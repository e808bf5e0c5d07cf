"""Puts S/MIME around a whole message: RFC 8551 §3.3-3.5, RFC 1847 §2.1.

The Content-* fields and the body become an entity of their own; that is signed, encrypted, or first the one and then
the other. All other fields stay where they are, in their order and to the octet. The cryptography comes in as functions
from bytes to DER, so nothing here knows a key.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Literal

from mta.model.frozen import frozen
from mta.model.message import HeaderBlock, HeaderField
from mta.rfc.mime.entity import AMBIGUITIES, Anatomy, scan_entity
from mta.rfc.mime.header import scan_header
from mta.rfc.mime.seven_bit import Base64Writer, SevenBitError, base64_lines, make_seven_bit
from mta.rfc.mime.structure import StructureError
from mta.rfc.smime.algorithms import Pieces
from mta.rfc.smime.protect import confidential, hp_outer, protected_fields, with_intent

HeaderProtection = Literal["none", "signed", "confidential"]

# RFC 8551 §3.5.3.2: what the digest is called in `micalg`
_MICALG = {"sha1": "sha-1", "sha224": "sha-224", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}
_VERSION = b"MIME-Version: 1.0\r\n"
_PREAMBLE = b"This is a message with a cryptographic signature (S/MIME).\r\n"


@dataclass(frozen=True, slots=True)
class NotTransformable:
    """Why a message is neither signed nor encrypted: a word (of AMBIGUITIES, or of the encoding), and a text."""

    word: str
    text: str


@frozen
class Protection:
    """What is to be done. At least one of `sign` and `encrypt` is given.

    `sign` makes a SignedData of an entity, with the content inside unless it is `detached`; `digests` are those in it,
    as `sha256`. `encrypt` makes an EnvelopedData, or an AuthEnvelopedData if it is `authenticated`. Entities come in
    pieces, and so does the envelope: a large message is not moved from place to place. `random` gives so many random
    octets. `headers`: RFC 9788; `confidential` hides the subject where the message is encrypted.
    """

    random: Callable[[int], bytes]
    sign: Callable[[Pieces], bytes] | None = None
    encrypt: Callable[[Pieces], Iterable[bytes]] | None = None
    detached: bool = True
    digests: tuple[str, ...] = ("sha256",)
    authenticated: bool = False
    headers: HeaderProtection = "none"


def protect_message(
    content: bytes, protection: Protection, block: HeaderBlock | None = None
) -> bytes | NotTransformable:
    """The message `content` with its protection; `block` is its header if it was found already.

    A message that two readers could understand differently, or that cannot be made 7-bit, is left alone, with a reason:
    nobody can say what a signature over it would mean.
    """
    block = scan_header(content, len(content)) if block is None else block
    try:
        anatomy = scan_entity(content, block)
        if anatomy.ambiguities:
            word = anatomy.ambiguities[0]
            return NotTransformable(word, AMBIGUITIES[word])
        outer, entity = _take_apart(content, block, anatomy, protection)
    except (StructureError, SevenBitError) as problem:
        return NotTransformable(problem.word, str(problem))
    if protection.sign is not None:
        entity = _signed(entity, protection.sign, protection)
    if protection.encrypt is None:
        return b"".join((outer, *entity))
    out = BytesIO()
    out.write(outer + _pkcs7_head("authEnveloped-data" if protection.authenticated else "enveloped-data"))
    lines = Base64Writer(out)
    for piece in protection.encrypt(entity):
        lines.write(piece)
    lines.close()
    return out.getvalue()


def _take_apart(content: bytes, block: HeaderBlock, anatomy: Anatomy, protection: Protection) -> tuple[bytes, Pieces]:
    """The header that stays outside (without its empty line), and the entity that is protected."""
    visible = protection.sign is not None and protection.detached and protection.encrypt is None
    seven = make_seven_bit(content, anatomy.root, eight_bit_headers=not visible)
    moved = [field for field in block.fields if field.name.startswith(b"content-")]
    recoded = seven.encoding if seven.encoding != anatomy.root.encoding else ""
    inner = [*_content_fields(block.raw, moved, recoded, protection), b"\r\n"]
    if protection.headers != "none":
        inner[:0] = _copied_fields(block, protection)
    if visible and not all(map(bytes.isascii, inner)):
        raise SevenBitError("eight-bit-header", "a header field that would be signed holds octets that are no ASCII")
    return _outer_fields(block, moved, protection), (b"".join(inner), *seven.body)


def _outer_fields(block: HeaderBlock, moved: Sequence[HeaderField], protection: Protection) -> bytes:
    """The header without what is moved inside, and with what says less outside.

    Nothing stands between two fields (it would be an `odd-header`), so those that stay as they are stay together.
    """
    raw = block.raw
    changes = [(field, b"") for field in moved]
    if protection.headers == "confidential" and protection.encrypt is not None:
        changes += [(field, confidential(field, raw) or b"") for field in protected_fields(block)]
        changes.sort(key=lambda change: change[0].start)
    pieces: list[bytes] = []
    at = 0
    for field, line in changes:
        pieces += (raw[at : field.start], line)
        at = field.end
    pieces.append(raw[at : block.fields[-1].end] if block.fields else b"")
    outer = b"".join(pieces)
    if outer and not outer.endswith(b"\n"):
        outer += b"\r\n"
    return outer if block.count(b"mime-version") else outer + _VERSION


def _copied_fields(block: HeaderBlock, protection: Protection) -> Iterator[bytes]:
    """RFC 9788 §5.2: the fields themselves, and HP-Outer for what stands outside of an encrypted message."""
    fields = protected_fields(block)
    for field in fields:
        line = block.raw[field.start : field.end]
        yield line if line.endswith(b"\n") else line + b"\r\n"
    if protection.encrypt is not None:
        for field in fields:
            hides = protection.headers == "confidential"
            line_outside = confidential(field, block.raw) if hides else block.raw[field.start : field.end]
            if line_outside is not None:
                yield hp_outer(line_outside)
    yield _VERSION


def _content_fields(raw: bytes, moved: Sequence[HeaderField], recoded: str, protection: Protection) -> Iterator[bytes]:
    """The Content-* fields as they go inside, in their order; `recoded` is a new encoding of the body."""
    intent = b"" if protection.headers == "none" else b"clear" if protection.encrypt is None else b"cipher"
    if b"content-type" not in [field.name for field in moved]:
        yield with_intent(_text_plain(recoded), intent) if intent else _text_plain(recoded)
    for field in moved:
        line = raw[field.start : field.end]
        line = line if line.endswith(b"\n") else line + b"\r\n"
        if field.name == b"content-type" and intent:
            yield with_intent(line, intent)
        elif field.name == b"content-transfer-encoding" and recoded:
            continue
        else:
            yield line
    if recoded:
        yield b"Content-Transfer-Encoding: " + recoded.encode("ascii") + b"\r\n"


def _text_plain(recoded: str) -> bytes:
    """What a message without a Content-Type is (RFC 2045 §5.2); an entity inside says it, readers stumble otherwise."""
    charset = b"unknown-8bit" if recoded else b"us-ascii"  # RFC 1428 §3
    return b"Content-Type: text/plain; charset=" + charset + b"\r\n"


def _signed(entity: Pieces, sign: Callable[[Pieces], bytes], protection: Protection) -> Pieces:
    if not protection.detached:
        return _pkcs7_head("signed-data"), base64_lines(sign(entity))
    boundary = b"----=_mta_" + hexlify(protection.random(16))
    delimiter = b"\r\n--" + boundary
    head = b"".join((_multipart_head(protection.digests), boundary, b'"\r\n\r\n', _PREAMBLE, delimiter, b"\r\n"))
    signature = b"".join((delimiter, b"\r\n", _SIGNATURE_HEAD, base64_lines(sign(entity)), delimiter, b"--\r\n"))
    return head, *entity, signature


@lru_cache(32)
def _multipart_head(digests: tuple[str, ...]) -> bytes:
    """RFC 8551 §3.5.3.2, up to the boundary; the quotes around the protocol are required."""
    micalg = ",".join(_MICALG.get(digest, "unknown") for digest in dict.fromkeys(digests)).encode("ascii")
    if b"," in micalg:
        micalg = b'"' + micalg + b'"'
    return (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
        b"\tmicalg=" + micalg + b'; boundary="'
    )


_SIGNATURE_HEAD = (
    b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7s"\r\n'
    b"Content-Description: S/MIME Cryptographic Signature\r\n\r\n"
)


@lru_cache(8)
def _pkcs7_head(kind: str) -> bytes:
    """RFC 8551 §3.2: type, file name and disposition as mail clients expect them."""
    words = "Signed" if kind == "signed-data" else "Encrypted"
    head = (
        f'Content-Type: application/pkcs7-mime; smime-type={kind}; name="smime.p7m"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="smime.p7m"\r\n'
        f"Content-Description: S/MIME {words} Message\r\n\r\n"
    )
    return head.encode("ascii")
