"""Compact JWS (RFC 7515 §7.1): three pieces of base64url with a dot between each two."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mta.errors import JoseError, JsonError
from mta.rfc.jose.algorithms import ALGORITHMS, PublicKey, holds
from mta.rfc.jose.base64url import decode, encode
from mta.rfc.json.canonical import canonical
from mta.rfc.json.read import read_object

MAX_TOKEN = 64 * 1024  # octets
ASYMMETRIC = tuple(ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Jws:
    """A token as it was read; nothing of it is proven. `signed` are the octets that the signature is over."""

    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        """What the token says of itself."""
        return str(self.header["alg"])

    def claims(self) -> dict[str, Any]:
        """The payload as an object. Raises JoseError."""
        try:
            return read_object(self.payload, len(self.payload))
        except JsonError as error:
            raise JoseError(f"the token's payload: {error}") from None


def read_jws(token: str, limit: int = MAX_TOKEN) -> Jws:
    """The pieces of a compact token of at most `limit` characters. Raises JoseError."""
    if len(token) > limit:
        raise JoseError(f"a token of {len(token)} characters, at most {limit} are read")
    pieces = token.split(".")
    if len(pieces) != 3:
        raise JoseError(f"a token has three pieces, this one {len(pieces)}")
    try:
        header = read_object(decode(pieces[0]), limit)
        payload, signature = decode(pieces[1]), decode(pieces[2])
    except (ValueError, JsonError) as error:
        raise JoseError(f"no token: {error}") from None
    if not isinstance(header.get("alg"), str):
        raise JoseError("the token names no algorithm")
    # RFC 7515 §4.1.11: what is declared critical and not known makes a token invalid; b64 and zip change its meaning
    if header.keys() & {"crit", "b64", "zip"}:
        raise JoseError("the token demands an extension that is not known here")
    return Jws(header, payload, token.rpartition(".")[0].encode("ascii"), signature)


def verify_jws(jws: Jws, key: PublicKey, allowed: Collection[str]) -> None:
    """Raises JoseError unless the signature is the key's, by one of the `allowed` algorithms."""
    if jws.algorithm not in allowed or jws.algorithm not in ALGORITHMS:
        raise JoseError(f"the token is signed by {jws.algorithm[:20]!r}, which is not allowed here")
    if not holds(ALGORITHMS[jws.algorithm], key, jws.signed, jws.signature):
        raise JoseError("the token's signature does not hold under the key")


def sign_jws(header: Mapping[str, object], payload: bytes, sign: Callable[[bytes], bytes]) -> str:
    """The compact token. `sign` is `algorithms.signer`'s, or a token's of hardware; `header` names its `alg`."""
    signed = f"{encode(canonical(header))}.{encode(payload)}"
    return f"{signed}.{encode(sign(signed.encode('ascii')))}"


def sign_hs256(header: Mapping[str, Any], payload: bytes, secret: bytes) -> str:
    """The compact token under a shared secret (RFC 7518 §3.2)."""
    return sign_jws({**header, "alg": "HS256"}, payload, lambda data: hmac.digest(secret, data, "sha256"))


def verify_hs256(jws: Jws, secret: bytes) -> bool:
    """Whether the token is HS256 under the shared secret of at least 32 octets."""
    if jws.algorithm != "HS256" or len(secret) < 32:
        return False
    return hmac.compare_digest(hmac.digest(secret, jws.signed, "sha256"), jws.signature)
