"""Content keys encapsulated with ML-KEM (RFC 9629, RFC 9936), both directions: KEMRecipientInfo among the other ones.

HKDF with SHA-256 (RFC 8619) and AES-256 key wrap, which everybody must have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_wrap

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import DIGESTS, read_algorithm
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, Element
from mta.rfc.smime.identify import read_identifier
from mta.rfc.smime.party import Party
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.transport import Entry, RecipientKey, recipient_name
from mta.rfc.smime.wrap import AES_WRAPS, key_size, read_wrap, unwrap

KEM_RECIPIENT = "1.2.840.113549.1.9.16.13.3"
ML_KEM = {
    "2.16.840.1.101.3.4.4.1": "ml-kem-512",
    "2.16.840.1.101.3.4.4.2": "ml-kem-768",
    "2.16.840.1.101.3.4.4.3": "ml-kem-1024",
}
_HKDFS = {
    "1.2.840.113549.1.9.16.3.28": "sha256",
    "1.2.840.113549.1.9.16.3.29": "sha384",
    "1.2.840.113549.1.9.16.3.30": "sha512",
}
_WRAP_SIZE = 32
_WRAP = der.algorithm(AES_WRAPS[_WRAP_SIZE])
_KDF = der.algorithm("1.2.840.113549.1.9.16.3.28")


def prepared(who: Party, profile: Profile) -> RecipientKey:
    """KEMRecipientInfo (RFC 9629 §3). Raises SmimeError under a profile that is not for it."""
    if not profile.post_quantum:
        raise SmimeError("a key of ML-KEM needs a profile for post-quantum algorithms")
    oid = who.key_algorithm.oid
    head = der.integer(0) + recipient_name(who, profile) + der.algorithm(oid)
    context = _other_info(_WRAP, _WRAP_SIZE)

    def info(key: bytes) -> bytes:
        secret, encapsulated = who.key.encapsulate()
        wrapped = aes_key_wrap(_derived("sha256", _WRAP_SIZE, context, secret), key)
        value = der.sequence(
            head,
            der.octet_string(encapsulated),
            _KDF,
            der.integer(_WRAP_SIZE),
            _WRAP,
            der.octet_string(wrapped),
        )
        return der.explicit(4, der.oid(KEM_RECIPIENT), value)

    return RecipientKey(who.der, ML_KEM[oid], 3, info)


def _other_info(wrap: bytes, size: int, material: bytes | None = None) -> bytes:
    """CMSORIforKEMOtherInfo (RFC 9629 §5)."""
    extra = der.explicit(0, der.octet_string(material)) if material is not None else b""
    return der.sequence(wrap, der.integer(size), extra)


def _derived(digest: str, size: int, context: bytes, secret: bytes) -> bytes:
    return HKDF(DIGESTS[digest].hash, size, None, context).derive(secret)


# --- reading -----------------------------------------------------------------------------------------------------


def read_other(info: Element) -> Iterator[Entry]:
    """An OtherRecipientInfo; of kinds that are not known here there is nothing to tell, not even whom they are for."""
    kind, value = info.parts(2)
    if kind.tag != OID:
        raise SmimeError("a recipient that is none")
    if kind.oid() != KEM_RECIPIENT:
        return
    parts = list(value.children())
    material = parts.pop(6) if len(parts) == 9 and parts[6].tag == 0xA0 else None
    tags = [part.tag for part in parts]
    if len(parts) != 8 or tags[0] != INTEGER or tags[2:] != _TAGS:
        raise SmimeError("a recipient that is none")
    identifier, word = read_identifier(parts[1]), read_algorithm(parts[2])
    try:
        yield Entry(identifier, ML_KEM.get(word.oid, word.name), _opener(parts, material))
    except SmimeError as error:
        yield Entry(identifier, ML_KEM.get(word.oid, word.name), lambda key, size: None, str(error))


_TAGS = [SEQUENCE, OCTET_STRING, SEQUENCE, INTEGER, SEQUENCE, OCTET_STRING]


def _opener(parts: list[Element], material: Element | None) -> Any:
    kem, kdf, size, wrap = (
        read_algorithm(parts[2]),
        read_algorithm(parts[4]),
        parts[5].integer(),
        read_wrap(parts[6].raw),
    )
    if kem.oid not in ML_KEM or kem.parameters:
        raise SmimeError(f"the key encapsulation {kem.name} is not known here")
    if kdf.oid not in _HKDFS or kdf.parameters:
        raise SmimeError(f"the key derivation {kdf.name} is not known here")
    if size != key_size(wrap):
        raise SmimeError("a key of another length than its key wrap needs")
    ukm = material.parts(1)[0].octets() if material else None
    context, digest = _other_info(wrap.raw, size, ukm), _HKDFS[kdf.oid]
    encapsulated, wrapped = parts[3].octets(), parts[7].octets()

    def opened(key: Any, _: int) -> bytes | None:
        if not isinstance(key, mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey):
            return None
        try:
            return unwrap(wrap, _derived(digest, size, context, key.decapsulate(encapsulated)), wrapped)
        except (InvalidUnwrap, ValueError, TypeError, UnsupportedAlgorithm):
            return None

    return opened
