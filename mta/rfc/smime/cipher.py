"""The ciphers of contents: AES-CBC (RFC 3565), AES-GCM (RFC 5084), and 3DES, which is only read.

Nothing decrypted is handed out before all of it was checked, and what fails says only that it failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

from mta.errors import SmimeError, SmimeUnsupported
from mta.model.frozen import frozen
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import WEAK, Algorithm, read_algorithm
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, SEQUENCE, read

TAG = 16  # octets of a GCM tag as we write it
_NONCE = 12
CEK_HKDF = "1.2.840.113549.1.9.16.3.31"  # RFC 9709: the content key is derived, so that no other cipher fits it


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A cipher by its word: `aes256-gcm`. `key_size` and `block` are octets; `authenticated`: changes are noticed."""

    name: str
    oid: str
    key_size: int
    block: int = 16
    authenticated: bool = False


CIPHERS = {
    cipher.name: cipher
    for cipher in (
        ContentCipher("aes128-cbc", "2.16.840.1.101.3.4.1.2", 16),
        ContentCipher("aes192-cbc", "2.16.840.1.101.3.4.1.22", 24),
        ContentCipher("aes256-cbc", "2.16.840.1.101.3.4.1.42", 32),
        ContentCipher("aes128-gcm", "2.16.840.1.101.3.4.1.6", 16, authenticated=True),
        ContentCipher("aes192-gcm", "2.16.840.1.101.3.4.1.26", 24, authenticated=True),
        ContentCipher("aes256-gcm", "2.16.840.1.101.3.4.1.46", 32, authenticated=True),
        ContentCipher("des3-cbc", "1.2.840.113549.3.7", 24, 8),
    )
}
_CIPHER_OF = {cipher.oid: cipher for cipher in CIPHERS.values()}


def _begin_algorithm(cipher: ContentCipher) -> bytes:
    """An AlgorithmIdentifier up to the nonce or vector, whose length is known: only that differs between messages."""
    oid = der.oid(cipher.oid)
    if not cipher.authenticated:
        return der.begun(0x30, oid + der.header(0x04, cipher.block), cipher.block)
    # RFC 5084 §3.2: the default length of the tag is 12, ours is written behind the nonce
    rest = _NONCE + len(_TAG_LENGTH)
    return der.begun(0x30, oid + der.begun(0x30, der.header(0x04, _NONCE), rest), rest)


_TAG_LENGTH = der.integer(TAG)
_BEGINNINGS = {cipher.name: _begin_algorithm(cipher) for cipher in CIPHERS.values()}


@frozen
class Sealing:
    """One content about to be encrypted: its AlgorithmIdentifier (DER) and how long it will be, before it is."""

    cipher: ContentCipher
    algorithm: bytes
    vector: bytes
    size: int
    padding: bytes  # RFC 5652 §6.3

    def encryptor(self, key: bytes) -> Any:
        """What encrypts the content, and the padding behind it. The key must encrypt nothing else."""
        mode = modes.GCM(self.vector) if self.cipher.authenticated else modes.CBC(self.vector)
        return Cipher(algorithms.AES(key), mode).encryptor()


def seal(cipher: ContentCipher, length: int, random: Callable[[int], bytes]) -> Sealing:
    """The sealing of a content of this length, with a fresh nonce or vector."""
    begin = _BEGINNINGS[cipher.name]
    if cipher.authenticated:
        nonce = random(_NONCE)
        return Sealing(cipher, begin + nonce + _TAG_LENGTH, nonce, length, b"")
    vector = random(cipher.block)
    missing = cipher.block - length % cipher.block
    return Sealing(cipher, begin + vector, vector, length + missing, bytes((missing,)) * missing)


# --- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted content as it was read: cipher, nonce or vector, octets, and for GCM tag and authenticated data."""

    cipher: ContentCipher
    vector: bytes
    content: bytes | memoryview
    tag: bytes = b""
    extra: bytes = b""
    derived_with: bytes = b""  # the AlgorithmIdentifier that the key is derived with, where it is (RFC 9709)

    def opened(self, key: bytes) -> bytes | None:
        """The content, or None if this is not the key or something was changed."""
        if len(key) != self.cipher.key_size:
            return None
        if self.derived_with:
            key = HKDF(SHA256(), len(key), b"The Cryptographic Message Syntax", self.derived_with).derive(key)
        return self._from_gcm(key) if self.cipher.authenticated else self._from_cbc(key)

    def _from_gcm(self, key: bytes) -> bytes | None:
        opener = Cipher(algorithms.AES(key), modes.GCM(self.vector, self.tag, min_tag_length=12)).decryptor()
        opener.authenticate_additional_data(self.extra)
        content = opener.update(self.content)
        try:
            opener.finalize()
        except InvalidTag:
            return None
        return content

    def _from_cbc(self, key: bytes) -> bytes | None:
        block = self.cipher.block
        algorithm = algorithms.AES(key) if block == 16 else TripleDES(key)
        decryptor = Cipher(algorithm, modes.CBC(self.vector)).decryptor()
        content = decryptor.update(self.content) + decryptor.finalize()
        unpadder = PKCS7(8 * block).unpadder()
        try:  # the padding is in the last block, and nothing else needs to be copied for it
            last = unpadder.update(content[-block:]) + unpadder.finalize()
        except ValueError:
            return None
        return content[: len(content) - block + len(last)]


def read_sealed(algorithm: Algorithm, content: bytes | memoryview, tag: bytes = b"", extra: bytes = b"") -> Sealed:
    """A content with its cipher. Raises SmimeError for ciphers that are weak or not known, and bad parameters."""
    if algorithm.oid == CEK_HKDF:
        inner = read_algorithm(read(algorithm.parameters, SEQUENCE))
        if inner.oid == CEK_HKDF:
            raise SmimeError("a cipher inside of itself")
        return replace(read_sealed(inner, content, tag, extra), derived_with=inner.raw)
    if algorithm.oid in WEAK:
        raise SmimeUnsupported(f"{algorithm.name} is too weak a cipher")
    cipher = _CIPHER_OF.get(algorithm.oid)
    if cipher is None:
        raise SmimeUnsupported(f"the cipher {algorithm.oid} is not known here")
    if cipher.authenticated:
        return Sealed(cipher, _nonce(algorithm, tag), content, tag, extra)
    vector = read(algorithm.parameters, OCTET_STRING).octets()
    if len(vector) != cipher.block:
        raise SmimeError("an initialisation vector of the wrong length")
    if not content or len(content) % cipher.block:
        raise SmimeError("an encrypted content that does not fill its blocks")
    return Sealed(cipher, vector, content)


def _nonce(algorithm: Algorithm, tag: bytes) -> bytes:
    """GCMParameters (RFC 5084 §3.2). The tag is as long as they say, 12 octets without a word.

    Some writers leave the length out and mean 16: a longer tag than was said is checked whole, which is no weaker.
    """
    nonce, length = read(algorithm.parameters, SEQUENCE).fields(OCTET_STRING, INTEGER)
    if nonce is None or not 8 <= len(nonce.body) <= 16:
        raise SmimeError("a nonce of the wrong length")
    said = length.integer() if length else 12
    if not 12 <= said <= len(tag) <= 16:
        raise SmimeError("a tag of another length than was said")
    return nonce.octets()
