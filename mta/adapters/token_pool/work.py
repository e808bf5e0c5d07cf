"""Inside a token process: what is done with a key that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism
from pkcs11.exceptions import PKCS11Error

from mta.adapters.token_pool.session import Trouble, spki
from mta.adapters.token_pool.wire import Fault

_HASHES = {
    "sha1": (Mechanism.SHA_1, MGF.SHA1, hashes.SHA1),
    "sha256": (Mechanism.SHA256, MGF.SHA256, hashes.SHA256),
    "sha384": (Mechanism.SHA384, MGF.SHA384, hashes.SHA384),
    "sha512": (Mechanism.SHA512, MGF.SHA512, hashes.SHA512),
}
_PROBE = b"does the key still open?"


def public(key: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """The public half and what the token says of the private one."""
    return {"spki": spki(key).hex(), **facts(key)}


def facts(key: Any) -> dict[str, bool]:
    """What the token promises of a private key; what it does not answer counts as the worse."""
    wanted = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False, Attribute.DECRYPT: False}
    return {attribute.name.lower(): _told(key, attribute, worse) for attribute, worse in wanted.items()}


def _told(key: Any, attribute: Attribute, worse: bool) -> bool:
    try:
        return bool(key[attribute])
    except PKCS11Error:
        return worse


def decrypt(key: Any, asked: dict[str, Any]) -> str:
    """RSA: `hash` names that of OAEP; empty: PKCS #1 v1.5. Raises Trouble for what was not encrypted to this key.

    Tokens have many words for that, and the same words for being broken (SoftHSM: CKR_GENERAL_ERROR). So something
    that is known to be for this key is tried where one fails: if it opens, the token is well.
    """
    hashed = asked["hash"]
    try:
        return _decrypted(key, bytes.fromhex(asked["data"]), hashed).hex()
    except PKCS11Error as error:
        if _opens(key, hashed):
            raise Trouble(Fault.REFUSED, "it was not encrypted to this key") from error
        raise


def _decrypted(key: Any, data: bytes, hashed: str) -> bytes:
    if not hashed:
        return bytes(key.decrypt(data, mechanism=Mechanism.RSA_PKCS))
    kind, mask, _ = _HASHES[hashed]
    return bytes(key.decrypt(data, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=(kind, mask, None)))


def _opens(key: Any, hashed: str) -> bool:
    try:
        public_key = load_der_public_key(spki(key))
        assert isinstance(public_key, rsa.RSAPublicKey)
        scheme: Any = padding.PKCS1v15()
        if hashed:
            kind = _HASHES[hashed][2]
            scheme = padding.OAEP(padding.MGF1(kind()), kind(), None)
        return _decrypted(key, public_key.encrypt(_PROBE, scheme), hashed) == _PROBE
    except PKCS11Error:
        return False


def sign(key: Any, asked: dict[str, Any]) -> str:
    """RSA: PKCS #1 v1.5 over a DigestInfo, or PSS over a digest of `hash`."""
    data = bytes.fromhex(asked["data"])
    if not asked["hash"]:
        return bytes(key.sign(data, mechanism=Mechanism.RSA_PKCS)).hex()
    kind, mask, _ = _HASHES[asked["hash"]]
    return bytes(key.sign(data, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=(kind, mask, len(data)))).hex()


def sign_ec(key: Any, asked: dict[str, Any]) -> str:
    """ECDSA: r and s, one after the other."""
    return bytes(key.sign(bytes.fromhex(asked["data"]), mechanism=Mechanism.ECDSA)).hex()


def agree(key: Any, asked: dict[str, Any]) -> str:
    """ECDH with a point: the secret, of `size` octets."""
    secret = key.derive_key(
        KeyType.GENERIC_SECRET,
        asked["size"] * 8,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(KDF.NULL, None, bytes.fromhex(asked["data"])),
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
    )
    return bytes(secret[Attribute.VALUE]).hex()


WORKS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "public": public,
    "decrypt": decrypt,
    "sign": sign,
    "sign-ec": sign_ec,
    "agree": agree,
}
