"""What a certificate says of the person it is for: addresses, and what its key may do (RFC 5280, RFC 8550 §3).

Odd contents are data, never an exception: extensions that cannot be read name nobody and allow nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from mta.model.address import ascii_lower
from mta.rfc.pkix.certificate import LARGEST_CACHED, UNREADABLE_ERRORS

SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"  # RFC 9598 §3: id-on-SmtpUTF8Mailbox
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"  # RFC 5280 §4.2.1.12
ANY_USAGE = "2.5.29.37.0"
PSS_ALONE = "1.2.840.113549.1.1.10"  # RFC 4055 §1.2: id-RSASSA-PSS, a key that does nothing else
DOMAIN_AUTHORITY = "domain-confidentiality-authority"  # RFC 3183 §4: the local part of a domain's own certificate
_UTF8_STRING = 0x0C


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """Addresses as they stand there, and usages. `None` for usages that are not stated.

    `emails` are rfc822Name and SmtpUTF8Mailbox of the subjectAltName, or, where that names no address, the
    emailAddress of the subject, as old certificates have it.
    """

    emails: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    is_authority: bool = False
    key_usage: frozenset[str] | None = None  # names as in RFC 5280 §4.2.1.3
    purposes: tuple[str, ...] | None = None  # extended key usage, dotted
    key_algorithm: str = ""  # of the public key, dotted: an RSA key may be for PSS alone


def person_facts(der: bytes) -> PersonFacts:
    """The facts of a certificate (DER). Raises ValueError for what is no certificate."""
    return _cached(der) if len(der) <= LARGEST_CACHED else _read(der)


def _read(der: bytes) -> PersonFacts:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            certificate = x509.load_der_x509_certificate(der)
        except UNREADABLE_ERRORS as error:
            raise ValueError(f"no certificate: {error}") from error
        try:
            extensions = certificate.extensions
        except UNREADABLE_ERRORS:
            return PersonFacts(key_usage=frozenset(), purposes=())
        return _facts(certificate, extensions)


_cached = lru_cache(4096)(_read)


def _facts(certificate: x509.Certificate, extensions: x509.Extensions) -> PersonFacts:
    emails: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    authority, usage, purposes = False, None, None
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            emails = tuple(_addresses(value))
            dns_names = tuple(map(ascii_lower, value.get_values_for_type(x509.DNSName)))
        elif isinstance(value, x509.BasicConstraints):
            authority = value.ca
        elif isinstance(value, x509.KeyUsage):
            usage = frozenset(_usages(value))
        elif isinstance(value, x509.ExtendedKeyUsage):
            purposes = tuple(oid.dotted_string for oid in value)
    emails = emails or tuple(subject_emails(certificate))
    algorithm = certificate.public_key_algorithm_oid.dotted_string
    return PersonFacts(emails, dns_names, authority, usage, purposes, algorithm)


def _addresses(names: x509.SubjectAlternativeName) -> Iterator[str]:
    yield from names.get_values_for_type(x509.RFC822Name)
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id.dotted_string == SMTP_UTF8_MAILBOX:
            text = mailbox_text(other.value)
            if text:
                yield text


def mailbox_text(der: bytes) -> str:
    """The address in a SmtpUTF8Mailbox, a UTF8String in DER; empty for anything else, and for text that is none."""
    if len(der) < 2 or der[0] != _UTF8_STRING or der[1] & 0x80 or der[1] != len(der) - 2:
        return ""  # RFC 5321 §4.5.3.1.3: no address needs a longer form of the length
    try:
        return der[2:].decode("utf-8")
    except UnicodeDecodeError:
        return ""


def subject_emails(certificate: x509.Certificate) -> Iterator[str]:
    """The addresses in the subject. RFC 8550 §3: receiving agents must recognise them, too."""
    try:
        attributes = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.EMAIL_ADDRESS)
    except UNREADABLE_ERRORS:
        return
    yield from (attribute.value for attribute in attributes if isinstance(attribute.value, str))


def _usages(value: x509.KeyUsage) -> Iterator[str]:
    for name, word in (
        ("digital_signature", "digitalSignature"),
        ("content_commitment", "nonRepudiation"),
        ("key_encipherment", "keyEncipherment"),
        ("data_encipherment", "dataEncipherment"),
        ("key_agreement", "keyAgreement"),
        ("key_cert_sign", "keyCertSign"),
        ("crl_sign", "cRLSign"),
    ):
        if getattr(value, name):
            yield word
