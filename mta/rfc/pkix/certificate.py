"""Reads a certificate once into CertificateFacts (RFC 5280). Odd contents are data, never an exception."""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Callable
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import SignatureAlgorithmOID

from mta.model.tls import CertificateFacts
from mta.rfc.pkix.der import public_key_info

# What cryptography raises for contents it will not read.
UNREADABLE_ERRORS = (
    *(ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm),
    *(x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion),
)
UNREADABLE = "unreadable"
_SIGNATURES = {  # `rsa-with-sha256`, `ecdsa-with-sha384`, `ed25519`
    value: name.lower().replace("_", "-")
    for name, value in vars(SignatureAlgorithmOID).items()
    if isinstance(value, x509.ObjectIdentifier) and not name.startswith("_")
}
LARGEST_CACHED = 16_384  # octets of DER; larger ones are read anew each time, so that nobody fills our memory


def certificate_facts(der: bytes) -> CertificateFacts:
    """The facts of a certificate (DER). Raises ValueError for what is no certificate.

    A certificate whose extensions cannot be read has no names, and `unreadable` stands for its extended key usage:
    it states one, and it is none that anybody asks for. `dns_names` are in lower case, names that hold anything but
    visible ASCII are left out. The common name is no name of a server (RFC 9525 §2).
    """
    return _cached(der) if len(der) <= LARGEST_CACHED else _read(der)


def opaque_facts(der: bytes) -> CertificateFacts:
    """Facts of a certificate that OpenSSL took and nobody else can read: it has a digest, and was never valid."""
    return CertificateFacts(
        der=der,
        subject=UNREADABLE,
        issuer=UNREADABLE,
        serial="",
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256="",
        dns_names=(),
        ip_addresses=(),
        emails=(),
        not_before=0.0,
        not_after=0.0,
        key_usage_oids=(UNREADABLE,),
        key=UNREADABLE,
    )


def read_certificate(der: bytes) -> x509.Certificate:
    """The certificate as the library knows it, for its extensions and its key. Raises ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            return x509.load_der_x509_certificate(der)
        except UNREADABLE_ERRORS as error:
            raise ValueError(f"no certificate: {error}") from error


def _read(der: bytes) -> CertificateFacts:
    with warnings.catch_warnings():
        # What a stranger's certificate does wrong is no news for our standard error.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return _facts(der)


def _facts(der: bytes) -> CertificateFacts:
    try:
        certificate = x509.load_der_x509_certificate(der)
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        serial = f"{certificate.serial_number:x}"
    except UNREADABLE_ERRORS as error:
        raise ValueError(f"no certificate: {error}") from error
    dns_names, ip_addresses, emails = _names(certificate)
    return CertificateFacts(
        der=der,
        subject=_or_unreadable(lambda: _visible(certificate.subject.rfc4514_string())),
        issuer=_or_unreadable(lambda: _visible(certificate.issuer.rfc4514_string())),
        serial=serial,
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=base64.b64encode(hashlib.sha256(public_key_info(der)).digest()).decode(),
        dns_names=dns_names,
        ip_addresses=ip_addresses,
        emails=emails,
        not_before=not_before.timestamp(),
        not_after=not_after.timestamp(),
        key_usage_oids=_key_usage_oids(certificate),
        key=_or_unreadable(lambda: _key(certificate)),
        signed=_or_unreadable(lambda: _signature(certificate)),
    )


_cached = lru_cache(1024)(_read)  # a partner's certificate comes again and again


def _names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = tuple(str(address) for address in names.get_values_for_type(x509.IPAddress))
        hosts, emails = names.get_values_for_type(x509.DNSName), names.get_values_for_type(x509.RFC822Name)
    except (x509.ExtensionNotFound, *UNREADABLE_ERRORS):
        return (), (), ()
    return tuple(h.lower() for h in hosts if _is_plain(h)), addresses, tuple(filter(_is_plain, emails))


def _key_usage_oids(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ()
    except UNREADABLE_ERRORS:
        return (UNREADABLE,)
    return tuple(oid.dotted_string for oid in usage)


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ec-{key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, dsa.DSAPublicKey):
        return f"dsa-{key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").lower()


def _signature(certificate: x509.Certificate) -> str:
    oid = certificate.signature_algorithm_oid
    return _SIGNATURES.get(oid, oid.dotted_string)


def _or_unreadable(read: Callable[[], str]) -> str:
    try:
        return read()
    except UNREADABLE_ERRORS:
        return UNREADABLE


def _is_plain(name: str) -> bool:
    return bool(name) and name.isascii() and name.isprintable() and " " not in name


def _visible(text: str) -> str:
    """RFC 4514 §2.4: any octet may be written as a backslash and two hex digits; so are all that do not print."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))
