"""Root keys (ports.vault.RootKeys): in PEM files of mode 0600, or in tokens behind a pool of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

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


class Tokens(Protocol):
    """Opens with keys in tokens (adapters/root_tokens.py)."""

    async def unwrap(self, uri: str, spki: bytes, wrapped: bytes, call: str) -> bytes | None:
        """As RootKeys.unwrap, with the key of this place and this public half."""
        ...

    async def close(self) -> None:
        """End what serves the keys."""
        ...


class PlacedRootKeys:
    """Opens with a root key where it is. A file is read when its key is first used, and compared with its public half.

    `places`: where the configuration has the keys, by id; a key that it does not name is where the vault says.
    `tokens` open with keys of tokens; without them those are away.
    """

    def __init__(self, places: Mapping[str, str] | None = None, tokens: Tokens | None = None) -> None:
        self._places = places or {}
        self._tokens = tokens
        self._files: dict[str, rsa.RSAPrivateKey] = {}

    async def unwrap(self, key: RootKey, wrapped: bytes, call: str) -> bytes | None:
        """RSA-OAEP with the private half; None if it was not wrapped to this key."""
        where = self._places.get(key.id, key.place)
        if where.startswith("pkcs11:"):
            if self._tokens is None:
                raise KeyAway(f"nothing here reaches the token of the root key {key.id}; write server.pkcs11")
            return await self._tokens.unwrap(where, key.spki, wrapped, call)
        return await asyncio.get_running_loop().run_in_executor(None, self._unwrap, key, where, wrapped)

    def _unwrap(self, key: RootKey, where: str, wrapped: bytes) -> bytes | None:
        private = self._files.get(key.id)
        if private is None:
            private = self._files[key.id] = self._load(key, where)
        try:
            return private.decrypt(wrapped, _OAEP)
        except ValueError:
            return None

    def _load(self, key: RootKey, where: str) -> rsa.RSAPrivateKey:
        try:
            private = load_root_key(Path(where))
        except MtaError as error:
            raise KeyAway(f"the root key {key.id}: {error}") from error
        if spki(private.public_key()) != key.spki:
            raise KeyAway(f"{where} holds another key than the one that is called {key.id}")
        return private

    async def close(self) -> None:
        """Forget the keys, and end the processes that reach tokens."""
        self._files.clear()
        if self._tokens is not None:
            await self._tokens.close()


def load_root_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA key in a PEM file of mode 0600. Raises MtaError."""
    return parse_root_key(read_private(path), path)


def parse_root_key(pem: bytes, path: Path) -> rsa.RSAPrivateKey:
    """The RSA key in what was read from this file. Raises MtaError."""
    try:
        key = load_pem_private_key(pem, None)
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
