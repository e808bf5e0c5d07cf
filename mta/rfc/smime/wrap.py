"""Content keys wrapped with another key: AES key wrap (RFC 3565), and that of 3DES (RFC 3217), which is only read."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from mta.errors import SmimeError
from mta.rfc.smime.algorithms import Algorithm, read_algorithm
from mta.rfc.smime.ber import SEQUENCE, read

AES_WRAPS = {  # by the octets of the wrapping key
    16: "2.16.840.1.101.3.4.1.5",
    24: "2.16.840.1.101.3.4.1.25",
    32: "2.16.840.1.101.3.4.1.45",
}
_DES3_WRAP = "1.2.840.113549.1.9.16.3.6"
_SIZES = {**{oid: size for size, oid in AES_WRAPS.items()}, _DES3_WRAP: 24}
_DES3_VECTOR = bytes.fromhex("4adda22c79e82105")


def read_wrap(parameters: bytes) -> Algorithm:
    """The AlgorithmIdentifier of a key wrap."""
    wrap = read_algorithm(read(parameters, SEQUENCE))
    if wrap.oid not in _SIZES or not wrap.bare:
        raise SmimeError(f"the key wrap {wrap.name} is not known here")
    return wrap


def key_size(wrap: Algorithm) -> int:
    """Octets of the key that wraps."""
    return _SIZES[wrap.oid]


def unwrap(wrap: Algorithm, key: bytes, wrapped: bytes) -> bytes:
    """The wrapped key. Raises InvalidUnwrap if it was not wrapped with this one."""
    if wrap.oid != _DES3_WRAP:
        return aes_key_unwrap(key, wrapped)
    if len(wrapped) != 40:
        raise InvalidUnwrap
    outer = _decrypted(key, _DES3_VECTOR, wrapped)[::-1]  # RFC 3217 §3.2
    inner = _decrypted(key, outer[:8], outer[8:])
    content_key, check = inner[:24], inner[24:]
    if not hmac.compare_digest(hashlib.sha1(content_key, usedforsecurity=False).digest()[:8], check):
        raise InvalidUnwrap
    return content_key


def _decrypted(key: bytes, vector: bytes, data: bytes) -> bytes:
    decryptor = Cipher(TripleDES(key), modes.CBC(vector)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
