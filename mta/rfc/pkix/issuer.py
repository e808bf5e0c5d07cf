"""Whether a certificate may issue others, for mail: what RFC 5280 §4.2.1.9 and §4.2.1.12 have it state."""

from __future__ import annotations

from cryptography import x509

from mta.rfc.pkix.certificate import read_certificate
from mta.rfc.pkix.general_name import is_self_issued
from mta.rfc.pkix.person import ANY_USAGE, EMAIL_PROTECTION, person_facts


def issuer_fault(der: bytes) -> str:
    """Why nobody may be believed because this certificate vouches for them; empty: it is the one of a CA for mail.

    Roots of the first version state nothing and are what an administrator says. An extended key usage of a CA bounds
    what it issues, as every implementation has it: one for servers alone vouches for no addresses. Raises ValueError
    for what is no certificate.
    """
    person = person_facts(der)
    if not person.is_authority and not _states_nothing(der):
        return "it is no CA"
    if person.key_usage is not None and "keyCertSign" not in person.key_usage:
        return f"its key usage states {', '.join(sorted(person.key_usage)) or 'nothing'}"
    if person.purposes is not None and not {EMAIL_PROTECTION, ANY_USAGE} & set(person.purposes):
        return f"it issues for other purposes than mail: {', '.join(person.purposes) or 'unreadable'}"
    return ""


def path_length(der: bytes) -> int | None:
    """How many certificates of CAs may stand between this one and a leaf; None: it does not say. Raises ValueError."""
    for extension in read_certificate(der).extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            return extension.value.path_length
    return None


def _states_nothing(der: bytes) -> bool:
    return read_certificate(der).version is x509.Version.v1 and is_self_issued(der)
