"""Opens EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083).

What an attacker can learn from us is kept to one bit that is worth nothing: opened or not. Whatever goes wrong behind
the choice of the key (padding of RSA, unwrapping, padding or tag of the content) has the same reason, and the content
is worked through with some key in any case (RFC 3218). PKCS #1 v1.5 is OpenSSL's with implicit rejection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mta.errors import SmimeError
from mta.model.smime import DecryptOutcome
from mta.rfc.smime.agreement import read_agreed
from mta.rfc.smime.algorithms import AUTH_ENVELOPED_DATA, CONTENT_TYPES, ENVELOPED_DATA, read_algorithm
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Element, read
from mta.rfc.smime.cipher import Sealed, read_sealed
from mta.rfc.smime.kem import read_other
from mta.rfc.smime.party import parties
from mta.rfc.smime.transport import Entry, read_transported

CANNOT = "it cannot be decrypted with our keys"
NOT_OURS = "it is encrypted to others: none of our keys is among its recipients"
MAX_RECIPIENTS = 10_000
MAX_ATTEMPTS = 16  # operations of a private key for one message, however often its recipients name us
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class DecryptionKey:
    """A certificate (DER) and its private key: of `cryptography`, or an object of the same methods."""

    certificate: bytes
    key: object


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as it was read. `content_type` is the word for what is sealed."""

    sealed: Sealed
    content_type: str
    entries: tuple[Entry, ...]


def decrypt(der: bytes, keys: Sequence[DecryptionKey]) -> DecryptOutcome:
    """What is in a ContentInfo that is an envelope. Raises SmimeError for what is none, or cannot be read at all."""
    envelope = read_envelope(der)
    cipher = envelope.sealed.cipher
    shown = tuple(entry.identifier.text for entry in envelope.entries[:_SHOWN])
    reason, transport = NOT_OURS, ""
    for entry, key in _matches(envelope.entries, keys):
        transport = entry.transport
        if entry.fault:
            reason = reason if reason == CANNOT else entry.fault
            continue
        reason = CANNOT
        content_key = entry.open(key, cipher.key_size)
        content = envelope.sealed.opened(content_key or bytes(cipher.key_size))
        if content is not None and content_key is not None:
            return DecryptOutcome(
                content, cipher.name, cipher.authenticated, transport, "", shown, envelope.content_type
            )
    return DecryptOutcome(None, cipher.name, cipher.authenticated, transport, reason, shown, envelope.content_type)


def _matches(entries: Sequence[Entry], keys: Sequence[DecryptionKey]) -> Iterator[tuple[Entry, object]]:
    by_certificate = {who.der: who for who in parties(key.certificate for key in keys)}
    ours = [(by_certificate[key.certificate], key.key) for key in keys if key.certificate in by_certificate]
    pairs = ((entry, key) for entry in entries for who, key in ours if entry.identifier.names(who))
    for _, match in zip(range(MAX_ATTEMPTS), pairs, strict=False):
        yield match


def read_envelope(der: bytes) -> Envelope:
    """The parts of an EnvelopedData or AuthEnvelopedData in a ContentInfo. Raises SmimeError where it is neither."""
    oid, wrapped = read(der, SEQUENCE).only(OID, 0xA0)
    inside = list(wrapped.children())
    if len(inside) != 1 or inside[0].tag != SEQUENCE:
        raise SmimeError("a content that is none")
    if oid.oid() == ENVELOPED_DATA:
        version, _, infos, content, _ = inside[0].fields(INTEGER, 0xA0, SET, SEQUENCE, 0xA1)
        mac = attributes = None
    elif oid.oid() == AUTH_ENVELOPED_DATA:
        tags = (INTEGER, 0xA0, SET, SEQUENCE, 0xA1, OCTET_STRING, 0xA2)
        version, _, infos, content, attributes, mac, _ = inside[0].fields(*tags)
        if mac is None:
            raise SmimeError("an authenticated envelope without its tag")
    else:
        raise SmimeError(f"{CONTENT_TYPES.get(oid.oid(), oid.oid())} where an envelope was expected")
    if version is None or infos is None or content is None:
        raise SmimeError("an envelope with a part missing")
    sealed, content_type = _sealed(content, mac, attributes)
    return Envelope(sealed, content_type, tuple(_entries(infos)))


def _sealed(content: Element, mac: Element | None, attributes: Element | None) -> tuple[Sealed, str]:
    """EncryptedContentInfo. RFC 5083 §2.2: attributes are authenticated as a SET OF, whatever their tag here."""
    oid, algorithm, simple, pieces = content.fields(OID, SEQUENCE, 0x80, 0xA0)
    octets = simple or pieces
    if oid is None or algorithm is None or octets is None:
        raise SmimeError("an envelope without its content")
    extra = b"\x31" + attributes.raw[1:] if attributes else b""
    value = octets.body if octets is simple else octets.octets()
    sealed = read_sealed(read_algorithm(algorithm), value, mac.octets() if mac else b"", extra)
    if sealed.cipher.authenticated is not (mac is not None):
        raise SmimeError("a cipher that does not belong into this kind of envelope")
    return sealed, CONTENT_TYPES.get(oid.oid(), oid.oid())


def _entries(infos: Element) -> Iterator[Entry]:
    """The recipients; those by a shared key or a password are no business of ours."""
    for count, info in enumerate(infos.children()):
        if count >= MAX_RECIPIENTS:
            raise SmimeError(f"more than {MAX_RECIPIENTS} recipients")
        if info.tag == SEQUENCE:
            yield read_transported(info)
        elif info.tag == 0xA1:
            yield from read_agreed(info)
        elif info.tag == 0xA4:
            yield from read_other(info)
        elif info.tag not in (0xA2, 0xA3):
            raise SmimeError("a recipient of an unknown kind")
