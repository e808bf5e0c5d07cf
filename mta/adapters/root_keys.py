"""Root keys (ports.vault.RootKeys): in PEM files of mode 0600, or in tokens behind a pool of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mta.adapters.private_files import read_private
from mta.errors import KeyAway, MtaError
from mta.model.protected import RootKey

# SHA-1 in OAEP is what every TDF reader and SoftHSM have; OAEP asks no resistance to collisions of it.
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
_EXPONENT = 65_537

TokenUnwrap = Callable[[str, bytes, str], Awaitable[bytes | None]]  # URI, ciphertext, id of the call


class PlacedRootKeys:
    """Opens with a root key where it is. A file is read when its key is first used, and compared with its public half.

    `token` opens with a key of a token; without it keys of tokens are away.
    """

    def __init__(self, token: TokenUnwrap | None = None) -> None:
        self._token = token
        self._files: dict[str, rsa.RSAPrivateKey] = {}

    async def unwrap(self, key: RootKey, wrapped: bytes, call: str) -> bytes | None:
        """RSA-OAEP with the private half; None if it was not wrapped to this key."""
        if key.place.startswith("pkcs11:"):
            if self._token is None:
                raise KeyAway(f"nothing here reaches the token of the root key {key.id}; write server.pkcs11")
            return await self._token(key.place, wrapped, call)
        return await asyncio.to_thread(self._unwrap, key, wrapped)

    def _unwrap(self, key: RootKey, wrapped: bytes) -> bytes | None:
        private = self._files.get(key.place)
        if private is None:
            private = self._files[key.place] = self._load(key)
        try:
            return private.decrypt(wrapped, _OAEP)
        except ValueError:
            return None

    def _load(self, key: RootKey) -> rsa.RSAPrivateKey:
        try:
            private = load_root_key(Path(key.place))
        except MtaError as error:
            raise KeyAway(f"the root key {key.id}: {error}") from error
        if spki(private.public_key()) != key.spki:
            raise KeyAway(f"{key.place} holds another key than the one that is called {key.id}")
        return private

    async def close(self) -> None:
        """Forget the keys."""
        self._files.clear()


def load_root_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA key in a PEM file of mode 0600. Raises MtaError."""
    try:
        key = load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MtaError(f"{path} holds no PEM private key without a passphrase") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key().public_numbers().e != _EXPONENT:
        raise MtaError(f"{path}: a root key is RSA with the exponent 65537")
    return key


def new_root_key(bits: int) -> tuple[bytes, bytes]:
    """A new RSA key as PEM, and its public half as DER."""
    key = rsa.generate_private_key(_EXPONENT, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), spki(key.public_key())


def spki(public: rsa.RSAPublicKey) -> bytes:
    """The public half as DER (SubjectPublicKeyInfo)."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
