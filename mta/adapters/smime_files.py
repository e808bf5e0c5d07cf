"""Certificates and private keys that people bring to `mta smime` in files: PEM, DER and PKCS #12, each bounded."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from mta.adapters.own_certificates import FAULTS, own_certificates, read_file
from mta.errors import MtaError, SmimeError, UsageError
from mta.model.tls import RevocationList
from mta.ports import OwnCertificate
from mta.rfc.pkix.bundle import certificates_in
from mta.rfc.pkix.crl import read_lists as parse_lists
from mta.rfc.smime.pkcs12 import is_pkcs12, read_pkcs12
from mta.rfc.smime.private_key import open_private_key, read_private_pem

_PEM = b"-----BEGIN "
_KEY = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class _Found:
    """What files held: certificates (each once), and keys, those of PKCS #12 with the others."""

    certificates: tuple[x509.Certificate, ...] = ()
    keys: tuple[tuple[object, str], ...] = ()  # with the file each was in


def read_certificates(paths: Iterable[str]) -> tuple[bytes, ...]:
    """Every certificate in these files, or in the files of these folders (DER), in their order.

    Raises UsageError for a file without any.
    """
    certificates: dict[bytes, None] = {}
    for path in paths:
        for file in _files(path):
            try:
                certificates.update(dict.fromkeys(certificates_in(_octets(file))))
            except ValueError as error:
                raise UsageError(f"{file}: no certificate in PEM, DER or PKCS #7: {error}") from error
    return tuple(certificates)


def read_lists(paths: Iterable[str]) -> tuple[RevocationList, ...]:
    """Every revocation list in these files and folders. Raises UsageError for a file without any."""
    lists: list[RevocationList] = []
    for path in paths:
        for file in _files(path):
            try:
                lists.extend(parse_lists(_octets(file)))
            except ValueError as error:
                raise UsageError(f"{file}: {error}") from error
    return tuple(lists)


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    return sorted(entry.path for entry in os.scandir(path) if entry.is_file())


def read_own(certificates: Sequence[str], keys: Sequence[str], password: str = "") -> tuple[OwnCertificate, ...]:
    """The private keys in files `keys`, in their order, each with its certificate out of all these files.

    Raises UsageError for a key without one.
    """
    own: list[OwnCertificate] = []
    known: dict[bytes, x509.Certificate] = {}
    for path in certificates:
        for certificate in _certificates(_octets(path), path):
            known[certificate.public_bytes(Encoding.DER)] = certificate
    pairs: list[tuple[object, str]] = []
    for path in keys:
        contents = _read(path, password)
        known.update((certificate.public_bytes(Encoding.DER), certificate) for certificate in contents.certificates)
        pairs.extend(contents.keys)
    for key, path in pairs:
        found_for = own_certificates(known.values(), key, path)
        if not found_for:
            raise UsageError(f"{path}: no certificate for this private key was given (--cert)")
        own.extend(found_for)
    return tuple(own)


def _read(path: str, password: str) -> _Found:
    """One file with a private key."""
    content = _octets(path)
    if content.startswith(_PEM) or _KEY in content:
        inside = _certificates(content, path) if b"BEGIN CERTIFICATE" in content else []
        return _Found(tuple(inside), ((_private(content, path, password), path),))
    try:
        if not is_pkcs12(content):
            return _Found(keys=((open_private_key(content, password), path),))
    except SmimeError as error:
        raise UsageError(f"{path}: no private key that --password-file opens: {error}") from error
    return _pkcs12(content, path, password)


def _private(content: bytes, path: str, password: str) -> object:
    secret = password.encode() if b"ENCRYPTED" in content else None
    try:
        return read_private_pem(content, secret)
    except SmimeError as error:
        raise UsageError(
            f"{path}: the private key cannot be read, or needs another --password-file: {error}"
        ) from error


def _pkcs12(content: bytes, path: str, password: str) -> _Found:
    try:
        bundle = read_pkcs12(content, password)
        with _quietly():
            certificates = tuple(x509.load_der_x509_certificate(der) for der in bundle.certificates)
    except (SmimeError, *FAULTS) as error:
        raise UsageError(f"{path}: no PKCS #12 that --password-file opens: {error}") from error
    if not bundle.keys:
        raise UsageError(f"{path}: it holds no private key")
    return _Found(certificates, tuple((key, path) for key in bundle.keys))


def _certificates(content: bytes, path: str) -> list[x509.Certificate]:
    try:
        with _quietly():
            if _PEM in content:
                return x509.load_pem_x509_certificates(content)
            return [x509.load_der_x509_certificate(content)]
    except FAULTS as error:
        raise UsageError(f"{path}: no certificate in PEM or DER: {error}") from error


def _octets(path: str) -> bytes:
    try:
        return read_file(path)
    except MtaError as error:
        raise UsageError(str(error)) from error


def _quietly() -> warnings.catch_warnings[None]:
    """What cryptography says of old certificates is no news for whoever reads our standard error."""
    return warnings.catch_warnings(action="ignore", category=CryptographyDeprecationWarning)
