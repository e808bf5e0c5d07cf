"""Tokens with claims (RFC 7519): made for our own issuer, verified for it and for configured ones (RFC 8725)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mta.errors import JoseError
from mta.rfc.jose.jwk import Jwk
from mta.rfc.jose.jws import ASYMMETRIC, Jws, read_jws, sign_jws, verify_jws
from mta.rfc.json.canonical import canonical

LEEWAY = 120  # seconds that clocks may differ
_MAX_TRIED = 10  # keys without a kid that are tried for one token
ACCESS_TOKEN = "at+jwt"  # noqa: S105 - RFC 9068 §2.1: the type of an access token


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. `types` are the header's `typ` that are taken, "" for none; `now` in seconds."""

    issuer: str
    audience: str
    now: float
    algorithms: Collection[str] = ASYMMETRIC
    types: Collection[str] = ("", "JWT", ACCESS_TOKEN)
    leeway: float = LEEWAY


def make_token(claims: Mapping[str, Any], header: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """The signed token; `header` names `alg`, `kid` and `typ`."""
    return sign_jws(header, canonical(claims), sign)


def verify_token(token: str, keys: Sequence[Jwk], expected: Expected) -> dict[str, Any]:
    """The claims of a token that holds in every respect. Raises JoseError that says in which one it does not."""
    jws = read_jws(token)
    typ = jws.header.get("typ", "")
    if not isinstance(typ, str) or not _is_of(typ, expected.types):
        raise JoseError("the token is of another type")  # RFC 8725 §3.11: no token of one kind for another
    _verify(jws, keys, expected.algorithms)
    claims = jws.claims()
    if claims.get("iss") != expected.issuer:
        raise JoseError("the token is another issuer's")
    audience = claims.get("aud")
    if expected.audience not in (audience if isinstance(audience, list) else [audience]):
        raise JoseError("the token is for another audience")
    check_times(claims, expected.now, expected.leeway)
    return claims


def _is_of(typ: str, types: Collection[str]) -> bool:
    """RFC 7515 §4.1.9: a media type, in any case, of which `application/` may be left out."""
    return typ.lower().removeprefix("application/") in {word.lower() for word in types}


def _verify(jws: Jws, keys: Sequence[Jwk], allowed: Collection[str]) -> None:
    kid = jws.header.get("kid")
    fitting = [key for key in keys if key.algorithm in ("", jws.algorithm) and (kid is None or key.kid == kid)]
    if not fitting:
        raise JoseError("the token's key is not among the issuer's")
    for key in fitting[:_MAX_TRIED]:
        try:
            return verify_jws(jws, key.key, allowed)
        except JoseError as error:
            failed = error
    raise failed


def check_times(claims: Mapping[str, object], now: float, leeway: float) -> None:
    """Raises JoseError for a token that has expired, has no end, or does not hold yet (RFC 7519 §4.1.4, §4.1.5)."""
    if seconds(claims, "exp") + leeway <= now:
        raise JoseError("the token has expired")
    for name in ("nbf", "iat"):
        if name in claims and seconds(claims, name) - leeway > now:
            raise JoseError("the token does not hold yet")


def seconds(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 §2). Raises JoseError."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise JoseError(f"the token's {name} is no time")
    return float(value)
