"""Writes EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083). Recipients are prepared once and used again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import AUTH_ENVELOPED_DATA, DATA, ENVELOPED_DATA, Pieces
from mta.rfc.smime.cipher import CIPHERS, TAG, Sealing, seal
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.recipient import prepare_recipient
from mta.rfc.smime.transport import RecipientKey

__all__ = ["RecipientKey", "enveloped_data", "enveloped_pieces", "prepare_recipient"]

_ENVELOPED, _AUTH_ENVELOPED, _DATA = der.oid(ENVELOPED_DATA), der.oid(AUTH_ENVELOPED_DATA), der.oid(DATA)
_VERSIONS = tuple(map(der.integer, range(4)))


_CHUNK = 65_536  # octets encrypted at a time: what is worked on next is still near the processor


def enveloped_data(
    recipients: Sequence[RecipientKey], content: bytes, profile: Profile, random: Callable[[int], bytes]
) -> bytes:
    """A ContentInfo that each of the recipients can open, with a content key of its own.

    `random` gives the content key and the nonce; what a key's own operation needs beyond that (padding, ephemeral
    keys) is drawn by `cryptography`.
    """
    return b"".join(enveloped_pieces(recipients, (content,), profile, random))


def enveloped_pieces(
    recipients: Sequence[RecipientKey], content: Pieces, profile: Profile, random: Callable[[int], bytes]
) -> Iterator[bytes]:
    """`enveloped_data` piece by piece, so that a large content is nowhere as a whole but where it came from."""
    if not recipients:
        raise SmimeError("there is nobody to encrypt to")
    cipher = CIPHERS[profile.cipher]
    key = random(cipher.key_size)
    infos = der.set_of([recipient.info(key) for recipient in recipients])
    length = sum(map(len, content))
    sealing = seal(cipher, length, random)
    encryptor = sealing.encryptor(key)
    if cipher.authenticated:
        yield _head(_AUTH_ENVELOPED, _VERSIONS[0] + infos, sealing, TAG + 2)
    else:
        version = _VERSIONS[max([each.version for each in recipients])]
        yield _head(_ENVELOPED, version + infos, sealing, 0)
    for chunk in _chunks((*content, sealing.padding), length):
        yield encryptor.update(chunk)
    encryptor.finalize()  # there is nothing left: the padding has filled the last block
    if cipher.authenticated:
        yield der.octet_string(encryptor.tag)


def _chunks(content: Pieces, length: int) -> Iterable[bytes | memoryview]:
    return (b"".join(content),) if length <= _CHUNK else _cut(content)


def _cut(content: Pieces) -> Iterator[memoryview]:
    for piece in content:
        view = memoryview(piece)
        for start in range(0, len(view), _CHUNK):
            yield view[start : start + _CHUNK]


def _head(kind: bytes, before: bytes, sealing: Sealing, behind: int) -> bytes:
    """All that stands before the encrypted octets; `behind` is what follows them. From the inside out."""
    rest = sealing.size
    inner = der.begun(0x80, b"", rest)  # RFC 5652 §6.1: encryptedContent is an implicit [0]
    inner = der.begun(0x30, _DATA + sealing.algorithm + inner, rest)
    rest += behind
    body = der.begun(0x30, before + inner, rest)
    return der.begun(0x30, kind + der.begun(0xA0, body, rest), rest)
