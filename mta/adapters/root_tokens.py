"""Root keys in tokens: opened with through a pool of processes, and made, brought, looked at and removed there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mta.adapters.token_pool.member import MemberSettings
from mta.adapters.token_pool.names import KeyName, parse_uri
from mta.adapters.token_pool.pool import PoolSettings, TokenPool, TokenRefused, Wish
from mta.errors import KeyAway, MtaError, UsageError


class RootTokens:
    """Opens with root keys in tokens."""

    def __init__(self, settings: PoolSettings) -> None:
        self._pool = TokenPool(settings)

    async def unwrap(self, uri: str, spki: bytes, wrapped: bytes, call: str) -> bytes | None:
        """RSA-OAEP with the key of this place and this public half; None if it was not wrapped to it.

        `call` stands in the log of the token process. Raises KeyAway.
        """
        try:
            name = parse_uri(uri)
        except MtaError as error:
            raise KeyAway(str(error)) from error
        more = {"data": wrapped.hex(), "hash": "sha1"}
        try:
            return bytes.fromhex(await self._pool.do(Wish("decrypt", name, call, _digest(spki), more)))
        except TokenRefused:
            return None

    async def close(self) -> None:
        """End the processes."""
        await self._pool.close()


@dataclass(frozen=True, slots=True)
class TokenKeyFacts:
    """What a token says of a key: `fault` is why it cannot be a root key, or empty."""

    spki: bytes
    fault: str = ""


class TokenMaker:
    """Changes what a token holds, in a process of its own that ends with the work. An async context."""

    def __init__(self, module: str, pin: str, *, writes: bool = True) -> None:
        self._pool = TokenPool(PoolSettings(MemberSettings(module, pin, writes=writes), processes=1))

    async def __aenter__(self) -> TokenMaker:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def generate(self, uri: str, bits: int) -> bytes:
        """A new key that does not leave the token; its public half, DER. Raises UsageError if it is there, KeyAway."""
        return await self._made(Wish("generate", parse_uri(uri), more={"bits": bits}))

    async def bring(self, uri: str, key: rsa.RSAPrivateKey) -> bytes:
        """A key from outside into the token; its public half, DER. Raises UsageError if one is there, KeyAway."""
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return await self._made(Wish("bring", parse_uri(uri), more={"data": der.hex()}))

    async def _made(self, wish: Wish) -> bytes:
        try:
            return bytes.fromhex((await self._pool.do(wish))["spki"])
        except TokenRefused as error:
            raise MtaError(f"no key can be made so: {error}") from error

    async def look(self, uri: str) -> TokenKeyFacts:
        """The key that is there. Raises KeyAway if none is."""
        name = parse_uri(uri)
        answer = await self._pool.do(Wish("public", name))
        return TokenKeyFacts(bytes.fromhex(answer["spki"]), _fault(name, answer))

    async def take(self, uri: str) -> bytes:
        """The public half of a key that is there, if it can be a root key. Raises UsageError, KeyAway."""
        key = await self.look(uri)
        if key.fault:
            raise UsageError(key.fault)
        return key.spki

    async def remove(self, uri: str, spki: bytes) -> bool:
        """The end of this key, and of no other; False if it is gone already. Raises KeyAway, MtaError."""
        return bool(await self._pool.do(replace(Wish("remove", parse_uri(uri)), public=_digest(spki))))


def _fault(name: KeyName, attributes: dict[str, bool]) -> str:
    whose = f"the key {name} of the token {name.token}"
    if attributes["extractable"] or not attributes["sensitive"]:
        return f"{whose} can be taken out of it (CKA_EXTRACTABLE, or not CKA_SENSITIVE): no key for a root"
    if not attributes["decrypt"]:
        return f"{whose} may not decrypt (CKA_DECRYPT): no key for a root"
    return ""


def _digest(spki: bytes) -> str:
    return hashlib.sha256(spki).hexdigest()
