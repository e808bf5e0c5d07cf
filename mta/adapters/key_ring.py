"""Our own certificates for S/MIME with their keys (ports.KeyRing): PEM and PKCS #12 files, keys of tokens.

An address has its own in `people` as ADDRESS.pem, ADDRESS.p12 or ADDRESS.pfx, or several in a folder of that name.
Those in `former` may be called anything, and open for the addresses that their certificates name; they open for
another, or for all of a domain, in a file or folder that is called after it (ADDRESS, @DOMAIN).
Files are looked at whenever they are asked for and read again only if they changed, so a new certificate needs no
reload.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cryptography import x509

from mta.adapters.directory.scan import key_of_name, keys
from mta.adapters.key_files import TOKEN
from mta.adapters.own_certificates import FAULTS, may_sign, own_certificates, read_file
from mta.errors import MtaError, SmimeError
from mta.model.address import ascii_lower
from mta.ports import OwnCertificate, TokenKey
from mta.rfc.pkix.person import person_facts
from mta.rfc.smime.pkcs12 import read_pkcs12
from mta.rfc.smime.private_key import read_private_pem

_ENDINGS = (".pem", ".p12", ".pfx")


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where the keys of one domain are; empty strings where there is none. `pair` is the organisation's."""

    pair: tuple[str, str] = ("", "")  # chain and key: paths, the key perhaps a token's URI
    people: str = ""
    former: str = ""
    password: str = field(default="", repr=False)


class FileKeyRing:
    """Keys by domain. `token_key` opens a key of a token by its URI."""

    def __init__(self, places: Mapping[str, KeyPlaces], token_key: TokenKey) -> None:
        self._places = places
        self._token_key = token_key
        self._read: dict[tuple[str, ...], tuple[tuple[int, ...], list[OwnCertificate]]] = {}

    def for_signing(self, domain: str, address: str, now: float, *, whose: str) -> OwnCertificate | None:
        """The one that signs for `address`. Raises MtaError for one that cannot be used."""
        places = self._places.get(domain)
        if places is None:
            return None
        own = list(filter(may_sign, self._own(places, address))) if whose != "domain" else []
        shared = list(filter(may_sign, self._shared(places))) if whose != "sender" else []
        for certificates in (own, shared):
            usable = [each for each in certificates if each.not_before <= now < each.not_after]
            if usable:
                return max(usable, key=lambda each: each.not_before)
        expired = [*own, *shared]
        if expired:
            raise MtaError(f"{max(expired, key=lambda each: each.not_after).place} is not in its time")
        return None

    def for_decrypting(self, domain: str, address: str) -> tuple[OwnCertificate, ...]:
        """Every one that mail to `address` may be encrypted to; files that cannot be used are passed over."""
        places = self._places.get(domain)
        if places is None:
            return ()
        certificates: list[OwnCertificate] = []
        for path in _files_of(places.people, address):
            certificates += self._passable(path, places.password)
        for path, stated in _former_files(places.former):
            certificates += [
                own for own in self._passable(path, places.password) if _opens_for(own, stated, address, domain)
            ]
        with contextlib.suppress(MtaError):
            certificates += self._shared(places)
        return tuple(sorted(certificates, key=lambda each: -each.not_before))

    def _passable(self, path: str, password: str) -> list[OwnCertificate]:
        """What a file holds; nothing of one that is broken: among many it must not keep mail from being read."""
        try:
            return self._file(path, password)
        except MtaError:
            return []

    def _own(self, places: KeyPlaces, address: str) -> list[OwnCertificate]:
        files = _files_of(places.people, address)
        return [own for path in files for own in self._file(path, places.password)]

    def _shared(self, places: KeyPlaces) -> list[OwnCertificate]:
        chain, key = places.pair
        if not chain:
            return []
        return self._kept((chain, key), lambda: self._pair(chain, key, places.password))

    def _file(self, path: str, password: str) -> list[OwnCertificate]:
        read = _read_pkcs12 if path.endswith((".p12", ".pfx")) else _read_pem
        return self._kept((path,), lambda: read(path, password))

    def _pair(self, chain: str, key: str, password: str) -> list[OwnCertificate]:
        certificates = _certificates(read_file(chain), chain)
        if not key.startswith(TOKEN):
            return _own(certificates, _private(read_file(key), key, password), chain)
        return _own(certificates, self._token_key(key, certificates[0].public_key()), f"{chain} with {key}")

    def _kept(self, paths: tuple[str, ...], read: Callable[[], list[OwnCertificate]]) -> list[OwnCertificate]:
        stamps = tuple(number for path in paths for number in _stamp(path))
        cached = self._read.get(paths)
        if cached is None or cached[0] != stamps:
            cached = self._read[paths] = (stamps, read())
        return cached[1]


def _files_of(folder: str, address: str) -> list[str]:
    """The files of one address; its local part is compared without regard to case, as lists of recipients are."""
    if not folder or "/" in address or "\0" in address or address.startswith("."):
        return []
    base = os.path.join(folder, ascii_lower(address))
    alone = [base + ending for ending in _ENDINGS if os.path.isfile(base + ending)]
    return [*alone, *_all_files(base)]


def _all_files(folder: str) -> list[str]:
    return [os.path.join(folder, name) for name in _names_in(folder) if name.endswith(_ENDINGS)]


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder)) if folder else []
    except OSError:
        return []


def _former_files(folder: str) -> Iterator[tuple[str, str]]:
    """Each file of the folder and of those in it that are called after somebody, with whom it is called after."""
    for path in _all_files(folder):
        yield path, key_of_name(os.path.splitext(os.path.basename(path))[0])
    for name in _names_in(folder):
        if called := key_of_name(name):
            yield from ((path, called) for path in _all_files(os.path.join(folder, name)))


def _opens_for(own: OwnCertificate, stated: str, address: str, domain: str) -> bool:
    """Whether a former key is one of this address: everybody can send themselves what was meant for another."""
    return not {address, f"@{domain}"}.isdisjoint({stated, *keys(person_facts(own.certificate))})


def _stamp(path: str) -> tuple[int, ...]:
    if path.startswith(TOKEN):
        return ()
    try:
        state = os.stat(path)
    except OSError as error:
        raise MtaError(f"{path} cannot be read: {error.strerror}") from error
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _read_pem(path: str, password: str) -> list[OwnCertificate]:
    """Certificates and the private key in one file, or the key in a file beside it that ends in .key."""
    content = read_file(path)
    key = content if b"PRIVATE KEY-----" in content else read_file(f"{path.removesuffix('.pem')}.key")
    return _own(_certificates(content, path), _private(key, path, password), path)


def _certificates(content: bytes, path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except FAULTS as error:
        raise MtaError(f"{path} holds no PEM certificates") from error


def _private(content: bytes, path: str, password: str) -> object:
    secret = password.encode() if b"ENCRYPTED" in content else None
    try:
        return read_private_pem(content, secret)
    except SmimeError as error:
        raise MtaError(f"the private key of {path} cannot be read; is password_file the right one? {error}") from error


def _read_pkcs12(path: str, password: str) -> list[OwnCertificate]:
    """Every key of the file: one is often for signing, another for decrypting."""
    try:
        bundle = read_pkcs12(read_file(path), password)
        certificates = [x509.load_der_x509_certificate(der) for der in bundle.certificates]
    except (SmimeError, *FAULTS) as error:
        raise MtaError(f"{path} cannot be opened; is password_file the right one? {error}") from error
    if not bundle.keys:
        raise MtaError(f"{path} holds no private key")
    return [own for key in bundle.keys for own in _own(certificates, key, path)]


def _own(certificates: Iterable[x509.Certificate], key: object, source: str) -> list[OwnCertificate]:
    own = own_certificates(certificates, key, source)
    if not own:
        raise MtaError(f"the private key of {source} is of none of its certificates")
    return own
