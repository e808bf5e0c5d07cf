"""Public keys in JSON (RFC 7517, RFC 7518 §6): one, a set of them, and the thumbprint (RFC 7638)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mta.errors import JoseError, JsonError
from mta.rfc.jose.algorithms import RSA_BITS, PublicKey
from mta.rfc.jose.base64url import decode, encode
from mta.rfc.json.canonical import canonical
from mta.rfc.json.read import read_object

MAX_SET = 256 * 1024  # octets
MAX_KEYS = 100
_EXPONENT = 2**32
_CURVES: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@dataclass(frozen=True, slots=True)
class Jwk:
    """A public key of a set. `kid` and `algorithm` are "" where the set does not say."""

    key: PublicKey
    kid: str = ""
    algorithm: str = ""


def read_jwk(value: object) -> PublicKey:
    """The public key. Raises JoseError, also for a private or secret one: who shows that has lost it."""
    if not isinstance(value, dict):
        raise JoseError("a key is an object")
    if value.keys() & _PRIVATE:
        raise JoseError("a key that shows its private part")
    try:
        if value.get("kty") == "RSA":
            return _rsa(value)
        if value.get("kty") == "EC":
            return _ec(value)
    except (ValueError, KeyError, UnsupportedAlgorithm) as error:
        raise JoseError(f"no public key: {error}") from None
    raise JoseError("a key of a kind that is not known here")


def _rsa(value: dict[str, object]) -> rsa.RSAPublicKey:
    n, e = _integer(value["n"]), _integer(value["e"])
    if not RSA_BITS[0] <= n.bit_length() <= RSA_BITS[1] or not 2 < e < _EXPONENT:
        raise JoseError(f"an RSA key of {n.bit_length()} bits is not taken")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _ec(value: dict[str, Any]) -> ec.EllipticCurvePublicKey:
    curve = _CURVES.get(str(value.get("crv")))
    if curve is None:
        raise JoseError("a key on a curve that is not known here")
    return ec.EllipticCurvePublicNumbers(_integer(value["x"]), _integer(value["y"]), curve).public_key()


def _integer(text: Any) -> int:
    if not isinstance(text, str) or len(text) > 2048:
        raise ValueError("a number of a key is a text in base64url")
    return int.from_bytes(decode(text), "big")


def write_jwk(key: PublicKey) -> dict[str, str]:
    """The required members of the key's JWK, and only these."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _octets(numbers.n, 0), "e": _octets(numbers.e, 0)}
    point = key.public_numbers()
    width = (key.curve.key_size + 7) // 8
    crv = _CURVE_NAMES.get(key.curve.name)
    if crv is None:
        raise JoseError(f"a key on {key.curve.name} has no JWK here")
    return {"kty": "EC", "crv": crv, "x": _octets(point.x, width), "y": _octets(point.y, width)}


def _octets(number: int, width: int) -> str:
    return encode(number.to_bytes(width or (number.bit_length() + 7) // 8, "big"))


def thumbprint(key: PublicKey) -> str:
    """RFC 7638 §3: base64url of SHA-256 over the required members in order."""
    return encode(hashlib.sha256(canonical(write_jwk(key))).digest())


def read_jwks(data: bytes) -> tuple[Jwk, ...]:
    """The keys of a set that can verify signatures; others are passed over. Raises JoseError where it is no set."""
    try:
        keys = read_object(data, MAX_SET).get("keys")
    except JsonError as error:
        raise JoseError(f"no set of keys: {error}") from None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise JoseError(f"a set of keys has a list of at most {MAX_KEYS}")
    found = []
    for value in keys:
        if not isinstance(value, dict) or value.get("use", "sig") != "sig":
            continue
        try:
            found.append(Jwk(read_jwk(value), _word(value, "kid"), _word(value, "alg")))
        except JoseError:
            continue  # RFC 7517 §5: what one does not understand of a set is ignored
    return tuple(found)


def _word(value: Mapping[str, object], name: str) -> str:
    word = value.get(name, "")
    return word if isinstance(word, str) else ""
