"""Writes EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083). Recipients are prepared once and used again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import AUTH_ENVELOPED_DATA, DATA, ENVELOPED_DATA
from mta.rfc.smime.cipher import CIPHERS, encrypt
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.recipient import prepare_recipient
from mta.rfc.smime.transport import RecipientKey

__all__ = ["RecipientKey", "enveloped_data", "prepare_recipient"]

_ENVELOPED, _AUTH_ENVELOPED, _DATA = der.oid(ENVELOPED_DATA), der.oid(AUTH_ENVELOPED_DATA), der.oid(DATA)
_ZERO = der.integer(0)


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
    infos = der.set_of(recipient.info(key) for recipient in recipients)
    encrypted = encrypt(cipher, key, content, random)
    size = sum(map(len, encrypted.pieces))
    head = der.header(0x80, size)  # RFC 5652 §6.1: encryptedContent is an implicit [0]
    inner = der.header(0x30, len(_DATA) + len(encrypted.algorithm) + len(head) + size)
    inner = inner + _DATA + encrypted.algorithm + head
    if cipher.authenticated:
        kind, version, mac = _AUTH_ENVELOPED, _ZERO, der.octet_string(encrypted.tag)
    else:
        kind, version, mac = _ENVELOPED, der.integer(max(each.version for each in recipients)), b""
    body = len(version) + len(infos) + len(inner) + size + len(mac)
    whole = der.header(0x30, body)
    shell = der.header(0xA0, len(whole) + body)
    outer = der.header(0x30, len(kind) + len(shell) + len(whole) + body)
    return b"".join((outer, kind, shell, whole, version, infos, inner, *encrypted.pieces, mac))
