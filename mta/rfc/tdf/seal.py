"""Writes a protected file in one pass and constant memory, however long the payload is.

The wrapped key is handed in: which root key it is for, and with how many shares, is not known here. A content key and
a nonce serve one file and are never used again, also not when a file is sealed anew.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mta.errors import TdfError
from mta.rfc.json.canonical import canonical
from mta.rfc.tdf.assertion import FILE_ID, POLICY_ID, Assertion, write_assertion
from mta.rfc.tdf.manifest import MAX_SEGMENT, OVERHEAD, is_media_type
from mta.rfc.tdf.policy import bind
from mta.rfc.tdf.zip_read import MAX_MANIFEST
from mta.rfc.tdf.zip_write import PAYLOAD, Checksum, ContainerWriter

SEGMENT = 2 * 1024 * 1024  # octets, as the reference writer has it
POLICY_SCHEMA, FILE_SCHEMA = "urn:mta:policy:1", "urn:mta:file:1"
_KEY, _NONCE, _TAG = 32, 12, 16
_NONCES = 2**96


class Spelling(StrEnum):
    """How hashes are written: 4.3 in binary, 4.2 as hexadecimal text, which the oldest readers need."""

    V4_3 = "4.3"
    V4_2 = "4.2"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The content key for those who may ask for it: `url` of the key server, the root key's id, and the octets."""

    url: str
    kid: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealOrder:
    """All about one protected file but its payload.

    `policy` is the policy's text (policy.write_policy), `policy_token` our signature over it, or "". `statements` are
    further assertions to bind. `nonce` is 12 random octets: the first segment's, counted up from there.
    """

    content_key: bytes
    nonce: bytes
    policy: str
    key: WrappedKey
    name: str = ""
    mime_type: str = "application/octet-stream"
    policy_token: str = ""
    statements: tuple[Assertion, ...] = ()
    spelling: Spelling = Spelling.V4_3
    segment_size: int = SEGMENT

    def __post_init__(self) -> None:
        if len(self.content_key) != _KEY or len(self.nonce) != _NONCE:
            raise TdfError("a content key has 32 octets and a nonce 12")
        if not 0 < self.segment_size <= MAX_SEGMENT:
            raise TdfError(f"a segment has 1 to {MAX_SEGMENT} octets, not {self.segment_size}")
        if not is_file_name(self.name) or not is_media_type(self.mime_type):
            raise TdfError(f"{self.name!r} is no name of a file, or {self.mime_type!r} no type of one")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was written: octets of payload in the clear, and of the whole container."""

    size: int
    container_size: int
    segments: int


def is_file_name(name: str) -> bool:
    """Whether a name leads into no folder, hides nothing and fits; "" is no name, and taken."""
    return (
        len(name.encode("utf-8", "replace")) <= 255
        and name.isprintable()
        and not {"/", "\\"} & {*name}
        and name not in (".", "..")
    )


class Sealer:
    """Writes a protected file to `out`: `write` the payload in pieces of any size, then `close`.

    `size` is the payload's, if known: it spares small files ZIP64, and another size is an error. `checksum` is a CRC-32
    of zlib's shape: a faster one may be handed in, for it costs more than the encryption.
    """

    def __init__(
        self, out: BinaryIO, order: SealOrder, size: int | None = None, checksum: Checksum = zlib.crc32
    ) -> None:
        self._order = order
        self._cipher = AESGCM(order.content_key)
        self._nonce = int.from_bytes(order.nonce, "big")
        sealed = None if size is None else size + OVERHEAD * max(1, -(-size // order.segment_size))
        self._container = ContainerWriter(out, sealed, checksum)
        self._waiting = bytearray()
        self._buffer = bytearray()
        self._tags = bytearray()
        self._size = 0
        self._last = 0  # octets of the newest segment; all others are full

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to the payload."""
        full = self._order.segment_size
        view = memoryview(data)
        if self._waiting:
            taken = min(full - len(self._waiting), len(view))
            self._waiting += view[:taken]
            view = view[taken:]
            if len(self._waiting) < full:
                return
            self._segment(self._waiting)
            self._waiting = bytearray()
        whole = len(view) - len(view) % full
        for start in range(0, whole, full):
            self._segment(view[start : start + full])
        self._waiting += view[whole:]

    def close(self) -> Sealed:
        """Seal what waits and write what follows the payload. The sealer is of no use afterwards."""
        if self._waiting or not self._tags:  # an empty payload is one empty segment
            self._segment(self._waiting)
        size = self._container.close(self._manifest())
        return Sealed(self._size, size, self._count)

    @property
    def _count(self) -> int:
        return len(self._tags) // _TAG

    def _segment(self, data: bytearray | memoryview) -> None:
        length = len(data)
        if len(self._buffer) != length + OVERHEAD:
            self._buffer = bytearray(length + OVERHEAD)
        view = memoryview(self._buffer)
        nonce = ((self._nonce + self._count) % _NONCES).to_bytes(_NONCE, "big")
        view[:_NONCE] = nonce
        self._cipher.encrypt_into(nonce, data, None, view[_NONCE:])
        self._container.write(view)
        self._tags += view[-_TAG:]
        self._size += length
        self._last = length

    def _manifest(self) -> bytes:
        hexadecimal = self._order.spelling is Spelling.V4_2
        tags = bytes(self._tags)
        hashes = tags.hex().encode() if hexadecimal else tags
        body = _body(self._order, _integrity(self._order, hashes, self._count, self._last))
        body["assertions"] = [
            write_assertion(statement, self._order.content_key, hashes, hexadecimal)
            for statement in (*_own_statements(self._order, self._size, body), *self._order.statements)
        ]
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        if len(text) > MAX_MANIFEST:
            raise TdfError(
                f"the payload needs a manifest of {len(text)} octets, no reader takes more than {MAX_MANIFEST}"
            )
        return text


def seal(
    source: BinaryIO, out: BinaryIO, order: SealOrder, size: int | None = None, checksum: Checksum = zlib.crc32
) -> Sealed:
    """Seal what `source` gives until its end. `size` and `checksum` as for Sealer. Raises TdfError."""
    sealer = Sealer(out, order, size, checksum)
    room = memoryview(bytearray(order.segment_size if size is None else min(max(size, 1), order.segment_size)))
    while filled := _filled(source, room):
        sealer.write(room[:filled])
    return sealer.close()


def _filled(source: BinaryIO, room: memoryview) -> int:
    """How much of `room` the source filled: all of it, but at the end. A pipe gives less at a time."""
    filled = 0
    while filled < len(room):
        got = source.readinto(room[filled:])  # type: ignore[attr-defined]  # BinaryIO forgot it; all files have it
        if not got:
            break
        filled += got
    return filled


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _integrity(order: SealOrder, hashes: bytes, count: int, last: int) -> dict[str, Any]:
    """The segments under one signature. Each tells both its sizes: some readers know no defaults."""
    width = len(hashes) // count
    root = hmac.digest(order.content_key, hashes, "sha256")
    full = order.segment_size
    segments = [
        {
            "hash": _base64(hashes[number * width : (number + 1) * width]),
            "segmentSize": full if number < count - 1 else last,
            "encryptedSegmentSize": (full if number < count - 1 else last) + OVERHEAD,
        }
        for number in range(count)
    ]
    return {
        "rootSignature": {
            "alg": "HS256",
            "sig": _base64(root.hex().encode() if order.spelling is Spelling.V4_2 else root),
        },
        "segmentHashAlg": "GMAC",
        "segmentSizeDefault": full,
        "encryptedSegmentSizeDefault": full + OVERHEAD,
        "segments": segments,
    }


def _body(order: SealOrder, integrity: dict[str, Any]) -> dict[str, Any]:
    """The manifest without its assertions."""
    version = {"schemaVersion": "4.3.0"} if order.spelling is Spelling.V4_3 else {}  # without it readers expect 4.2
    return {
        **version,
        "payload": {
            "type": "reference",
            "url": PAYLOAD,
            "protocol": "zip",
            "isEncrypted": True,
            "mimeType": order.mime_type,
        },
        "encryptionInformation": {
            "type": "split",
            "policy": order.policy,
            "keyAccess": [_key_access(order)],
            "method": {"algorithm": "AES-256-GCM", "iv": "", "isStreamable": True},
            "integrityInformation": integrity,
        },
    }


def _key_access(order: SealOrder) -> dict[str, Any]:
    return {
        "type": "wrapped",
        "url": order.key.url,
        "protocol": "kas",
        "kid": order.key.kid,
        "schemaVersion": "1.0",
        "wrappedKey": _base64(order.key.wrapped),
        "policyBinding": {"alg": "HS256", "hash": bind(order.content_key, order.policy)},
    }


def _own_statements(order: SealOrder, size: int, body: dict[str, Any]) -> list[Assertion]:
    file = {"name": order.name, "mimeType": order.mime_type, "size": size, "manifest": manifest_digest(body)}
    own = [
        Assertion(FILE_ID, FILE_SCHEMA, canonical(file).decode("utf-8"), type="other", scope="payload", format="json")
    ]
    if order.policy_token:
        own.append(Assertion(POLICY_ID, POLICY_SCHEMA, order.policy_token))
    return own


def manifest_digest(body: Any) -> str:
    """SHA-256 of the canonical manifest without its assertions, in hexadecimal: so all of it is under the key."""
    bare = {name: value for name, value in body.items() if name != "assertions"}
    return hashlib.sha256(canonical(bare)).hexdigest()
