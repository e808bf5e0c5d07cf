"""SMIMECapabilities (RFC 8551 §2.5.2): what a signer says that it can read, as words of `profile.WORDS`."""

from __future__ import annotations

from functools import lru_cache

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import DIGEST_OF, DIGESTS, MGF1, OAEP, SHA1, Algorithm, read_algorithm
from mta.rfc.smime.ber import SEQUENCE, Element, read

_CIPHERS = {
    "2.16.840.1.101.3.4.1.46": "aes256-gcm",
    "2.16.840.1.101.3.4.1.26": "aes192-gcm",
    "2.16.840.1.101.3.4.1.6": "aes128-gcm",
    "2.16.840.1.101.3.4.1.42": "aes256-cbc",
    "2.16.840.1.101.3.4.1.22": "aes192-cbc",
    "2.16.840.1.101.3.4.1.2": "aes128-cbc",
    "1.2.840.113549.3.7": "des3-cbc",
    "1.2.840.113549.1.9.16.3.31": "cek-hkdf-sha256",
}
_MOST = 64  # words kept of one attribute


def oaep_parameters(digest: str) -> bytes:
    """RSAES-OAEP-params (RFC 4055 §4.1); those of SHA-1 are the defaults, which DER leaves out."""
    if digest == "sha1":
        return der.sequence()
    hashed = der.algorithm(DIGESTS[digest].oid, der.NULL)
    return der.sequence(der.explicit(0, hashed), der.explicit(1, der.algorithm(MGF1, hashed)))


OURS = der.sequence(  # what is read here, the best first
    *(der.algorithm(oid) for oid, word in _CIPHERS.items() if word != "des3-cbc"),
    *(der.algorithm(OAEP, oaep_parameters(digest)) for digest in ("sha256", "sha512")),
)


def read_capabilities(attribute: Element) -> tuple[str, ...]:
    """The words of the attribute's value, in its order; what has no word here is left out."""
    value = attribute.raw
    return _cached(value) if len(value) <= 1024 else _words(value)


def _words(value: bytes) -> tuple[str, ...]:
    words: list[str] = []
    for entry in read(value, SEQUENCE).children():
        word = _word(read_algorithm(entry))
        if word and word not in words:
            words.append(word)
        if len(words) >= _MOST:
            break
    return tuple(words)


_cached = lru_cache(256)(_words)  # a mail client says the same in each of its messages


def _word(capability: Algorithm) -> str:
    if capability.oid == OAEP:
        digest = _oaep_digest(capability.parameters)
        return f"oaep-{digest}" if digest else ""
    return _CIPHERS.get(capability.oid, "")


def _oaep_digest(parameters: bytes) -> str:
    try:
        hashed = next((part for part in read(parameters, SEQUENCE).children() if part.tag == 0xA0), None)
        oid = read_algorithm(next(hashed.children())).oid if hashed else SHA1
    except (SmimeError, StopIteration):
        return ""
    return "sha1" if oid == SHA1 else DIGEST_OF[oid].name if oid in DIGEST_OF else ""
