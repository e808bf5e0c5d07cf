"""A private key of ours put together with its certificates, whatever files they came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from mta.errors import MtaError
from mta.ports import OwnCertificate
from mta.rfc.pkix.person import person_facts

FAULTS = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)
"""What the library raises for files that it cannot read."""

LARGEST = 4 << 20  # octets of one file
_SIGNING = frozenset({"digitalSignature", "nonRepudiation"})


def read_file(path: str) -> bytes:
    """What is in a file of keys or certificates. Raises MtaError for one that is none, or larger than any."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise MtaError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise MtaError(f"{path} is larger than {LARGEST >> 20} MiB")
    return content


def own_certificates(certificates: Iterable[x509.Certificate], key: object, source: str) -> list[OwnCertificate]:
    """Each of these certificates that is the key's, with those of the others that lead to its root."""
    pool = list(certificates)
    return [
        OwnCertificate(
            certificate=leaf.public_bytes(Encoding.DER),
            chain=tuple(_chain(leaf, pool)),
            key=key,
            not_before=leaf.not_valid_before_utc.timestamp(),
            not_after=leaf.not_valid_after_utc.timestamp(),
            place=source,
        )
        for leaf in pool
        if _is_of(leaf, key)
    ]


def may_sign(own: OwnCertificate) -> bool:
    """Whether key and certificate are for signing: many people have one pair for this and another for decrypting."""
    usage = person_facts(own.certificate).key_usage
    return hasattr(own.key, "sign") and (usage is None or not usage.isdisjoint(_SIGNING))


def _chain(leaf: x509.Certificate, pool: Iterable[x509.Certificate]) -> Iterator[bytes]:
    """What leads from the leaf to a root, as far as it is known: by names alone, whoever trusts it will check."""
    current, left = leaf, [each for each in pool if each != leaf]
    while current.issuer != current.subject:
        above = next((each for each in left if each.subject == current.issuer), None)
        if above is None:
            return
        left.remove(above)
        yield above.public_bytes(Encoding.DER)
        current = above


def _is_of(certificate: x509.Certificate, key: Any) -> bool:
    try:
        return bool(certificate.public_key() == key.public_key())
    except (AttributeError, *FAULTS):
        return False
