"""Writes EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083). Recipients are prepared once and used again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import AUTH_ENVELOPED_DATA, DATA, ENVELOPED_DATA
from mta.rfc.smime.cipher import CIPHERS, TAG, Sealing, seal
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.recipient import prepare_recipient
from mta.rfc.smime.transport import RecipientKey

__all__ = ["RecipientKey", "enveloped_data", "prepare_recipient"]

_ENVELOPED, _AUTH_ENVELOPED, _DATA = der.oid(ENVELOPED_DATA), der.oid(AUTH_ENVELOPED_DATA), der.oid(DATA)
_VERSIONS = tuple(map(der.integer, range(4)))


def enveloped_data(
    recipients: Sequence[RecipientKey], content: bytes, profile: Profile, random: Callable[[int], bytes]
) -> bytes:
    """A ContentInfo that each of the recipients can open, with a content key of its own.

    `random` gives the content key and the nonce; what a key's own operation needs beyond that (padding, ephemeral
    keys) is drawn by `cryptography`.
    """
    if not recipients:
        raise SmimeError("there is nobody to encrypt to")
    cipher = CIPHERS[profile.cipher]
    key = random(cipher.key_size)
    infos = der.set_of([recipient.info(key) for recipient in recipients])
    sealing = seal(cipher, content, random)
    if cipher.authenticated:
        kind, version, tag = _AUTH_ENVELOPED, _VERSIONS[0], TAG + 2
    else:
        kind, version, tag = _ENVELOPED, _VERSIONS[max([each.version for each in recipients])], 0
    head = _head(kind, version + infos, sealing, tag)
    size = len(head) + sealing.size
    out = memoryview(bytearray(size + max(tag, cipher.block)))
    out[: len(head)] = head
    mac = sealing.into(key, out[len(head) :])
    if mac:
        out[size : size + tag] = der.octet_string(mac)
    return bytes(out[: size + tag])


def _head(kind: bytes, before: bytes, sealing: Sealing, behind: int) -> bytes:
    """All that stands before the encrypted octets; `behind` is what follows them. From the inside out."""
    rest = sealing.size
    inner = der.begun(0x80, b"", rest)  # RFC 5652 §6.1: encryptedContent is an implicit [0]
    inner = der.begun(0x30, _DATA + sealing.algorithm + inner, rest)
    rest += behind
    body = der.begun(0x30, before + inner, rest)
    return der.begun(0x30, kind + der.begun(0xA0, body, rest), rest)
