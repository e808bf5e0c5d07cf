"""What is asked of the key server: bodies in both codecs, and the signed request token with the keys in it.

The token (SRT) is signed by a key that only DPoP makes known to us. Without it the signature proves nothing, and the
token is an envelope with times; with it, it must hold.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mta.errors import JoseError, JsonError, KasError, TdfError
from mta.rfc.jose.algorithms import PublicKey
from mta.rfc.jose.jws import ASYMMETRIC, read_jws, verify_jws
from mta.rfc.jose.jwt import LEEWAY, check_times, seconds
from mta.rfc.json.read import read_object
from mta.rfc.kas.proto import read_message, text
from mta.rfc.tdf.manifest import KeyAccess, read_key_access
from mta.rfc.tdf.policy import MAX_POLICY

MAX_BODY = 4 * 1024 * 1024  # octets, unpacked: a policy of the largest size stands twice in some clients' tokens
MAX_KEYS = 100  # in one request
LONGEST = 86_400.0  # seconds that a request may be good for: so long we remember that it was sent
JSON, PROTO = "application/json", "application/proto"
_MAX_ID = 256


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """One key that is asked for: `policy` is the policy's text; the ids come back with the answer."""

    policy_id: str
    policy: str
    key_id: str
    access: KeyAccess


@dataclass(frozen=True, slots=True)
class RewrapRequest:
    """A request as it was read. `verified` tells whether the token's signature is that of a known key.

    `legacy` wants the answer of the older protocol; `digest` is SHA-256 of the token, which no second request has up to
    epoch second `until`, when nobody takes it any more.
    """

    client_key: str
    keys: tuple[KeyRequest, ...]
    verified: bool
    legacy: bool
    digest: bytes
    until: float = 0.0


def unpacked(body: bytes, encoding: str, limit: int = MAX_BODY) -> bytes:
    """The body behind its Content-Encoding, of at most `limit` octets. Raises KasError."""
    if encoding.lower() in ("", "identity"):
        if len(body) > limit:
            raise KasError("resource_exhausted", f"a body of {len(body)} octets")
        return body
    if encoding.lower() != "gzip":
        raise KasError("unimplemented", f"a body in the encoding {encoding[:40]!r}")
    machine = zlib.decompressobj(wbits=31)
    try:
        data = machine.decompress(body, limit + 1)
    except zlib.error as error:
        raise KasError("invalid_argument", f"a body that is no gzip: {error}") from None
    if len(data) > limit:
        raise KasError("resource_exhausted", f"a body of more than {limit} octets when unpacked")
    if not machine.eof or machine.unused_data:
        raise KasError("invalid_argument", "a body that is cut off, or followed by something")
    return data


def read_rewrap(body: bytes, content_type: str) -> str:
    """The signed request token in a rewrap request. Raises KasError."""
    return _one_text(body, content_type, 1, "signedRequestToken", "signed_request_token")


def read_public_key(body: bytes, content_type: str) -> str:
    """The algorithm that a request for the public key names, such as `rsa:2048`; "" for any. Raises KasError."""
    return _one_text(body, content_type, 1, "algorithm")


def _one_text(body: bytes, content_type: str, number: int, *names: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == PROTO:
        return text(read_message(body).get(number, b""))
    if kind != JSON:
        raise KasError("unimplemented", f"a body of the type {kind[:60]!r}")
    value = _object(body or b"{}")
    for name in names:
        found = value.get(name)
        if isinstance(found, str):
            return found
        if found is not None:
            break
    else:
        return ""
    raise KasError("invalid_argument", f"{names[0]} is no text")


def _object(data: bytes) -> dict[str, Any]:
    try:
        return read_object(data, MAX_BODY)
    except JsonError as error:
        raise KasError("invalid_argument", str(error)) from None


def read_token(token: str, now: float, key: PublicKey | None, leeway: float = LEEWAY) -> RewrapRequest:
    """The request in a signed request token, whose signature must be `key`'s if one is known. Raises KasError."""
    try:
        jws = read_jws(token, MAX_BODY)
        if jws.algorithm not in ASYMMETRIC:
            raise JoseError("a request token must be signed")
        if key is not None:
            verify_jws(jws, key, ASYMMETRIC)
        claims = jws.claims()
        check_times(claims, now, leeway)
        if seconds(claims, "exp") > now + LONGEST:
            raise JoseError("the token is to hold for more than a day")
    except JoseError as error:
        raise KasError("invalid_argument", f"the request token: {error}") from None
    body = claims.get("requestBody")
    if not isinstance(body, str):
        raise KasError("invalid_argument", "the request token has no requestBody")
    try:
        value = _object(body.encode("utf-8"))
    except UnicodeEncodeError:
        raise KasError("invalid_argument", "the requestBody is no UTF-8") from None
    legacy = not isinstance(value.get("requests"), list)
    keys = _legacy_keys(value) if legacy else _keys(value["requests"])
    digest, until = hashlib.sha256(jws.signed).digest(), seconds(claims, "exp") + leeway
    return RewrapRequest(_text(value, "clientPublicKey", 8192), keys, key is not None, legacy, digest, until)


def _legacy_keys(value: Mapping[str, Any]) -> tuple[KeyRequest, ...]:
    """The older body: one key, and its policy beside it."""
    return (KeyRequest("policy", _text(value, "policy", MAX_POLICY), "kao-0", _access(value.get("keyAccess"))),)


def _keys(requests: list[object]) -> tuple[KeyRequest, ...]:
    keys: list[KeyRequest] = []
    for request in requests:
        policy = request.get("policy") if isinstance(request, dict) else None
        accesses = request.get("keyAccessObjects") if isinstance(request, dict) else None
        if not isinstance(policy, dict) or not isinstance(accesses, list) or len(accesses) > MAX_KEYS - len(keys):
            raise KasError("invalid_argument", f"a request without a policy and its keys, or with more than {MAX_KEYS}")
        for access in accesses:
            if not isinstance(access, dict):
                raise KasError("invalid_argument", "a key that is no object")
            keys.append(
                KeyRequest(
                    _text(policy, "id", _MAX_ID),
                    _text(policy, "body", MAX_POLICY),
                    _text(access, "keyAccessObjectId", _MAX_ID),
                    _access(access.get("keyAccessObject")),
                )
            )
    if not keys:
        raise KasError("invalid_argument", "a request for no key")
    if len({(key.policy_id, key.key_id) for key in keys}) != len(keys):
        raise KasError("invalid_argument", "two keys of one id in a request")
    return tuple(keys)


def _access(value: Any) -> KeyAccess:
    try:
        return read_key_access(value)
    except TdfError as error:
        raise KasError("invalid_argument", str(error)) from None


def _text(value: Mapping[str, object], name: str, limit: int) -> str:
    found = value.get(name)
    if not isinstance(found, str) or len(found) > limit:
        raise KasError("invalid_argument", f"{name} is no text of at most {limit} characters")
    return found
