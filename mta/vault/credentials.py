"""How credentials are kept: secrets of authenticator apps sealed, phrases as a slow hash."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mta.errors import MtaError
from mta.model.protected import Credential, Grant
from mta.policy.channel import Channel
from mta.vault.vault import Vault

_NONCE = 12
_SCRYPT = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 << 20, "dklen": 32}  # 32 MiB, about a tenth of a second
_LONGEST_PHRASE = 200  # characters


def seal_secret(vault: Vault, secret: bytes, subject: str) -> str:
    """A secret for the store: who has a copy of the store alone cannot read it, nor give it to another reader."""
    nonce = vault.random(_NONCE)
    return (nonce + _cipher(vault).encrypt(nonce, secret, subject.encode())).hex()


def open_secret(vault: Vault, sealed: str, subject: str) -> bytes:
    """The secret. Raises MtaError if it was changed, or protection.signing_key is another one."""
    data = bytes.fromhex(sealed)
    try:
        return _cipher(vault).decrypt(data[:_NONCE], data[_NONCE:], subject.encode())
    except InvalidTag:
        raise MtaError("a second channel's secret does not open: was protection.signing_key exchanged?") from None


def _cipher(vault: Vault) -> AESGCM:
    """Under a key of its own, out of the key that signs policies: that one is never in the vault's folder."""
    private = vault.signing.policy.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return AESGCM(HKDF(SHA256(), 32, None, b"mta second channels").derive(private))


def new_credential(vault: Vault, subject: str, kind: Channel, data: dict[str, Any]) -> Credential:
    """One that begins now."""
    return Credential(vault.new_id(), subject, kind.value, json.dumps(data), vault.clock.now())


# --- phrases


def phrase_credentials(vault: Vault, phrase: str, grants: Iterable[Grant]) -> tuple[Credential, ...]:
    """A phrase for each of these grants; hashing takes about a tenth of a second. Nothing for an empty phrase."""
    if not plain_phrase(phrase):
        return ()
    salt = vault.random(16)
    data = {"salt": salt.hex(), "hash": hash_phrase(phrase, salt).hex()}
    return tuple(new_credential(vault, grant.id, Channel.PHRASE, data) for grant in grants)


def hash_phrase(phrase: str, salt: bytes) -> bytes:
    """Scrypt of a phrase (RFC 7914)."""
    return hashlib.scrypt(plain_phrase(phrase).encode(), salt=salt, **_SCRYPT)


def fits_phrase(credential: Credential | None, typed: str) -> bool:
    """Whether the phrase is this one; it takes as long where there is none."""
    data: dict[str, str] = json.loads(credential.data) if credential else {"salt": "00" * 16, "hash": ""}
    same = hmac.compare_digest(hash_phrase(typed, bytes.fromhex(data["salt"])), bytes.fromhex(data["hash"]))
    return same and credential is not None


def plain_phrase(phrase: str) -> str:
    """A phrase as it is compared: who agreed on it by telephone knows neither its case nor its blanks."""
    return " ".join(phrase[:_LONGEST_PHRASE].casefold().split())
