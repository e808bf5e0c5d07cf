"""Certificate revocation lists (RFC 5280 §5, §6.3): read once into facts, then asked about a certificate.

Complete lists of the issuer itself are used, whole or divided (by kind of certificate, or by distribution point).
Delta lists, indirect lists and those that know some reasons only say nothing here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mta.model.tls import CertificateFacts, RevocationList, RevocationState, RevocationStatus
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, read_certificate

PEM = b"-----BEGIN X509 CRL-----"
END = b"-----END X509 CRL-----"
SKEW = 300.0  # seconds that an issuer's clock may be ahead of ours
BROKEN_HASHES = frozenset({"md5", "sha1"})
_UNDERSTOOD = (x509.IssuingDistributionPoint, x509.AuthorityKeyIdentifier, x509.CRLNumber)
_SIGNERS = (
    rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)


def read_lists(data: bytes) -> tuple[RevocationList, ...]:
    """The lists of a file: one in DER, or any number in PEM. Raises ValueError."""
    if PEM not in data:
        return (_read(_parsed(data, pem=False)),)
    parts = data.split(PEM)[1:]
    return tuple(_read(_parsed(PEM + part.partition(END)[0] + END, pem=True)) for part in parts)


def _parsed(data: bytes, *, pem: bool) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    except UNREADABLE_ERRORS as error:
        raise ValueError(f"no certificate revocation list: {error}") from error


def _read(crl: x509.CertificateRevocationList) -> RevocationList:
    try:
        der = crl.public_bytes(Encoding.DER)
        next_update = crl.next_update_utc
        points, scope, fault = _scope(crl)
        return RevocationList(
            sha256=hashlib.sha256(der).hexdigest(),
            der=der,
            issuer=crl.issuer.public_bytes(),
            issuer_name=crl.issuer.rfc4514_string(),
            this_update=crl.last_update_utc.timestamp(),
            next_update=next_update.timestamp() if next_update else 0.0,
            serials=frozenset(entry.serial_number for entry in crl),
            points=points,
            scope=scope,
            fault=fault,
        )
    except UNREADABLE_ERRORS as error:
        raise ValueError(f"a certificate revocation list cannot be read: {error}") from error


def _scope(crl: x509.CertificateRevocationList) -> tuple[tuple[str, ...], str, str]:
    """Distribution points it is limited to, kind of certificates it is limited to, why it cannot be used."""
    points: tuple[str, ...] = ()
    scope = ""
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator):
            return (), "", "it is a delta list"
        if isinstance(value, x509.IssuingDistributionPoint):
            if value.indirect_crl or value.only_some_reasons or value.only_contains_attribute_certs:
                return (), "", "it is indirect or knows some reasons only"
            if value.relative_name is not None:
                return (), "", "its distribution point has a relative name"
            points = _uris(value.full_name)
            scope = "leaf" if value.only_contains_user_certs else "authority" if value.only_contains_ca_certs else ""
        elif extension.critical and not isinstance(value, _UNDERSTOOD):
            # RFC 5280 §5.2: a list with a critical extension that is not understood is not used.
            return (), "", f"it has the critical extension {extension.oid.dotted_string}"
    return points, scope, ""


def _uris(names: Iterable[x509.GeneralName] | None) -> tuple[str, ...]:
    return tuple(str(name.value) for name in names or () if isinstance(name, x509.UniformResourceIdentifier))


def status(
    lists: Iterable[RevocationList], certificate: CertificateFacts, issuer: CertificateFacts, now: float
) -> RevocationStatus:
    """What the lists say of `certificate`, which `issuer` has issued, at epoch second `now`."""
    covered, doubts = False, []
    for each in lists:
        if each.issuer != _names_of(issuer.der)[0] or not _covers(each, certificate):
            continue
        doubt = each.fault or _doubt(each.der, issuer.der)
        if doubt:
            doubts.append(f"the list of {each.issuer_name} does not count: {doubt}")
        elif int(certificate.serial or "0", 16) in each.serials:
            # Also in a list that is out of date: what was revoked is not taken back.
            return RevocationStatus(RevocationState.REVOKED, f"{certificate.subject} is in the list of its issuer")
        elif stale := staleness(each, now):
            doubts.append(f"the list of {each.issuer_name} {stale}")
        else:
            covered = True
    if covered:
        return RevocationStatus(RevocationState.GOOD, "list")
    detail = "; ".join(doubts) or f"there is no list of {issuer.subject} for {certificate.subject}"
    return RevocationStatus(RevocationState.UNKNOWN, detail)


def staleness(each: RevocationList, now: float) -> str:
    """Why the list is not of today; empty if it is."""
    if each.this_update > now + SKEW:
        return "is not valid yet"
    if not each.next_update:
        return "does not say when the next one comes"  # RFC 5280 §5.1.2.5: it must
    if each.next_update < now:
        return f"is out of date for {(now - each.next_update) / 3600:.1f} hours"
    return ""


def _covers(each: RevocationList, certificate: CertificateFacts) -> bool:
    """RFC 5280 §6.3.3 (b)(2): whether the certificate is in what the list is limited to."""
    _, points, is_authority = _names_of(certificate.der)
    if each.scope and (each.scope == "authority") is not is_authority:
        return False
    return not each.points or any(point in each.points for point in points)


@lru_cache(1024)
def _names_of(der: bytes) -> tuple[bytes, tuple[str, ...], bool]:
    """Of a certificate: its subject as the list's issuer would be written, its distribution points, is it a CA."""
    certificate = read_certificate(der)
    points: tuple[str, ...] = ()
    is_authority = False
    try:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.CRLDistributionPoints):
                points = tuple(uri for point in extension.value for uri in _uris(point.full_name))
            if isinstance(extension.value, x509.BasicConstraints):
                is_authority = extension.value.ca
    except UNREADABLE_ERRORS:
        points = ()
    return certificate.subject.public_bytes(), points, is_authority


@lru_cache(256)
def _doubt(list_der: bytes, issuer_der: bytes) -> str:
    """Why the list is not the issuer's word; empty if it is."""
    crl, issuer = x509.load_der_x509_crl(list_der), read_certificate(issuer_der)
    try:
        algorithm = crl.signature_hash_algorithm
        if algorithm is not None and algorithm.name in BROKEN_HASHES:
            return f"signed with {algorithm.name}, which is broken"
        if not _may_sign(issuer):
            return "its issuer may not sign lists"
        key = issuer.public_key()
        good = isinstance(key, _SIGNERS) and crl.is_signature_valid(key)
    except (*UNREADABLE_ERRORS, UnsupportedAlgorithm) as error:
        return f"its signature cannot be checked: {error}"
    return "" if good else "its signature is not the issuer's"


def _may_sign(issuer: x509.Certificate) -> bool:
    # RFC 5280 §6.3.3 (f): if a key usage is stated, cRLSign is among it.
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True
