"""Reads key records: RFC 6376 §3.6.1 and RFC 8463 §4."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mta.rfc.dkim.parse import TagError, decode, parse_tags, show

RECORD_LIMIT = 4096  # octets
RSA_BITS = (1024, 8192)  # RFC 8301 §3.2: shorter ones prove nothing; longer ones cost more than they prove
_EXPONENT_BITS = 64

PublicKey = RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A usable key record. `bits` is the size of an RSA key, 0 for Ed25519; `key` is None for a revoked one."""

    kind: str  # k=
    key: PublicKey | None
    bits: int
    hashes: tuple[str, ...]  # h=, empty: all
    services: tuple[str, ...]
    testing: bool
    strict: bool  # t=s: i= must be in d= itself

    @property
    def revoked(self) -> bool:
        """Whether the owner has taken the key back: p= without a value."""
        return self.key is None


@lru_cache(maxsize=512)  # the same few records serve most mail, and reading a key costs as much as a verification
def parse_key(record: bytes) -> KeyRecord:
    """A key record from the joined strings of a TXT record. Raises TagError with the reason why it cannot be one."""
    if len(record) > RECORD_LIMIT:
        raise TagError(f"the key record is longer than {RECORD_LIMIT} octets")
    tags = parse_tags(record)
    # RFC 6376 §3.6.1: v= comes first, if at all, and a record of any other version is discarded
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != b"DKIM1"):
        raise TagError("the key record is not of version DKIM1")
    if "p" not in tags:
        raise TagError("the key record has no p=, so there is no key")
    kind = tags.get("k", b"rsa").decode("utf-8")
    if kind not in _LOADERS:
        raise TagError(f"the kind of key k={show(kind)} is not known here")
    key, bits = _LOADERS[kind](tags) if tags["p"] else (None, 0)
    flags = _words(tags, "t")
    return KeyRecord(kind, key, bits, _words(tags, "h"), _words(tags, "s") or ("*",), "y" in flags, "s" in flags)


def is_key_record(record: bytes) -> bool:
    """Whether it means to be a key: a wildcard's or a neighbour's TXT record under the same name does not."""
    head = record.partition(b";")[0].replace(b" ", b"").replace(b"\t", b"")
    if head.startswith(b"v="):
        return head.startswith(b"v=DKIM")
    return any(part.strip(b" \t").startswith((b"p=", b"p ", b"p\t")) for part in record.split(b";"))


def distinct(records: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those that say something else than the ones before: a key that is published twice is one key, however spelled."""
    texts: list[bytes] = []
    unlike: list[KeyRecord] = []
    for record in dict.fromkeys(records):
        try:
            key = parse_key(record)
        except TagError:
            texts.append(record)
            continue
        if key not in unlike:
            unlike.append(key)
            texts.append(record)
    return tuple(texts)


def _rsa(tags: dict[str, bytes]) -> tuple[PublicKey, int]:
    try:
        # RFC 6376 §3.6.1 says RSAPublicKey, its examples are SubjectPublicKeyInfo: both are read
        key = load_der_public_key(decode(tags, "p"))
    except (ValueError, UnsupportedAlgorithm):
        raise TagError("p= of the key record is no RSA key") from None
    if not isinstance(key, RSAPublicKey) or key.public_numbers().e.bit_length() > _EXPONENT_BITS:
        raise TagError("p= of the key record is no RSA key that can be used")
    if key.key_size < RSA_BITS[0]:
        raise TagError(f"the RSA key has {key.key_size} bits, and fewer than {RSA_BITS[0]} prove nothing (RFC 8301)")
    if key.key_size > RSA_BITS[1]:
        raise TagError(f"the RSA key has {key.key_size} bits; at most {RSA_BITS[1]} are taken")
    return key, key.key_size


def _ed25519(tags: dict[str, bytes]) -> tuple[PublicKey, int]:
    try:
        return Ed25519PublicKey.from_public_bytes(decode(tags, "p")), 0
    except ValueError:
        raise TagError("p= of the key record is no Ed25519 key of 32 octets (RFC 8463)") from None


def _words(tags: dict[str, bytes], name: str) -> tuple[str, ...]:
    return tuple(word.strip().decode("utf-8") for word in tags.get(name, b"").split(b":") if word.strip())


_LOADERS = {"rsa": _rsa, "ed25519": _ed25519}
