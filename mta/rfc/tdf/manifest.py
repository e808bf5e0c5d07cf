"""What the manifest of a protected file says, read in the spellings of all known writers.

Nothing in it is proven before the content key is there (`open.py`). The version is not even looked at: it is under no
key, and the spelling of a hash shows from its length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mta.errors import JsonError, TdfError, TdfUnsupported
from mta.rfc.jose.base64url import decode_padded
from mta.rfc.json.read import read_object
from mta.rfc.tdf.policy import MAX_POLICY
from mta.rfc.tdf.zip_read import MAX_MANIFEST
from mta.rfc.tdf.zip_write import PAYLOAD

OVERHEAD = 28  # octets around a segment: nonce before, tag behind
MAX_SEGMENT = 16 * 1024 * 1024  # octets; the memory that one segment may cost us (Go's readers take 4 MiB)
MAX_KEYS = 64
MAX_ASSERTIONS = 64
MAX_WRAPPED = 8192  # octets
SMALL_SEGMENT = 16 * 1024  # octets; the reference writer makes none smaller
_FEW_SEGMENTS = 1024  # that many may be smaller
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(?:;[ -~]{0,120})?", re.ASCII)
_HASH_SIZES = {"GMAC": (16, 32), "HS256": (32, 64)}  # raw, and as hexadecimal text


class Segment(NamedTuple):
    """One segment: its hash as it enters the root, and its sizes in the clear and in the payload."""

    hash: bytes
    size: int
    sealed_size: int


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """One place where (a share of) the content key is asked for. `wrapped` and `binding` are decoded."""

    type: str
    url: str
    kid: str
    wrapped: bytes
    binding: bytes
    sid: str = ""
    protocol: str = "kas"
    encrypted_metadata: str = ""
    ephemeral_key: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it was read. `body` is all of it, for what is hashed as a whole."""

    policy: str
    keys: tuple[KeyAccess, ...]
    root: bytes
    segment_hash: str  # GMAC or HS256
    segments: tuple[Segment, ...]
    mime_type: str
    assertions: tuple[Mapping[str, Any], ...]
    body: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Octets of what is sealed."""
        return sum(segment.size for segment in self.segments)


def read_manifest(text: bytes, payload_size: int) -> Manifest:
    """The manifest of a payload of that size. Raises TdfError, TdfUnsupported for what is in order and not known."""
    segments_at_most = payload_size // SMALL_SEGMENT + _FEW_SEGMENTS
    try:
        body = read_object(text, MAX_MANIFEST, 20_000 + 5 * segments_at_most)
    except JsonError as error:
        raise TdfError(f"the manifest cannot be read: {error}") from None
    payload = _part(body, "payload", "the payload")
    information = _part(body, "encryptionInformation", "the encryption")
    integrity = _part(information, "integrityInformation", "the integrity")
    _check_payload(payload)
    _check_method(information)
    segments = _segments(integrity)
    if len(segments) > segments_at_most:
        raise TdfError(f"{len(segments)} segments are too many for a payload of {payload_size} octets")
    if sum(segment.sealed_size for segment in segments) != payload_size:
        raise TdfError("the segments of the manifest do not fill the payload")
    return Manifest(
        policy=_text(information, "policy", MAX_POLICY),
        keys=_keys(information.get("keyAccess")),
        root=_root(integrity),
        segment_hash=_segment_hash(integrity),
        segments=segments,
        mime_type=_mime_type(payload),
        assertions=_assertions(body.get("assertions")),
        body=body,
    )


def _part(value: Mapping[str, object], name: str, what: str) -> dict[str, object]:
    part = value.get(name)
    if not isinstance(part, dict):
        raise TdfError(f"the manifest says nothing of {what} ({name})")
    return part


def _text(value: Mapping[str, Any], name: str, limit: int, optional: bool = False) -> str:
    text = value.get(name)
    if text is None and optional:
        return ""
    if not isinstance(text, str) or len(text) > limit:
        raise TdfError(f"the manifest's {name} is no text of at most {limit} characters")
    return text


def _mime_type(payload: Mapping[str, Any]) -> str:
    """The type that the writer names, where it is one: it stands in a header some day."""
    mime_type = _text(payload, "mimeType", 4096, optional=True)
    return mime_type if is_media_type(mime_type) else "application/octet-stream"


def is_media_type(text: str) -> bool:
    """Whether the text can be a Content-Type, parameters included."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def _octets(value: Mapping[str, object], name: str, limit: int) -> bytes:
    try:
        return decode_padded(_text(value, name, 2 * limit))
    except ValueError as error:
        raise TdfError(f"the manifest's {name} is no base64: {error}") from None


def _word(value: Mapping[str, object], name: str, default: str) -> str:
    """A word that is compared without regard to case, as other readers do."""
    return _text(value, name, 64, optional=True).upper() or default.upper()


def _check_payload(payload: Mapping[str, Any]) -> None:
    if payload.get("url") != PAYLOAD or _word(payload, "type", "reference") != "REFERENCE":
        raise TdfUnsupported("the manifest's payload lies elsewhere")
    if payload.get("isEncrypted", True) is not True:
        raise TdfUnsupported("the manifest calls the payload unencrypted")


def _check_method(information: Mapping[str, Any]) -> None:
    method = information.get("method")
    algorithm = method.get("algorithm") if isinstance(method, dict) else None
    if not isinstance(algorithm, str) or algorithm.upper() != "AES-256-GCM":
        raise TdfUnsupported("the payload is encrypted by something else than AES-256-GCM")
    if _word(information, "type", "split") != "SPLIT":
        raise TdfUnsupported("the content key is shared in a way that is not known here")


def _root(integrity: Mapping[str, object]) -> bytes:
    signature = _part(integrity, "rootSignature", "the root signature")
    # A GMAC root is made without any key: whoever cuts off segments writes it. Other readers have taken it.
    if _word(signature, "alg", "HS256") != "HS256":
        raise TdfUnsupported("the root signature is by something else than HS256")
    root = _octets(signature, "sig", 64)
    if len(root) not in _HASH_SIZES["HS256"]:
        raise TdfError("the root signature has a wrong length")
    return root


def _segment_hash(integrity: Mapping[str, Any]) -> str:
    name = _word(integrity, "segmentHashAlg", "")
    if name not in _HASH_SIZES:
        raise TdfUnsupported("the segments are hashed by something else than GMAC or HS256")
    return name


def _segments(integrity: Mapping[str, object]) -> tuple[Segment, ...]:
    values = integrity.get("segments")
    if not isinstance(values, list):
        raise TdfError("the manifest has no list of segments")
    sizes = _HASH_SIZES[_segment_hash(integrity)]
    defaults = integrity.get("segmentSizeDefault"), integrity.get("encryptedSegmentSizeDefault")
    segments = tuple(_segment(value, *defaults) for value in values)
    lengths = {len(segment.hash) for segment in segments}
    if len(lengths) > 1 or not lengths <= set(sizes):
        raise TdfError("the hashes of the segments are of a wrong length, or of several")
    return segments


def _segment(value: object, size_default: object, sealed_default: object) -> Segment:
    if not isinstance(value, dict):
        raise TdfError("a segment of the manifest is no object")
    size, sealed = value.get("segmentSize", size_default), value.get("encryptedSegmentSize", sealed_default)
    if type(size) is not int or type(sealed) is not int or not 0 <= size <= MAX_SEGMENT:
        raise TdfError(f"a segment has a size that is none, or above {MAX_SEGMENT} octets")
    if sealed != size + OVERHEAD:
        raise TdfError(f"a segment of {size} octets has {size + OVERHEAD} sealed, the manifest says {sealed}")
    return Segment(_octets(value, "hash", 64), size, sealed)


def _keys(values: Any) -> tuple[KeyAccess, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= MAX_KEYS:
        raise TdfError(f"the manifest has no list of 1 to {MAX_KEYS} key accesses")
    return tuple(read_key_access(value) for value in values)


def read_key_access(value: object) -> KeyAccess:
    """One key access object, of a manifest or of a request to the key server. Raises TdfError."""
    if not isinstance(value, dict):
        raise TdfError("a key access is no object")
    binding = value.get("policyBinding")
    if isinstance(binding, dict):  # older writers have the bare hash
        if _word(binding, "alg", "HS256") != "HS256":
            raise TdfUnsupported("the policy is bound by something else than HS256")
        binding = binding.get("hash")
    return KeyAccess(
        type=_text(value, "type", 64),
        url=_text(value, "url", 2048, optional=True),
        kid=_text(value, "kid", 256, optional=True),
        wrapped=_octets(value, "wrappedKey", MAX_WRAPPED),
        binding=_octets({"policyBinding": binding}, "policyBinding", 128),
        sid=_text(value, "sid", 256, optional=True),
        protocol=_text(value, "protocol", 64, optional=True) or "kas",
        encrypted_metadata=_text(value, "encryptedMetadata", 64 * 1024, optional=True),
        ephemeral_key=_text(value, "ephemeralPublicKey", 8192, optional=True),
    )


def _assertions(values: Any) -> tuple[Mapping[str, Any], ...]:
    values = values if values is not None else []
    if not isinstance(values, list) or len(values) > MAX_ASSERTIONS:
        raise TdfError(f"the manifest's assertions are no list of at most {MAX_ASSERTIONS}")
    if not all(isinstance(value, dict) and isinstance(value.get("id"), str) for value in values):
        raise TdfError("an assertion is no object, or has no id")
    if len({value["id"] for value in values}) != len(values):
        raise TdfError("two assertions have one id")
    return tuple(values)
