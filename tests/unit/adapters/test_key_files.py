"""Private keys for DKIM, by the path of their file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from mta.adapters.key_files import KeyFiles
from mta.errors import MtaError
from tests.support.signatures import ed25519_key, rsa_key

DIGEST = hashlib.sha256(b"x").digest()


def written(folder: Path, key: object, protection: object = None) -> str:
    path = folder / "a.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption()))  # type: ignore[attr-defined]
    return str(path)


def test_an_rsa_key_signs_digests(tmp_path: Path) -> None:
    found = KeyFiles().signing_key(written(tmp_path, rsa_key()))
    assert found.algorithm == "rsa-sha256"
    rsa_key().public_key().verify(found.sign(DIGEST), DIGEST, PKCS1v15(), Prehashed(SHA256()))


def test_an_ed25519_key_signs_digests(tmp_path: Path) -> None:
    found = KeyFiles().signing_key(written(tmp_path, ed25519_key()))
    assert found.algorithm == "ed25519-sha256"
    ed25519_key().public_key().verify(found.sign(DIGEST), DIGEST)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    keys, path = KeyFiles(), written(tmp_path, ed25519_key())
    first = keys.signing_key(path)
    Path(path).unlink()
    assert keys.signing_key(path) is first
    with pytest.raises(MtaError, match="cannot be read"):
        KeyFiles().signing_key(path)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    curve = written(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(MtaError, match=r"a\.key is neither RSA nor Ed25519"):
        KeyFiles().signing_key(curve)
    locked = written(tmp_path, ed25519_key(), BestAvailableEncryption(b"secret"))
    with pytest.raises(MtaError, match=r"a\.key cannot be read"):
        KeyFiles().signing_key(locked)
    (tmp_path / "a.key").write_bytes(b"no key")
    with pytest.raises(MtaError, match=r"a\.key cannot be read"):
        KeyFiles().signing_key(str(tmp_path / "a.key"))
