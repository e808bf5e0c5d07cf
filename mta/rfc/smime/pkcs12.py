"""Reads PKCS #12 files (RFC 7292): all keys and certificates in one, where libraries give the first key alone.

People have one file with a key for signing and another for decrypting. A file says itself how many rounds its keys are
derived in, which may be four thousand million: that is counted before anything is opened.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from mta.errors import SmimeError, SmimeUnsupported
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Element, read

MOST_ROUNDS = 5_000_000  # some seconds; today's files ask for 2,000 to 600,000
_DEEPEST = 4  # octet strings within octet strings: the safe, its contents, a bag
_CONSTRUCTED = 0x20

_DATA, _ENCRYPTED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.6"
_BAG = "1.2.840.113549.1.12.10.1."
_KEY_BAG, _SHROUDED_BAG, _CERTIFICATE_BAG, _NESTED_BAG = f"{_BAG}1", f"{_BAG}2", f"{_BAG}3", f"{_BAG}6"
_TRIPLE_DES = {"1.2.840.113549.1.12.1.3": 24, "1.2.840.113549.1.12.1.4": 16}  # RFC 7292 §C: octets of the key
_PBES2, _PBKDF2 = "1.2.840.113549.1.5.13", "1.2.840.113549.1.5.12"  # RFC 8018
_AES = {"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}
_HMAC = {
    f"1.2.840.113549.2.{7 + place}": name for place, name in ((0, "sha1"), (2, "sha256"), (3, "sha384"), (4, "sha512"))
}
_DIGESTS = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_FAULTS = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was in a file: private keys of `cryptography`, and certificates (DER)."""

    keys: tuple[Any, ...]
    certificates: tuple[bytes, ...]


def read_pkcs12(der: bytes, password: str) -> Bundle:
    """Opens the file. Raises SmimeError, with the reason, where it is none, or the password is another."""
    version, contents, mac = read(der, SEQUENCE).fields(INTEGER, SEQUENCE, SEQUENCE)
    if version is None or contents is None:
        raise SmimeError("no PKCS #12 file")
    rounds = _rounds(contents, 0) + (_rounds(mac, _DEEPEST) + _mac_rounds(mac) if mac else 0)
    if rounds > MOST_ROUNDS:
        raise SmimeError(f"it asks for {rounds} rounds of key derivation, {MOST_ROUNDS} are allowed")
    safe = _octets_of_data(contents)
    if mac is not None and not _mac_holds(mac, safe, password):
        raise SmimeError("the password is not that of the file")
    opening = _Opening(password)
    try:
        for content in read(safe, SEQUENCE).children():
            opening.content(content)
    except SmimeUnsupported:
        return _by_library(der, password)
    return Bundle(tuple(opening.keys), tuple(dict.fromkeys(opening.certificates)))


def _by_library(der: bytes, password: str) -> Bundle:
    """Old files (RC2): the library reads more ciphers, and one key."""
    try:
        found = load_pkcs12(der, password.encode() if password else None)
    except _FAULTS as error:
        raise SmimeError(f"it cannot be opened: {error}") from error
    certificates = [each for each in (found.cert, *found.additional_certs) if each is not None]
    return Bundle(
        () if found.key is None else (found.key,),
        tuple(each.certificate.public_bytes(Encoding.DER) for each in certificates),
    )


class _Opening:
    """Collects from one content after the other."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.keys: list[Any] = []
        self.certificates: list[bytes] = []

    def content(self, content: Element) -> None:
        """A ContentInfo of the safe (RFC 7292 §4.1)."""
        kind, wrapped = content.only(OID, 0xA0)
        if kind.oid() == _DATA:
            self._bags(_octets_of_data(content), 0)
        elif kind.oid() == _ENCRYPTED:
            (inner,) = wrapped.parts(1)
            _, info = inner.only(INTEGER, SEQUENCE)
            _, algorithm, octets = info.parts(3)
            if octets.tag not in (0x80, 0xA0):
                raise SmimeError("an encrypted content without its octets")
            sealed = bytes(octets.body) if octets.tag == 0x80 else octets.octets()
            try:
                inside = _decrypted(algorithm, sealed, self._password)
            except (ValueError, OverflowError) as error:
                raise SmimeError(f"it is encrypted in a way that cannot be: {error}") from error
            self._bags(inside, 0)

    def _bags(self, octets: bytes, depth: int) -> None:
        for bag in read(octets, SEQUENCE).children():
            kind, wrapped, _ = bag.fields(OID, 0xA0, SET)
            if kind is None or wrapped is None:
                raise SmimeError("a bag with a part missing")
            (value,) = wrapped.parts(1)
            if kind.oid() in (_KEY_BAG, _SHROUDED_BAG):
                self._key(value.raw, encrypted=kind.oid() == _SHROUDED_BAG)
            elif kind.oid() == _CERTIFICATE_BAG:
                _, holder = value.only(OID, 0xA0)
                (certificate,) = holder.parts(1)
                self.certificates.append(certificate.octets())
            elif kind.oid() == _NESTED_BAG and depth < _DEEPEST:
                self._bags(value.raw, depth + 1)

    def _key(self, der: bytes, *, encrypted: bool) -> None:
        try:
            self.keys.append(load_der_private_key(der, self._password.encode() if encrypted else None))
        except _FAULTS as error:
            raise SmimeError(f"a private key that cannot be read: {error}") from error


# --- how long it would take -------------------------------------------------------------------------------------------


def _mac_rounds(mac: Element) -> int:
    counted = mac.fields(SEQUENCE, OCTET_STRING, INTEGER)[2]
    return counted.integer() if counted else 1


def _rounds(element: Element, depth: int) -> int:
    """The rounds that are asked for in and under `element`.

    Parameters of every key derivation begin with a salt and the rounds (RFC 8018 §A.2 and §A.3, RFC 7292 §C).
    """
    rounds = 0
    waiting = [element]
    while waiting:
        one = waiting.pop()
        if one.tag == OCTET_STRING and depth < _DEEPEST:
            rounds += _rounds_within(bytes(one.body), depth + 1)
        if not one.tag & _CONSTRUCTED:
            continue
        parts = list(one.children())
        if [part.tag for part in parts[:2]] == [OCTET_STRING, INTEGER]:
            rounds += abs(parts[1].integer())
        else:
            waiting.extend(parts)
    return rounds


def _rounds_within(octets: bytes, depth: int) -> int:
    """The same of an octet string that holds BER itself; one that does not asks for nothing."""
    if octets[:1] != b"\x30":
        return 0
    try:
        inside = read(octets, SEQUENCE)
    except SmimeError:
        return 0
    return _rounds(inside, depth)


# --- opening ----------------------------------------------------------------------------------------------------------


def _octets_of_data(content: Element) -> bytes:
    kind, wrapped = content.only(OID, 0xA0)
    if kind.oid() != _DATA:
        raise SmimeError("a file that is protected with certificates, or not at all as RFC 7292 says")
    (value,) = wrapped.parts(1)
    return value.octets()


def _mac_holds(mac: Element, safe: bytes, password: str) -> bool:
    info, salt, rounds = mac.fields(SEQUENCE, OCTET_STRING, INTEGER)
    if info is None or salt is None:
        raise SmimeError("a MAC with a part missing")
    algorithm, digest = info.only(SEQUENCE, OCTET_STRING)
    name = _DIGESTS.get(next(algorithm.children()).oid())
    if name is None:
        raise SmimeError("a MAC of a kind that is not known here")
    count = rounds.integer() if rounds else 1
    size = hashlib.new(name, usedforsecurity=False).digest_size
    for secret in _secrets(password):
        key = derived(3, secret, salt.octets(), count, (name, size))
        if hmac.compare_digest(hmac.new(key, safe, name).digest(), digest.octets()):
            return True
    return False


def _secrets(password: str) -> Iterator[bytes]:
    """RFC 7292 §B.1: UTF-16 and a final zero; an empty password is written in two ways."""
    yield password.encode("utf-16-be") + b"\0\0"
    if not password:
        yield b""


def derived(purpose: int, secret: bytes, salt: bytes, rounds: int, digest: tuple[str, int]) -> bytes:
    """A key (`purpose` 1), an initial value (2) or a key for a MAC (3): RFC 7292 §B.2.

    `digest` is its name, and how many octets are wanted.
    """
    name, size = digest
    block = hashlib.new(name, usedforsecurity=False).block_size
    mixed = bytearray(_filled(salt, block) + _filled(secret, block))
    key = b""
    while len(key) < size:
        found = hashlib.new(name, bytes([purpose]) * block + mixed, usedforsecurity=False).digest()
        for _ in range(rounds - 1):
            found = hashlib.new(name, found, usedforsecurity=False).digest()
        key += found
        addend = int.from_bytes(_filled(found, block), "big") + 1
        for at in range(0, len(mixed), block):
            total = int.from_bytes(mixed[at : at + block], "big") + addend
            mixed[at : at + block] = (total % (1 << 8 * block)).to_bytes(block, "big")
    return key[:size]


def _filled(octets: bytes, block: int) -> bytes:
    """Repeated up to a whole number of blocks."""
    size = -(-len(octets) // block) * block
    return (octets * (size // len(octets) + 1))[:size] if octets else b""


def _decrypted(algorithm: Element, sealed: bytes, password: str) -> bytes:
    identifier, parameters = algorithm.parts(2)
    oid = identifier.oid()
    if oid in _TRIPLE_DES:
        salt, count = parameters.only(OCTET_STRING, INTEGER)
        secret = next(_secrets(password))
        key = derived(1, secret, salt.octets(), count.integer(), ("sha1", _TRIPLE_DES[oid]))
        start = derived(2, secret, salt.octets(), count.integer(), ("sha1", 8))
        return _unpadded(Cipher(TripleDES(key), CBC(start)), sealed, 64)
    if oid == _PBES2:
        return _decrypted_pbes2(parameters, sealed, password)
    raise SmimeUnsupported(f"it is encrypted in a way ({oid}) that is not known here")


def _decrypted_pbes2(parameters: Element, sealed: bytes, password: str) -> bytes:
    derivation, scheme = parameters.only(SEQUENCE, SEQUENCE)
    kind, values = derivation.parts(2)
    cipher, start = scheme.parts(2)
    salt, count, _, function = values.fields(OCTET_STRING, INTEGER, INTEGER, SEQUENCE)
    size = _AES.get(cipher.oid())
    name = _HMAC.get(next(function.children()).oid()) if function else "sha1"
    if kind.oid() != _PBKDF2 or salt is None or count is None or size is None or name is None:
        raise SmimeUnsupported("it is encrypted in a way that is not known here")
    key = hashlib.pbkdf2_hmac(name, password.encode(), salt.octets(), count.integer(), size)
    return _unpadded(Cipher(AES(key), CBC(start.octets())), sealed, 128)


def _unpadded(cipher: Cipher[CBC], sealed: bytes, bits: int) -> bytes:
    try:
        decryptor, padding = cipher.decryptor(), PKCS7(bits).unpadder()
        return padding.update(decryptor.update(sealed) + decryptor.finalize()) + padding.finalize()
    except ValueError as error:
        raise SmimeError("the password is not that of the file") from error
