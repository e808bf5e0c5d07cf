"""The signature algorithms of JWS (RFC 7518 §3) that are taken: RSA, RSA-PSS and ECDSA, each with its one kind of key.

`none` and, beside the content key of a protected file, HMAC have no place here: a public key is never a shared secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
RSA_BITS = (2048, 8192)  # RFC 7518 §3.3: 2048 or more; longer ones cost more than they prove


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One `alg`. `curve` is the only curve an ECDSA algorithm takes, "" for RSA."""

    name: str
    hash: hashes.HashAlgorithm
    curve: str = ""

    @property
    def width(self) -> int:
        """Octets of each half of an ECDSA signature."""
        return {"secp256r1": 32, "secp384r1": 48, "secp521r1": 66}[self.curve]

    @property
    def padding(self) -> padding.AsymmetricPadding:
        """RSA's padding: PKCS #1 v1.5 for RS, PSS with a salt as long as the hash for PS (RFC 7518 §3.5)."""
        if self.name.startswith("RS"):
            return padding.PKCS1v15()
        return padding.PSS(padding.MGF1(self.hash), self.hash.digest_size)


ALGORITHMS: Mapping[str, Algorithm] = {
    "RS256": Algorithm("RS256", hashes.SHA256()),
    "RS384": Algorithm("RS384", hashes.SHA384()),
    "RS512": Algorithm("RS512", hashes.SHA512()),
    "PS256": Algorithm("PS256", hashes.SHA256()),
    "PS384": Algorithm("PS384", hashes.SHA384()),
    "PS512": Algorithm("PS512", hashes.SHA512()),
    "ES256": Algorithm("ES256", hashes.SHA256(), "secp256r1"),
    "ES384": Algorithm("ES384", hashes.SHA384(), "secp384r1"),
    "ES512": Algorithm("ES512", hashes.SHA512(), "secp521r1"),
}


def fits(algorithm: Algorithm, key: Any) -> bool:
    """Whether the key is of the kind and size that the algorithm takes: nobody else's word chooses either."""
    if algorithm.curve:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == algorithm.curve
    return isinstance(key, rsa.RSAPublicKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]


def holds(algorithm: Algorithm, key: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether the signature over `signed` is the key's."""
    if not fits(algorithm, key):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, algorithm.padding, algorithm.hash)
        else:
            key.verify(_der(algorithm, signature), signed, ec.ECDSA(algorithm.hash))
    except (InvalidSignature, ValueError):
        return False
    return True


def _der(algorithm: Algorithm, signature: bytes) -> bytes:
    if len(signature) != 2 * algorithm.width:  # RFC 7518 §3.4: R and S side by side, each of full width
        raise ValueError("an ECDSA signature of the wrong length")
    r, s = signature[: algorithm.width], signature[algorithm.width :]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


def signer(algorithm: Algorithm, key: PrivateKey) -> Callable[[bytes], bytes]:
    """What signs octets with the key as JWS wants it. Raises ValueError for a key of another kind."""
    if not fits(algorithm, key.public_key()):
        raise ValueError(f"this key cannot sign {algorithm.name}")
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda data: key.sign(data, algorithm.padding, algorithm.hash)
    return lambda data: _raw(algorithm, key.sign(data, ec.ECDSA(algorithm.hash)))


def _raw(algorithm: Algorithm, der: bytes) -> bytes:
    return b"".join(half.to_bytes(algorithm.width, "big") for half in decode_dss_signature(der))
