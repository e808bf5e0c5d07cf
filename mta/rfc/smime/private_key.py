"""Private keys of ML-DSA (RFC 9881) and ML-KEM (RFC 9935) in PKCS #8: as a seed, expanded, or both.

`cryptography` knows the seed alone. Where both are there the seed is taken, and the expanded key must be that of the
seed as far as it can be told: everything but its polynomials. An expanded key alone cannot be used.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from mta.errors import SmimeError, SmimeUnsupported
from mta.rfc.smime.algorithms import read_algorithm
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, SEQUENCE, Element, read
from mta.rfc.smime.password_based import opened

_ENCRYPTED_KEY = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----\s([^-]*)-----END ENCRYPTED PRIVATE KEY-----")
_PLAIN_KEY = re.compile(rb"-----BEGIN PRIVATE KEY-----\s([^-]*)-----END PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of key: its maker, the sizes of seed and expanded key, and the test of the one against the other."""

    name: str
    from_seed: Callable[[bytes], object]
    seed_size: int
    size: int
    fits: Callable[[object, bytes, bytes], bool]


def read_private_key(der: bytes) -> object:
    """The key of an unencrypted PKCS #8 object. Raises SmimeError, with the reason, for one that cannot be used."""
    kind, inner = _lattice_key(der)
    if kind is None:
        try:
            return load_der_private_key(der, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SmimeError(f"no private key: {error}") from error
    seed, expanded = _parts(inner)
    if expanded is not None and len(expanded) != kind.size:
        raise SmimeError(f"an expanded key of {kind.name} has {kind.size} octets, not {len(expanded)}")
    if seed is None:
        raise SmimeUnsupported(f"a key of {kind.name} in its expanded form only: the seed is needed")
    if len(seed) != kind.seed_size:
        raise SmimeError(f"a seed of {kind.name} has {kind.seed_size} octets, not {len(seed)}")
    key = kind.from_seed(seed)
    if expanded is not None and not kind.fits(key, seed, expanded):
        raise SmimeError(f"a key of {kind.name} whose expanded form is not that of its seed")
    return key


def open_private_key(der: bytes, password: str) -> object:
    """The key of a PKCS #8 object, encrypted or not (RFC 5958 §3). Raises SmimeError, with the reason."""
    parts = list(read(der, SEQUENCE).children())
    if [part.tag for part in parts] != [SEQUENCE, OCTET_STRING]:
        return read_private_key(der)
    try:
        return read_private_key(opened(parts[0], parts[1].octets(), password))
    except SmimeUnsupported as unsupported:
        try:
            return load_der_private_key(der, password.encode())  # the library reads more ciphers, and fewer keys
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise unsupported from None


def read_private_pem(content: bytes, password: bytes | None = None) -> object:
    """The first private key in a PEM file. Raises SmimeError, with the reason, for one that cannot be used."""
    plain = _PLAIN_KEY.search(content)
    if plain is not None:
        try:
            return read_private_key(binascii.a2b_base64(plain[1]))
        except binascii.Error as error:
            raise SmimeError(f"its base64 is broken: {error}") from error
    encrypted = _ENCRYPTED_KEY.search(content)
    if encrypted is not None and password is not None:
        try:
            return open_private_key(binascii.a2b_base64(encrypted[1]), password.decode())
        except (binascii.Error, UnicodeDecodeError) as error:
            raise SmimeError(f"it cannot be read: {error}") from error
    try:
        return load_pem_private_key(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SmimeError(f"no private key: {error}") from error


def _lattice_key(der: bytes) -> tuple[_Kind | None, bytes]:
    """The kind, and what the privateKey octets hold (RFC 5958 §2)."""
    fields = list(read(der, SEQUENCE).children())
    if [field.tag for field in fields[:3]] != [INTEGER, SEQUENCE, OCTET_STRING]:
        return None, b""
    oid = read_algorithm(fields[1]).oid
    if oid == "2.16.840.1.101.3.4.4.1":
        raise SmimeUnsupported("a key of ML-KEM-512, which is not known here")
    return _KINDS.get(oid), fields[2].octets()


def _parts(inner: bytes) -> tuple[bytes | None, bytes | None]:
    """Seed and expanded key of the CHOICE that all of these keys have (RFC 9881 §6, RFC 9935 §6)."""
    choice: Element = read(inner)
    if choice.tag == 0x80:
        return choice.octets(), None
    if choice.tag == OCTET_STRING:
        return None, choice.octets()
    seed, expanded = choice.only(OCTET_STRING, OCTET_STRING)
    return seed.octets(), expanded.octets()


def _kem_fits(key: Any, seed: bytes, expanded: bytes) -> bool:
    """FIPS 203, algorithm 16: behind the secret vector stand the public key, its digest, and half of the seed."""
    public = key.public_key().public_bytes_raw()
    return hmac.compare_digest(expanded[-len(public) - 64 :], public + hashlib.sha3_256(public).digest() + seed[32:])


def _dsa_fits(vectors: bytes) -> Callable[[object, bytes, bytes], bool]:
    def fits(key: Any, seed: bytes, expanded: bytes) -> bool:
        """FIPS 204, algorithms 6 and 24: first stand rho, K, and the digest of the public key."""
        stream = hashlib.shake_256(seed + vectors).digest(128)
        digest = hashlib.shake_256(key.public_key().public_bytes_raw()).digest(64)
        return hmac.compare_digest(expanded[:128], stream[:32] + stream[96:] + digest)

    return fits


_KINDS = {
    "2.16.840.1.101.3.4.3.17": _Kind(
        "ML-DSA-44", mldsa.MLDSA44PrivateKey.from_seed_bytes, 32, 2560, _dsa_fits(b"\x04\x04")
    ),
    "2.16.840.1.101.3.4.3.18": _Kind(
        "ML-DSA-65", mldsa.MLDSA65PrivateKey.from_seed_bytes, 32, 4032, _dsa_fits(b"\x06\x05")
    ),
    "2.16.840.1.101.3.4.3.19": _Kind(
        "ML-DSA-87", mldsa.MLDSA87PrivateKey.from_seed_bytes, 32, 4896, _dsa_fits(b"\x08\x07")
    ),
    "2.16.840.1.101.3.4.4.2": _Kind("ML-KEM-768", mlkem.MLKEM768PrivateKey.from_seed_bytes, 64, 2400, _kem_fits),
    "2.16.840.1.101.3.4.4.3": _Kind("ML-KEM-1024", mlkem.MLKEM1024PrivateKey.from_seed_bytes, 64, 3168, _kem_fits),
}
