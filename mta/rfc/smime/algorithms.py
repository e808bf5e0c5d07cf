"""The algorithms of CMS by name and object identifier: what is used, what is only read, what is too weak for either.

Everything is looked up by dotted object identifier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes

from mta.errors import SmimeError
from mta.model.frozen import frozen
from mta.rfc.smime import der
from mta.rfc.smime.ber import OID, SEQUENCE, Element

Pieces = Sequence[bytes | memoryview]  # a content that may be large, without being moved into one place

# content types (RFC 5652, RFC 5083, RFC 3274)
DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"
CONTENT_TYPES = {
    DATA: "data",
    SIGNED_DATA: "signed-data",
    ENVELOPED_DATA: "enveloped-data",
    AUTH_ENVELOPED_DATA: "auth-enveloped-data",
    COMPRESSED_DATA: "compressed-data",
    "1.2.840.113549.1.7.5": "digested-data",
    "1.2.840.113549.1.7.6": "encrypted-data",
    "1.2.840.113549.1.9.16.1.2": "authenticated-data",
    "1.2.840.113549.1.9.16.1.1": "receipt",
    "1.2.840.113549.1.9.16.1.4": "time-stamp",
}

# attributes (RFC 5652 §11, RFC 8551 §2.5, RFC 5035, RFC 6211)
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
CAPABILITIES = "1.2.840.113549.1.9.15"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"

# signatures
RSA = "1.2.840.113549.1.1.1"
RSA_PSS = "1.2.840.113549.1.1.10"
ED25519 = "1.3.101.112"
RSA_WITH = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.113549.1.1.14": "sha224",
    "2.16.840.1.101.3.4.3.14": "sha3-256",  # RFC 9688
    "2.16.840.1.101.3.4.3.15": "sha3-384",
    "2.16.840.1.101.3.4.3.16": "sha3-512",
}
ECDSA_WITH = {
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
    "2.16.840.1.101.3.4.3.10": "sha3-256",
    "2.16.840.1.101.3.4.3.11": "sha3-384",
    "2.16.840.1.101.3.4.3.12": "sha3-512",
}
ML_DSA = {
    "2.16.840.1.101.3.4.3.17": "ml-dsa-44",
    "2.16.840.1.101.3.4.3.18": "ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "ml-dsa-87",
}

# transport of content keys
OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
PSPECIFIED = "1.2.840.113549.1.1.9"

WEAK = {  # known, and never enough: the name for the reason
    "1.2.840.113549.2.2": "MD2",
    "1.2.840.113549.2.4": "MD4",
    "1.2.840.113549.2.5": "MD5",
    "1.3.14.3.2.26": "SHA-1",
    "1.3.36.3.2.1": "RIPEMD-160",
    "1.2.840.113549.1.1.2": "RSA with MD2",
    "1.2.840.113549.1.1.3": "RSA with MD4",
    "1.2.840.113549.1.1.4": "RSA with MD5",
    "1.2.840.113549.1.1.5": "RSA with SHA-1",
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.10040.4.3": "DSA",
    "2.16.840.1.101.3.4.3.1": "DSA",
    "2.16.840.1.101.3.4.3.2": "DSA",
    "1.2.840.10045.4.1": "ECDSA with SHA-1",
    "1.2.840.113549.3.2": "RC2",
    "1.2.840.113549.3.4": "RC4",
    "1.3.14.3.2.7": "DES",
}


@dataclass(frozen=True, slots=True)
class Digest:
    """A hash function: its word, its identifier, and both libraries' forms of it."""

    name: str
    oid: str
    hash: hashes.HashAlgorithm
    new: Callable[[], Any]

    def of(self, *pieces: bytes | memoryview) -> bytes:
        """The digest of the content, which may come in pieces."""
        hashed = self.new()
        for piece in pieces:
            hashed.update(piece)
        return bytes(hashed.digest(self.hash.digest_size) if self.name.startswith("shake") else hashed.digest())


DIGESTS = {
    digest.name: digest
    for digest in (
        Digest("sha256", "2.16.840.1.101.3.4.2.1", hashes.SHA256(), hashlib.sha256),
        Digest("sha384", "2.16.840.1.101.3.4.2.2", hashes.SHA384(), hashlib.sha384),
        Digest("sha512", "2.16.840.1.101.3.4.2.3", hashes.SHA512(), hashlib.sha512),
        Digest("sha224", "2.16.840.1.101.3.4.2.4", hashes.SHA224(), hashlib.sha224),
        Digest("sha3-256", "2.16.840.1.101.3.4.2.8", hashes.SHA3_256(), hashlib.sha3_256),
        Digest("sha3-384", "2.16.840.1.101.3.4.2.9", hashes.SHA3_384(), hashlib.sha3_384),
        Digest("sha3-512", "2.16.840.1.101.3.4.2.10", hashes.SHA3_512(), hashlib.sha3_512),
        Digest("shake256", "2.16.840.1.101.3.4.2.12", hashes.SHAKE256(64), hashlib.shake_256),  # RFC 8702 §3.1
    )
}
DIGEST_OF = {digest.oid: digest for digest in DIGESTS.values()}
SHA1 = "1.3.14.3.2.26"


@frozen
class Algorithm:
    """An AlgorithmIdentifier as it was read. `parameters` is their DER, empty where they are absent."""

    oid: str
    parameters: bytes = b""
    raw: bytes = b""

    @property
    def name(self) -> str:
        """A word for people."""
        digest = DIGEST_OF.get(self.oid)
        return WEAK.get(self.oid) or (digest.name if digest else self.oid)

    @property
    def bare(self) -> bool:
        """Whether the parameters are absent or NULL, which readers treat alike (RFC 5754 §2)."""
        return self.parameters in (b"", der.NULL)


def read_algorithm(element: Element) -> Algorithm:
    """An AlgorithmIdentifier, however tagged."""
    parts = list(element.children())
    if not parts or parts[0].tag != OID or len(parts) > 2:
        raise SmimeError("an algorithm identifier that is none")
    return Algorithm(parts[0].oid(), parts[1].definite if len(parts) == 2 else b"", element.definite)


def hash_oid(tagged: Element | None) -> str:
    """The hash in an explicit tag, as in the parameters of PSS and OAEP (RFC 4055 §2.1); SHA-1 if there is none."""
    return _hash(tagged.only(SEQUENCE)[0]) if tagged else SHA1


def mask_oid(tagged: Element | None) -> str:
    """The hash of MGF1 in an explicit tag (RFC 4055 §2.2); SHA-1 if there is none."""
    if tagged is None:
        return SHA1
    kind, inner = tagged.only(SEQUENCE)[0].only(OID, SEQUENCE)
    if kind.oid() != MGF1:
        raise SmimeError("a mask that is not known here")
    return _hash(inner)


def _hash(element: Element) -> str:
    algorithm = read_algorithm(element)
    if not algorithm.bare:
        raise SmimeError("a hash with parameters")
    return algorithm.oid
