"""The policy of a protected file, and what binds it to the content key.

The policy travels as base64 of JSON, and that *text* is what everything is bound to: it is never written anew. The
binding is an HMAC under the content key's share, so it proves nothing against who has opened the file once and may
write a wider policy; the key server pins the policy to the wrapped key for that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mta.errors import JsonError, TdfError
from mta.rfc.jose.base64url import decode_padded
from mta.rfc.json.read import read_object

MAX_POLICY = 1024 * 1024  # octets of base64
_MAX_LIST = 10_000
_MAX_WORD = 2048


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may read: addresses, and attributes (`https://NAMESPACE/attr/NAME/value/VALUE`).

    `uuid` is nil for every file of some writers: nothing may be looked up by it alone.
    """

    uuid: UUID
    readers: tuple[str, ...]
    attributes: tuple[str, ...] = ()


def write_policy(policy: Policy) -> str:
    """The policy's text, as it stands in the manifest and is bound. Raises TdfError for one that nobody would read."""
    if max(len(policy.readers), len(policy.attributes)) > _MAX_LIST:
        raise TdfError(f"a policy names at most {_MAX_LIST} readers and as many attributes")
    attributes = [{"attribute": attribute} for attribute in policy.attributes]
    value = {"uuid": str(policy.uuid), "body": {"dataAttributes": attributes, "dissem": list(policy.readers)}}
    text = base64.b64encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()).decode("ascii")
    if len(text) > MAX_POLICY:
        raise TdfError(f"a policy of {len(text)} characters, nobody reads more than {MAX_POLICY}")
    return text


def read_policy(text: str) -> Policy:
    """What the policy's text says; lists that are null or missing are empty. Raises TdfError."""
    if len(text) > MAX_POLICY:
        raise TdfError(f"a policy of {len(text)} characters, at most {MAX_POLICY} are read")
    try:
        value = read_object(decode_padded(text), MAX_POLICY)
        uuid = UUID(str(value.get("uuid")))
    except (ValueError, JsonError) as error:
        raise TdfError(f"the policy cannot be read: {error}") from None
    body = value.get("body")
    if not isinstance(body, dict):
        raise TdfError("the policy has no body")
    attributes = [
        entry.get("attribute") if isinstance(entry, dict) else entry for entry in _list(body, "dataAttributes")
    ]
    return Policy(uuid, _words(_list(body, "dissem")), _words(attributes))


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name) or []
    if not isinstance(value, list) or len(value) > _MAX_LIST:
        raise TdfError(f"the policy's {name} is no list of at most {_MAX_LIST}")
    return value


def _words(values: Sequence[Any]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str) or len(value) > _MAX_WORD:
            raise TdfError("the policy names a reader or an attribute that is no text")
    return tuple(values)


def policy_digest(text: str) -> bytes:
    """SHA-256 of the policy's text: what the vault pins and the second share is bound to."""
    return hashlib.sha256(text.encode("utf-8")).digest()


def bind(share: bytes, text: str) -> str:
    """The binding's `hash`: base64 of the hexadecimal HMAC-SHA256, as all readers want it in every version."""
    return base64.b64encode(hmac.digest(share, text.encode("utf-8"), "sha256").hex().encode()).decode("ascii")


def is_bound(share: bytes, text: str, binding: bytes) -> bool:
    """Whether `binding` (the decoded `hash`, 32 octets or their hexadecimal text) binds the policy to the share."""
    mac = hmac.digest(share, text.encode("utf-8"), "sha256")
    return same(mac, binding)


def same(mac: bytes, other: bytes) -> bool:
    """Whether `other` is the MAC itself or its lower-case hexadecimal text: both spellings are about."""
    as_text = len(other) == 2 * len(mac)
    return hmac.compare_digest(mac.hex().encode() if as_text else mac, other)
