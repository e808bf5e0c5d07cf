"""Takes SignedData apart (RFC 5652 §5.1): what is signed, the certificates, the signers. Nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass

from mta.errors import SmimeError
from mta.rfc.smime.algorithms import CONTENT_TYPES, SIGNED_DATA, read_algorithm
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Element, read

MAX_SIGNERS = 32
MAX_CERTIFICATES = 100


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a SignedData. `content` is the encapsulated one, `digests` the identifiers of digestAlgorithms."""

    digests: frozenset[str]
    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    signers: tuple[Element, ...]


def read_signed_data(der: bytes) -> Signed:
    """The parts of a SignedData in a ContentInfo. Raises SmimeError where it is none."""
    oid, wrapped = read(der, SEQUENCE).only(OID, 0xA0)
    if oid.oid() != SIGNED_DATA:
        raise SmimeError(f"{CONTENT_TYPES.get(oid.oid(), oid.oid())} where signed data were expected")
    (signed,) = wrapped.only(SEQUENCE)
    version, digests, inner, bag, _, infos = signed.fields(INTEGER, SET, SEQUENCE, 0xA0, 0xA1, SET)
    if version is None or digests is None or inner is None or infos is None:
        raise SmimeError("signed data with a part missing")
    content_type, content = _encapsulated(inner)
    certificates = tuple(child.raw for child in bag.children() if child.tag == SEQUENCE) if bag else ()
    if len(certificates) > MAX_CERTIFICATES:
        raise SmimeError(f"more than {MAX_CERTIFICATES} certificates")
    signers = tuple(infos.children())
    if len(signers) > MAX_SIGNERS:
        raise SmimeError(f"more than {MAX_SIGNERS} signers")
    announced = frozenset(read_algorithm(digest).oid for digest in digests.children())
    return Signed(announced, content_type, content, certificates, signers)


def _encapsulated(inner: Element) -> tuple[str, bytes | None]:
    oid, content = inner.fields(OID, 0xA0)
    if oid is None:
        raise SmimeError("encapsulated content of no type")
    if content is None:
        return oid.oid(), None
    (value,) = content.parts(1)
    if value.tag & ~0x20 == OCTET_STRING:
        return oid.oid(), value.octets()
    return oid.oid(), bytes(value.body)  # RFC 5652 §5.2.1: PKCS #7 had any type there, hashed without tag and length
