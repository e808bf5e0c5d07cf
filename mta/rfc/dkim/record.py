"""Writes the record that publishes a key of ours, and compares it with the one that is published."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.rfc.dkim.key import KeyRecord, PublicKey, distinct, is_key_record, parse_key
from mta.rfc.dkim.parse import TagError

EMAIL = "email"
_IN_WORDS = {EMAIL: "mail", "tlsrpt": "TLS reports"}  # services of a key: RFC 6376 §3.6.1, RFC 8460 §3
MAX_STRING = 255  # RFC 1035 §3.3: octets of one character-string


def kind_of(key: PublicKey) -> str:
    """The `k=` of a key: `rsa` or `ed25519`. With `-sha256` behind it, it is the `a=` of its signatures."""
    return "rsa" if isinstance(key, RSAPublicKey) else "ed25519"


def record_name(selector: str, domain: str) -> str:
    """Where the record stands, without a final dot (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def compose_record(key: PublicKey, service: str = EMAIL) -> str:
    """The text of the TXT record for `key`; it names the service where that is not mail."""
    named = "" if service == EMAIL else f" s={service};"
    return f"v=DKIM1; k={kind_of(key)};{named} p={base64.b64encode(_octets(key)).decode('ascii')}"


def strings(record: str) -> tuple[str, ...]:
    """The record as the character-strings of one TXT record."""
    # RFC 6376 §3.6.2.2: they are joined again without anything between them
    return tuple(record[begin : begin + MAX_STRING] for begin in range(0, len(record), MAX_STRING))


def key_records(records: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of the TXT records of one name that mean to be keys, each key once; all of them if none does."""
    return distinct(filter(is_key_record, records)) or records


def differences(record: bytes, key: PublicKey, service: str = EMAIL) -> tuple[str, ...]:
    """What keeps `record` (its strings joined) from proving what `key` signs; empty if nothing does."""
    try:
        published = parse_key(record)
    except TagError as error:
        return (str(error),)
    if published.revoked:
        return ("the key is revoked there: p= is empty",)
    return tuple(fault for fault in (_other_key(published, key), *_restrictions(published, service)) if fault)


def is_test(record: bytes) -> bool:
    """Whether it says `t=y`: verifiers treat what is signed like what is not (RFC 6376 §3.6.1)."""
    try:
        return parse_key(record).testing
    except TagError:
        return False


def _octets(key: PublicKey) -> bytes:
    if isinstance(key, RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)  # RFC 8463 §4: 32 octets, without ASN.1


def _other_key(published: KeyRecord, key: PublicKey) -> str:
    if published.kind != kind_of(key):
        return f"it says k={published.kind}, our key is {kind_of(key)}"
    same = published.key is not None and _octets(published.key) == _octets(key)
    return "" if same else "it publishes another key than ours"


def _restrictions(published: KeyRecord, service: str) -> tuple[str, ...]:
    """RFC 6376 §3.6.1: hashes and services that the record permits."""
    hashes, services = published.hashes, published.services
    return (
        f"it permits other hashes only: h={':'.join(hashes)}" if hashes and "sha256" not in hashes else "",
        f"it is not for {_IN_WORDS[service]}: s={':'.join(services)}" if not {"*", service} & set(services) else "",
    )
