"""Opens a whole message: the one strict way to verify and to decrypt.

Layers are taken off from the outside in (RFC 2634 §1.1 allows three), and only where a layer is the whole of what is
there. A signed or encrypted part beside others is never touched: decrypting it would put its plaintext into a frame
that an attacker chose (EFAIL), and verifying it would lend its signature to the rest (Johnny). What counts is the
octets: the micalg and smime-type of a header decide nothing.

Nothing of an envelope is here before `decrypt` has checked its tag.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

from mta.errors import SmimeError, SmimeUnsupported
from mta.model.message import HeaderBlock
from mta.model.opened import Fault, Layer, OpenedMessage, ProtectedHeader
from mta.model.smime import SignedOutcome
from mta.rfc.mime.content_type import read_encoding
from mta.rfc.mime.entity import AMBIGUITIES, IDENTITY, Anatomy, Entity, scan_entity
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from mta.rfc.mime.structure import StructureError
from mta.rfc.smime.closed import is_closed
from mta.rfc.smime.compressed import decompress
from mta.rfc.smime.decrypt import DecryptionKey, decrypt
from mta.rfc.smime.kind import SIGNATURE_TYPES, Kind, kind_of
from mta.rfc.smime.protect import differing, is_structural, protected_header, restored
from mta.rfc.smime.verify import verify_signed_data

MAX_LAYERS = 6
_FROM_TOKENS = 1000
_VERSION = b"MIME-Version: 1.0\r\n"


def open_message(
    raw: bytes,
    keys: Sequence[DecryptionKey] = (),
    block: HeaderBlock | None = None,
    *,
    known: Sequence[bytes] = (),
) -> OpenedMessage:
    """Whatever can be found out of `raw`, a whole message; `block` is its header if that was found already.

    `known` are certificates (DER) in which a signer is looked for whose own does not travel with the message.
    Never raises for what a message does wrong: that is data.
    """
    outside = scan_header(raw, len(raw)) if block is None else block
    opening = _Opening(raw, outside, keys, known)
    fault, reason, closed = Fault.NONE, "", False
    try:
        while opening.take_off_layer():
            pass
        closed = any(layer.signed for layer in opening.layers) and is_closed(opening.entity, opening.block)
    except _Stop as stop:
        fault, reason = stop.fault, str(stop)
    except StructureError as problem:
        fault, reason = Fault.MALFORMED, str(problem)
    header = opening.header
    return OpenedMessage(
        layers=tuple(opening.layers),
        fault=fault,
        reason=reason,
        payload=opening.entity if opening.layers else b"",
        decrypted=opening.decrypted,
        header=header,
        root=opening.root,
        author=parse_from(opening.root, _FROM_TOKENS) if opening.root is not None else None,
        differing=differing(header, outside),
        closed=closed,
    )


def decrypted_message(raw: bytes, opened: OpenedMessage, *, trust_author: bool, block: HeaderBlock) -> bytes:
    """The message with its encryption taken off: its own header around the entity that was inside.

    Signatures inside stay on. A header that was protected comes back as it was (RFC 9788 §4); its From only if
    `trust_author`, because hosts on the way have judged the one outside (§4.4).
    """
    assert opened.decrypted is not None
    inside = scan_header(opened.decrypted, len(opened.decrypted))
    if opened.root is not None:
        keep = frozenset() if trust_author else frozenset({b"from"})
        lines = list(restored(block, opened.root, keep=keep))
    else:
        lines = [_line(raw[f.start : f.end]) for f in block.fields if not is_structural(f.name)]
    content = [_line(inside.raw[f.start : f.end]) for f in inside.fields if f.name.startswith(b"content-")]
    return b"".join((*lines, _VERSION, *content, b"\r\n", opened.decrypted[inside.body_start :]))


class _Stop(ValueError):
    """No further layer can be taken off."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(slots=True)
class _Opening:
    """The entity in view, with its header; what was outside of it is in `layers`."""

    entity: bytes
    block: HeaderBlock
    keys: Sequence[DecryptionKey]
    known: Sequence[bytes]
    layers: list[Layer] = field(default_factory=list)
    decrypted: bytes | None = None
    unpacked: bool = False
    header: ProtectedHeader = field(default_factory=ProtectedHeader)
    root: HeaderBlock | None = None  # where that was found

    def take_off_layer(self) -> bool:
        """Whether there was one. Raises _Stop for one that cannot be taken off."""
        kind = kind_of(self.block, self.entity)
        if kind in (Kind.SIGNED, Kind.OPAQUE, Kind.ENCRYPTED) and len(self.layers) >= MAX_LAYERS:
            raise _Stop(Fault.UNSUPPORTED, f"more than {MAX_LAYERS} layers")
        if kind is Kind.SIGNED:
            self._take_off_signature(*self._two_parts())
        elif kind is Kind.OPAQUE:
            self._refuse_doubtful(scan_entity(self.entity, self.block, outside_only=True))
            return self._take_off_signed_data(_decoded(self.entity, self.block))
        elif kind is Kind.ENCRYPTED:
            self._take_off_envelope(_decoded(self.entity, self.block))
        elif kind is Kind.COMPRESSED:
            self._unpack(_decoded(self.entity, self.block))
        elif kind is Kind.UNREAD:
            raise _Stop(Fault.UNSUPPORTED, "CMS of a type that is neither signed nor encrypted to anybody")
        else:
            return False
        return True

    def _two_parts(self) -> tuple[bytes, bytes]:
        """What a multipart/signed signs, to the octet, and the signature (RFC 1847 §2.1)."""
        if self.layers and b"\r\n" not in self.entity:  # the other side's local line ends, not those it signed
            self.entity = self.entity.replace(b"\n", b"\r\n")
            self.block = scan_header(self.entity, len(self.entity))
        anatomy = scan_entity(self.entity, self.block, outside_only=True)
        self._refuse_doubtful(anatomy)
        parts = anatomy.root.parts
        if len(parts) != 2:
            raise _Stop(Fault.MALFORMED, f"a multipart/signed of {len(parts)} parts: it has two")
        if parts[1].content_type.essence not in SIGNATURE_TYPES:
            raise _Stop(Fault.MALFORMED, f"a signature of type {parts[1].content_type.essence}")
        signed, signature = parts
        self._refuse_doubtful(scan_entity(self.entity[signature.start : signature.end]))
        return self.entity[signed.start : signed.end], self._signature(signature)

    def _refuse_doubtful(self, anatomy: Anatomy) -> None:
        """What one reader shows as signed, another must show, too."""
        # inside an envelope lines may end in LF (and mixed: what openssl makes of a signed text)
        words = [word for word in anatomy.ambiguities if word != "bare-lf"]
        if words:
            raise _Stop(Fault.MALFORMED, "; ".join(AMBIGUITIES[word] for word in words))

    def _signature(self, part: Entity) -> bytes:
        return _decoded(self.entity[part.start : part.end], part.header)

    def _take_off_signature(self, signed: bytes, signature: bytes) -> None:
        self.layers.append(Layer(signed=self._verified(signature, signed)))
        self._see(signed)

    def _take_off_signed_data(self, der: bytes) -> bool:
        outcome = self._verified(der, None)
        if outcome.content is None and not outcome.signers:  # RFC 8551 §3.8: certificates, and no message
            return False
        self.layers.append(Layer(signed=outcome))
        if outcome.content is None:
            raise _Stop(Fault.MALFORMED, outcome.reason or "signed data without a content")
        self._go_inside(outcome.content, outcome.content_type)
        return True

    def _take_off_envelope(self, der: bytes) -> None:
        try:
            outcome = decrypt(der, self.keys)
        except SmimeUnsupported as error:
            raise _Stop(Fault.UNSUPPORTED, str(error)) from None
        except SmimeError as error:
            raise _Stop(Fault.MALFORMED, str(error)) from None
        self.layers.append(Layer(envelope=outcome))
        if outcome.content is None:
            raise _Stop(Fault.LOCKED, outcome.reason)
        self._go_inside(outcome.content, outcome.content_type)
        self.decrypted = outcome.content

    def _unpack(self, der: bytes) -> None:
        """RFC 3274: no layer that proves or hides anything. Once is enough, and what was decrypted is told unpacked."""
        if self.unpacked:
            raise _Stop(Fault.UNSUPPORTED, "it is compressed more than once")
        try:
            content = decompress(der)
        except SmimeError as error:
            raise _Stop(Fault.MALFORMED, str(error)) from None
        self.unpacked = True
        if self.decrypted is self.entity:
            self.decrypted = content
        self._see(content)

    def _verified(self, der: bytes, detached: bytes | None) -> SignedOutcome:
        try:
            return verify_signed_data(der, detached, self.known)
        except SmimeError as error:
            raise _Stop(Fault.MALFORMED, str(error)) from None

    def _go_inside(self, content: bytes, content_type: str) -> None:
        if content_type != "data":  # RFC 8551 §2.4.1: what S/MIME wraps is a MIME entity, of the type data
            raise _Stop(Fault.UNSUPPORTED, f"it holds {content_type}, which is no MIME entity")
        self._see(content)

    def _see(self, entity: bytes) -> None:
        """The protected header of a wrapped message stands further out than the root of what is innermost."""
        self.entity, self.block = entity, scan_header(entity, len(entity))
        if self.root is None and self.layers:
            self.header = protected_header(self.block)
            self.root = self.block if self.header.intent else None


def _decoded(entity: bytes, block: HeaderBlock) -> bytes:
    """The octets of an entity's body (RFC 2045 §6)."""
    encodings = block.values(b"content-transfer-encoding")
    if len(encodings) > 1 or block.count(b"content-type") > 1:
        raise _Stop(Fault.MALFORMED, AMBIGUITIES["duplicate-encoding"])
    encoding = read_encoding(encodings[0]) if encodings else "7bit"
    body = memoryview(entity)[block.body_start :]
    try:
        if encoding == "base64":
            return binascii.a2b_base64(body)
    except binascii.Error as error:
        raise _Stop(Fault.MALFORMED, f"its base64 is broken: {error}") from None
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding not in IDENTITY:
        raise _Stop(Fault.MALFORMED, AMBIGUITIES["unknown-encoding"])
    return bytes(body)


def _line(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\r\n"
