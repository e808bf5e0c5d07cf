"""Wraps content keys for a client: to its RSA key, or under a key agreed with its EC key (ECDH, HKDF, AES-256-GCM)."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from mta.errors import KasError
from mta.rfc.jose.algorithms import RSA_BITS
from mta.rfc.tdf.share import OAEP

SALT = hashlib.sha256(b"TDF").digest()
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_NONCE = 12


class Session:
    """One request's answer to one client. `public_key` is ours as PEM, where the client's is on a curve, or ""."""

    def __init__(self, client_key: str) -> None:
        """`client_key` is the client's as PEM. Raises KasError for what is none, or too weak."""
        self.public_key = ""
        self._count = 0
        self._cipher: AESGCM | None = None
        self._key = _client_key(client_key)
        if isinstance(self._key, ec.EllipticCurvePublicKey):
            ours = ec.generate_private_key(self._key.curve)
            agreed = ours.exchange(ec.ECDH(), self._key)
            self._cipher = AESGCM(HKDF(hashes.SHA256(), 32, SALT, b"").derive(agreed))
            self.public_key = pem(ours.public_key())

    def wrap(self, content_key: bytes) -> bytes:
        """The content key, for the client alone."""
        if isinstance(self._key, rsa.RSAPublicKey):
            return self._key.encrypt(content_key, OAEP)
        assert self._cipher is not None
        nonce = self._count.to_bytes(_NONCE, "big")  # the agreed key serves this answer only: counting is enough
        self._count += 1
        return nonce + self._cipher.encrypt(nonce, content_key, None)


def _client_key(text: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KasError("invalid_argument", f"the client's key cannot be read: {error}") from None
    if isinstance(key, rsa.RSAPublicKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    raise KasError("invalid_argument", "the client's key is of a kind or size that is not taken")


def pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    """The public key as PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
