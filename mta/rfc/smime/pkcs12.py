"""Reads PKCS #12 files (RFC 7292): all keys and certificates in one, where libraries give the first key alone.

People have one file with a key for signing and another for decrypting. A file says itself how many rounds its keys are
derived in, which may be four thousand million: that is counted before anything is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from mta.errors import SmimeError, SmimeUnsupported
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Element, read
from mta.rfc.smime.password_based import MOST_ROUNDS, mac_holds, opened
from mta.rfc.smime.private_key import open_private_key, read_private_key

_DEEPEST = 4  # octet strings within octet strings: the safe, its contents, a bag
_CONSTRUCTED = 0x20

_DATA, _ENCRYPTED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.6"
_BAG = "1.2.840.113549.1.12.10.1."
_KEY_BAG, _SHROUDED_BAG, _CERTIFICATE_BAG, _NESTED_BAG = f"{_BAG}1", f"{_BAG}2", f"{_BAG}3", f"{_BAG}6"
_FAULTS = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was in a file: private keys of `cryptography`, and certificates (DER)."""

    keys: tuple[object, ...]
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
    if mac is not None and not mac_holds(mac, safe, password):
        raise SmimeError("the password is not that of the file")
    opening = _Opening(password)
    try:
        for content in read(safe, SEQUENCE).children():
            opening.content(content)
    except SmimeUnsupported as error:
        return _by_library(der, password, error)
    return Bundle(tuple(opening.keys), tuple(dict.fromkeys(opening.certificates)))


def is_pkcs12(der: bytes) -> bool:
    """Whether this has the outline of such a file; private keys begin like it. Raises SmimeError for what is no BER."""
    tags = [part.tag for part in read(der, SEQUENCE).children()]
    return tags[:2] == [INTEGER, SEQUENCE] and tags[2:] in ([], [SEQUENCE])


def _by_library(der: bytes, password: str, why: SmimeUnsupported) -> Bundle:
    """Old files (RC2): the library reads more ciphers, and one key. Where it does not, `why` it had to try is told."""
    try:
        bundle = load_pkcs12(der, password.encode() if password else None)
    except _FAULTS:
        raise why from None
    certificates = [each for each in (bundle.cert, *bundle.additional_certs) if each is not None]
    return Bundle(
        () if bundle.key is None else (bundle.key,),
        tuple(each.certificate.public_bytes(Encoding.DER) for each in certificates),
    )


class _Opening:
    """Collects from one content after the other."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.keys: list[object] = []
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
            self._bags(opened(algorithm, sealed, self._password), 0)

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
        self.keys.append(open_private_key(der, self._password) if encrypted else read_private_key(der))


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
        current = waiting.pop()
        if current.tag == OCTET_STRING and depth < _DEEPEST:
            rounds += _rounds_within(bytes(current.body), depth + 1)
        if not current.tag & _CONSTRUCTED:
            continue
        parts = list(current.children())
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
