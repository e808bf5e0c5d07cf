"""Private keys in PEM files (ports.KeyProvider): read once; a reload makes a new `KeyFiles`."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mta.errors import MtaError
from mta.ports import SigningKey, TokenKey

TOKEN = "pkcs11:"  # noqa: S105 - how the URI of a token's key begins


class KeyFiles:
    """Keys by the path of their file."""

    def __init__(self, token_key: TokenKey | None = None) -> None:
        """`token_key` opens a key of a token by its URI."""
        self._token_key = token_key
        self._keys: dict[str, SigningKey] = {}

    def signing_key(self, path: str) -> SigningKey:
        """The key in `path`. Raises MtaError if it cannot be used."""
        if path not in self._keys:
            from_token = self._token_key if path.startswith(TOKEN) else None
            self._keys[path] = _signing((from_token or _load)(path), path)
        return self._keys[path]


def _load(path: str) -> object:
    try:
        return load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MtaError(f"the key {path} cannot be read: {error}") from error


def _signing(key: object, path: str) -> SigningKey:
    if isinstance(key, Ed25519PrivateKey):
        return SigningKey("ed25519-sha256", key.sign)
    if isinstance(key, RSAPrivateKey):
        padding, hashed = PKCS1v15(), Prehashed(SHA256())
        return SigningKey("rsa-sha256", lambda digest: key.sign(digest, padding, hashed))
    raise MtaError(f"the key {path} is neither RSA nor Ed25519")
