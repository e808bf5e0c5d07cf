"""The keys that sign policies and the log: one PEM file of mode 0600 with both, made when it is first needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from mta.adapters.private_files import read_private, write_private
from mta.errors import MtaError, UsageError
from mta.ports.vault import SigningKeys
from mta.rfc.jose.jwk import thumbprint

_BLOCK = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


def signing_keys(path: Path) -> SigningKeys:
    """The keys in this file, made if there is none. Raises MtaError."""
    if not path.exists():
        _make(path)
    try:
        keys = [load_pem_private_key(block, None) for block in _BLOCK.findall(read_private(path))]
    except (ValueError, TypeError) as error:
        raise MtaError(f"{path} holds a key that cannot be read: {error}") from error
    policy = next((key for key in keys if isinstance(key, EllipticCurvePrivateKey)), None)
    log = next((key for key in keys if isinstance(key, Ed25519PrivateKey)), None)
    if policy is None or log is None or not isinstance(policy.curve, SECP256R1):
        raise MtaError(f"{path} must hold an ECDSA key of P-256 and an Ed25519 key")
    return SigningKeys(policy, log, thumbprint(policy.public_key())[:16], _witness(log))


def _witness(log: Ed25519PrivateKey) -> Ed25519PrivateKey:
    """A key of its own for cosignatures, out of the log's: one key has one purpose, and the file stays as it is."""
    seed = HKDF(SHA256(), 32, salt=None, info=b"mta tlog witness").derive(log.private_bytes_raw())
    return Ed25519PrivateKey.from_private_bytes(seed)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(_pem(key) for key in (generate_private_key(SECP256R1()), Ed25519PrivateKey.generate()))
    try:
        write_private(path, content, replace=False)
    except UsageError:
        return  # another process made it in the same moment


def _pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem
