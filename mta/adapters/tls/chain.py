"""Judges certificate chains with OpenSSL (ports.ChainVerifier). Purposes (EKU) and names are judged elsewhere.

Two properties of the binding shape this file. A store's time can be set only once (later calls are silently
ignored), so OpenSSL never looks at the time here: certificates that are not valid at the moment are left out, and
only if no path is found without them are they let in again, to tell `expired` from `untrusted`. And a failed
verification leaves its errors in OpenSSL's queue, where the next TLS record would stumble over them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from OpenSSL import crypto

from mta.errors import ConfigurationError
from mta.model.tls import CertificateFacts, PathFault, PathVerdict, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.constraints import constraint_fault

MAX_CERTIFICATES = 10
MAX_OCTETS = 102_400
MAX_PREPARED = 4096  # anchor sets that are kept ready
MAX_PATHS = 1024  # paths that were found before: a partner's chain comes again and again

NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which pyOpenSSL does not name
# X509_V_ERR_*: no issuer (2, 20), self-signed (18, 19), one certificate alone (21), not trusted (27)
UNTRUSTED_ERRORS = frozenset({2, 18, 19, 20, 21, 27})
BROKEN_HASHES = frozenset({"md5", "sha1"})
SMALLEST_KEY = 2048  # bits of RSA and DSA
SMALLEST_CURVE = 224  # bits; both are 112 bits of security, OpenSSL's own floor

SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_T = TypeVar("_T")


class OpenSslChainVerifier:
    """Implements ports.ChainVerifier. Anchor sets are prepared once; the system's is read at its first use."""

    def __init__(self) -> None:
        self._prepared: dict[object, _Anchors] = {}
        self._paths: dict[object, list[CertificateFacts]] = {}

    def verify(self, chain: Sequence[CertificateFacts], anchors: TrustAnchors, now: float) -> PathVerdict:
        """Whether `chain` (leaf first, as sent) leads to one of `anchors` at epoch second `now`.

        A certificate in `anchors` is an anchor whether it is a root, an intermediate or the leaf itself. Raises
        ConfigurationError if the anchors cannot be read.
        """
        if not chain:
            return PathVerdict(PathFault.UNTRUSTED, "no certificate was shown")
        octets = sum(len(certificate.der) for certificate in chain)
        if len(chain) > MAX_CERTIFICATES or octets > MAX_OCTETS:
            return PathVerdict(PathFault.INVALID, f"{len(chain)} certificates of {octets} octets are too many")
        key = (_key(anchors), *(certificate.sha256 for certificate in chain))
        path = self._paths.get(key)
        if path and all(_is_valid(certificate, now) for certificate in path):
            return _strength(path)  # its signatures are what they were
        outcome = _judge(chain, self._anchors(anchors), now)
        if not outcome.path:
            return _fault(outcome)
        if wrong := constraint_fault([certificate.der for certificate in outcome.path]):  # OpenSSL lets wildcards pass
            return PathVerdict(PathFault.INVALID, wrong)
        _keep(self._paths, key, outcome.path, MAX_PATHS)
        return _time_fault(outcome.path, now)

    def _anchors(self, anchors: TrustAnchors) -> _Anchors:
        prepared = self._prepared.get(_key(anchors))
        if prepared is None:
            prepared = _Anchors(_system_anchors() if anchors.is_system else _explicit(anchors))
            _keep(self._prepared, _key(anchors), prepared, MAX_PREPARED)
        return prepared


def _key(anchors: TrustAnchors) -> object:
    return "system" if anchors.is_system else anchors.digest or anchors.certificates


def _keep(cache: dict[object, _T], key: object, value: _T, most: int) -> None:
    """Remember, at the price of the oldest."""
    cache.pop(key, None)
    if len(cache) >= most:
        del cache[next(iter(cache))]
    cache[key] = value


@dataclass(slots=True)
class _Outcome:
    """What OpenSSL said: the path it found, or its error with the certificate concerned."""

    path: list[CertificateFacts] = field(default_factory=list)
    error: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Anchor:
    certificate: crypto.X509
    facts: CertificateFacts


class _Anchors:
    """An anchor set, with one store of them all and one of those that are valid now."""

    def __init__(self, anchors: Iterable[_Anchor]) -> None:
        self._anchors = tuple(anchors)
        self.all = _store(self._anchors)
        self._valid_now = self.all
        self._from = self._until = 0.0  # the span in which `_valid_now` stays what it is

    def valid_at(self, now: float) -> crypto.X509Store:
        if not self._from <= now <= self._until:
            self._select(now)
        return self._valid_now

    def _select(self, now: float) -> None:
        valid = tuple(anchor for anchor in self._anchors if _is_valid(anchor.facts, now))
        self._valid_now = self.all if len(valid) == len(self._anchors) else _store(valid)
        # One that becomes valid within the span is found by the second look, among all anchors.
        self._from, self._until = now, min([now + 86_400, *(anchor.facts.not_after for anchor in valid)])


def _judge(chain: Sequence[CertificateFacts], anchors: _Anchors, now: float) -> _Outcome:
    """A path that is valid now; else any path at all, whose time is then its fault."""
    valid = [certificate for certificate in chain if _is_valid(certificate, now)]
    store = anchors.valid_at(now)
    outcome = _find_path(valid, store) if _is_valid(chain[0], now) else _Outcome()
    if outcome.path or (len(valid) == len(chain) and store is anchors.all):
        return outcome
    return _find_path(chain, anchors.all)


def _find_path(chain: Sequence[CertificateFacts], store: crypto.X509Store) -> _Outcome:
    try:
        leaf, *others = (crypto.load_certificate(crypto.FILETYPE_ASN1, certificate.der) for certificate in chain)
        path = crypto.X509StoreContext(store, leaf, others).get_verified_chain()
    except crypto.X509StoreContextError as error:
        _drain_error_queue()
        return _Outcome(error=error.errors[0], detail=f"{error.errors[2]}: {_subject(error.certificate)}")
    except crypto.Error:
        return _Outcome(error=-1, detail=f"a certificate cannot be read: {chain[0].subject}")
    return _Outcome([certificate_facts(crypto.dump_certificate(crypto.FILETYPE_ASN1, each)) for each in path])


def _fault(outcome: _Outcome) -> PathVerdict:
    fault = PathFault.UNTRUSTED if outcome.error in UNTRUSTED_ERRORS else PathFault.INVALID
    return PathVerdict(fault, outcome.detail)


def _time_fault(path: Sequence[CertificateFacts], now: float) -> PathVerdict:
    for certificate in path:
        if now > certificate.not_after:
            return PathVerdict(PathFault.EXPIRED, f"certificate has expired: {certificate.subject}")
        if now < certificate.not_before:
            return PathVerdict(PathFault.NOT_YET_VALID, f"certificate is not yet valid: {certificate.subject}")
    return _strength(path)


def _strength(path: Sequence[CertificateFacts]) -> PathVerdict:
    """The binding cannot set OpenSSL's security level for a store, which would otherwise take MD5 and 512 bits."""
    for depth, certificate in enumerate(path):
        weakness = _weakness(certificate.der, depth == len(path) - 1)
        if weakness:
            return PathVerdict(PathFault.INVALID, f"{weakness}: {certificate.subject}")
    return PathVerdict(path=tuple(path))


@lru_cache(1024)
def _weakness(der: bytes, is_anchor: bool) -> str:
    """Why this certificate must not be relied upon, or nothing; how an anchor was signed does not matter."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        algorithm = None if is_anchor else certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"unusable algorithm ({error})"
    if algorithm is not None and algorithm.name in BROKEN_HASHES:
        return f"signed with {algorithm.name}, which is broken"
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < SMALLEST_KEY:
        return f"key of {key.key_size} bits, at least {SMALLEST_KEY} are needed"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < SMALLEST_CURVE:
        return f"key of {key.curve.key_size} bits, at least {SMALLEST_CURVE} are needed"
    return ""


def _is_valid(certificate: CertificateFacts, now: float) -> bool:
    return certificate.not_before <= now <= certificate.not_after


def _subject(certificate: crypto.X509) -> str:
    return certificate_facts(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)).subject


def _drain_error_queue() -> None:
    """Have pyOpenSSL raise, for that takes every waiting error out of the queue."""
    try:
        crypto.load_certificate(crypto.FILETYPE_ASN1, b"")
    except crypto.Error:
        return


# --- anchors -----------------------------------------------------------------------------------------------------


def _store(anchors: Iterable[_Anchor]) -> crypto.X509Store:
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | NO_CHECK_TIME)
    for anchor in anchors:
        store.add_cert(anchor.certificate)
    return store


def _explicit(anchors: TrustAnchors) -> Iterator[_Anchor]:
    for der in anchors.certificates:
        try:
            yield _Anchor(crypto.load_certificate(crypto.FILETYPE_ASN1, der), certificate_facts(der))
        except (crypto.Error, ValueError) as error:
            raise ConfigurationError((f"{anchors.path}: a CA certificate cannot be read: {error}",)) from error


def _system_anchors() -> Iterator[_Anchor]:
    """The operating system's trust store; a root there that cannot be read is left out."""
    for path in _system_files():
        for pem in PEM.findall(path.read_bytes()):
            try:
                certificate = crypto.load_certificate(crypto.FILETYPE_PEM, pem)
                facts = certificate_facts(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
            except (crypto.Error, ValueError):
                continue
            yield _Anchor(certificate, facts)


def _system_files() -> list[Path]:
    paths = ssl.get_default_verify_paths()
    for bundle in (paths.cafile, *SYSTEM_BUNDLES):
        if bundle and Path(bundle).is_file():
            return [Path(bundle)]
    folder = Path(paths.capath or "/etc/ssl/certs")
    return sorted(folder.glob("*.pem")) if folder.is_dir() else []
