"""Opens a protected file: first everything that its content key proves, then the payload, segment by segment.

The root signature covers the hashes of all segments in their order, so once it holds no segment can be cut off, moved
or doubled; each is then compared with its hash, and its own tag is checked, before any octet of it leaves.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mta.errors import JsonError, TdfError, TdfTampered
from mta.rfc.json.read import read_object
from mta.rfc.tdf.assertion import FILE_ID, POLICY_ID, Assertion, read_assertion
from mta.rfc.tdf.manifest import Manifest, Segment, is_media_type, read_manifest
from mta.rfc.tdf.policy import is_bound, same
from mta.rfc.tdf.seal import FILE_SCHEMA, POLICY_SCHEMA, is_file_name, manifest_digest
from mta.rfc.tdf.zip_read import read_container

_NONCE, _TAG, _KEY = 12, 16, 32
_MAX_FACTS = 4096


@dataclass(frozen=True, slots=True)
class Protected:
    """A protected file as it lies there; nothing of it is proven."""

    file: BinaryIO
    manifest: Manifest
    payload_start: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the writer says of the payload, under the content key. `name` is "" where it had none."""

    name: str
    mime_type: str
    size: int


def read_protected(file: BinaryIO) -> Protected:
    """The protected file in a seekable file. Raises TdfError, TdfUnsupported."""
    container = read_container(file)
    return Protected(file, read_manifest(container.manifest, container.payload_size), container.payload_start)


class Opened:
    """A protected file whose content key is at hand and holds. `facts` and `policy_token` are None and "" for files
    of other writers: their name, type and policy are under no key but the reader's.
    """

    def __init__(self, protected: Protected, content_key: bytes, assertions: tuple[Assertion, ...]) -> None:
        self._protected = protected
        self._key = content_key
        self._cipher = AESGCM(content_key)
        self.assertions = assertions
        self.facts = _facts(protected.manifest, assertions)
        self.policy_token = _statement(assertions, POLICY_ID, POLICY_SCHEMA)
        self.size = protected.manifest.size

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The payload from octet `start` up to `stop`, a segment at a time. Raises TdfTampered on the way."""
        for view in self._views(start, self.size if stop is None else stop):
            yield bytes(view)

    def copy_to(self, out: BinaryIO) -> int:
        """Write the payload to `out`; its size. Raises TdfTampered: what was written by then is sound, not whole."""
        for view in self._views(0, self.size):
            out.write(view)
        return self.size

    def _views(self, start: int, stop: int) -> Iterator[memoryview]:
        """Like `chunks`; a view holds until the next one is asked for."""
        manifest, position, offset = self._protected.manifest, 0, self._protected.payload_start
        sealed, clear = bytearray(), bytearray()
        for segment in manifest.segments:
            if position < stop and position + segment.size > start:
                if len(sealed) != segment.sealed_size:
                    sealed, clear = bytearray(segment.sealed_size), bytearray(segment.size)
                self._open(segment, offset, sealed, clear)
                yield memoryview(clear)[max(0, start - position) : stop - position]
            elif not segment.size:
                self._open(segment, offset, bytearray(segment.sealed_size), bytearray())  # nothing, and proven to be
            position += segment.size
            offset += segment.sealed_size

    def _open(self, segment: Segment, offset: int, sealed: bytearray, clear: bytearray) -> None:
        view = memoryview(sealed)
        _read(self._protected.file, offset, view)
        if self._protected.manifest.segment_hash == "GMAC":
            mac = bytes(view[-_TAG:])
        else:
            mac = hmac.digest(self._key, sealed, "sha256")
        if not same(mac, segment.hash):
            raise TdfTampered("a segment is another than the manifest says")
        try:
            self._cipher.decrypt_into(bytes(view[:_NONCE]), view[_NONCE:], None, clear)
        except InvalidTag:
            raise TdfTampered("a segment does not hold under the content key") from None


def _read(file: BinaryIO, offset: int, room: memoryview) -> None:
    file.seek(offset)
    filled = 0
    while filled < len(room):
        got = file.readinto(room[filled:])  # type: ignore[attr-defined]  # BinaryIO forgot it; all files have it
        if not got:
            raise TdfError("the file ends before what it announces")
        filled += got


def unlock(protected: Protected, content_key: bytes) -> Opened:
    """What the content key opens. Raises TdfTampered unless the root signature, the policy and the statements hold."""
    if len(content_key) != _KEY:
        raise TdfTampered("a content key has 32 octets")
    manifest = protected.manifest
    hashes = b"".join(segment.hash for segment in manifest.segments)
    if not same(hmac.digest(content_key, hashes, "sha256"), manifest.root):
        raise TdfTampered("the root signature does not hold under the content key")
    [*keys] = manifest.keys
    # With one key access its share is the content key. Several are each the business of the key server that opens it.
    if len(keys) == 1 and not is_bound(content_key, manifest.policy, keys[0].binding):
        raise TdfTampered("the policy is not bound to the content key")
    assertions = tuple(read_assertion(value, content_key, hashes) for value in manifest.assertions)
    return Opened(protected, content_key, assertions)


def _statement(assertions: tuple[Assertion, ...], id_: str, schema: str) -> str:
    """The value of our own statement; unverified ones say nothing."""
    for assertion in assertions:
        if assertion.id == id_ and assertion.schema == schema and assertion.verified:
            return assertion.value
    return ""


def _facts(manifest: Manifest, assertions: tuple[Assertion, ...]) -> FileFacts | None:
    text = _statement(assertions, FILE_ID, FILE_SCHEMA)
    if not text:
        return None
    try:
        value = read_object(text.encode("utf-8"), _MAX_FACTS)
        digest = manifest_digest(manifest.body)
    except (JsonError, UnicodeEncodeError) as error:
        raise TdfTampered(f"what the writer says of the file cannot be read: {error}") from None
    if value.get("manifest") != digest or value.get("size") != manifest.size:
        raise TdfTampered("the manifest is another than the writer's")
    name, mime_type = value.get("name"), value.get("mimeType")
    if not isinstance(name, str) or not isinstance(mime_type, str):
        raise TdfTampered("what the writer says of the file is no text")
    if not is_file_name(name) or not is_media_type(mime_type):  # the writer had the key; that makes nothing harmless
        raise TdfTampered(f"the writer gives a name or type that is none: {name[:80]!r}, {mime_type[:80]!r}")
    return FileFacts(name, mime_type, manifest.size)
