"""DPoP (RFC 9449): the proof that who sends a request holds the key its token is bound to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mta.errors import JoseError
from mta.rfc.jose.algorithms import PublicKey
from mta.rfc.jose.base64url import encode
from mta.rfc.jose.jwk import read_jwk, thumbprint
from mta.rfc.jose.jws import ASYMMETRIC, read_jws, verify_jws
from mta.rfc.jose.jwt import LEEWAY, seconds

_DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PROOF = 8192  # characters
MAX_ID = 256


@dataclass(frozen=True, slots=True)
class Request:
    """The request that the proof must be for. `nonce` is the one we demand, "" for none; `now` in seconds."""

    method: str
    url: str
    now: float
    token: str = ""
    nonce: str = ""
    leeway: float = LEEWAY


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that holds. `thumbprint` is what a bound token has in `cnf.jkt`."""

    key: PublicKey
    thumbprint: str
    jti: str
    issued: float


def verify_proof(text: str, request: Request, first_time: Callable[[str, float], bool]) -> Proof:
    """The proof in a DPoP header (RFC 9449 §4.3). Raises JoseError.

    `first_time(id, until)` must say whether the id was never seen, and remember it until that time in seconds. It is
    asked last, so that nobody fills its memory with what does not hold.
    """
    jws = read_jws(text, MAX_PROOF)
    if jws.header.get("typ") != "dpop+jwt":
        raise JoseError("the DPoP proof is of another type")
    key = read_jwk(jws.header.get("jwk"))
    verify_jws(jws, key, ASYMMETRIC)
    claims = jws.claims()
    if claims.get("htm") != request.method or _place(claims.get("htu")) != _place(request.url):
        raise JoseError("the DPoP proof is for another request")
    issued = seconds(claims, "iat")
    if abs(request.now - issued) > request.leeway:
        raise JoseError("the DPoP proof is too old, or of the future")
    _bound(claims.get("ath"), request.token)
    if request.nonce and claims.get("nonce") != request.nonce:
        raise JoseError("the DPoP proof lacks our nonce")
    jti, print_ = claims.get("jti"), thumbprint(key)
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_ID:
        raise JoseError("the DPoP proof has no id")
    if not first_time(f"{print_}:{jti}", issued + 2 * request.leeway):
        raise JoseError("the DPoP proof was used before")
    return Proof(key, print_, jti, issued)


def proof_claims(request: Request, jti: str) -> dict[str, Any]:
    """The claims of a proof for this request (RFC 9449 §4.2); with a token its hash is among them."""
    bound = {"ath": encode(hashlib.sha256(request.token.encode("utf-8")).digest())} if request.token else {}
    return {"htm": request.method, "htu": request.url, "iat": int(request.now), "jti": jti, **bound}


def check_bound(claims: Mapping[str, Any], proof: Proof | None) -> None:
    """Raises JoseError for a token that is bound to a key (RFC 9449 §6.1) and comes without a proof of that key."""
    confirmation = claims.get("cnf")
    if confirmation is None:
        return
    bound = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    if proof is None or bound != proof.thumbprint:  # a binding of another kind is one that nobody here can check
        raise JoseError("the token is bound to a key, and that key was not proven")


def _bound(ath: object, token: str) -> None:
    """The token's hash, if the proof has one: RFC 9449 §4.3 wants it, and current OpenTDF clients leave it out."""
    if ath is None:
        return
    expected = encode(hashlib.sha256(token.encode("utf-8")).digest())
    if not isinstance(ath, str) or not hmac.compare_digest(ath.encode("utf-8", "replace"), expected.encode("ascii")):
        raise JoseError("the DPoP proof is for another token")


def _place(url: object) -> tuple[str, str, int | None, str]:
    """What two spellings of one URL have in common (RFC 9449 §4.3: without query and fragment)."""
    if not isinstance(url, str) or len(url) > 2048:
        raise JoseError("the DPoP proof names no URL")
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        raise JoseError("the DPoP proof names no URL") from None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path or "/"
