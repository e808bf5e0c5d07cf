"""What a password opens: PBES2 and PBMAC1 (RFC 8018, RFC 9579), and the older ways of PKCS #12 (RFC 7292 §B, §C).

Each file says itself how much work its keys are derived with; what asks for too much is refused. What is not known here
is named: people can then write the file anew.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from mta.errors import SmimeError, SmimeUnsupported
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, SEQUENCE, Element

MOST_ROUNDS = 5_000_000  # some seconds; today's files ask for 2,000 to 600,000
_MOST_MEMORY = 64 << 20  # octets that scrypt may take
_LONGEST_KEY = 1024  # octets of a key for a MAC

_OLD_TRIPLE_DES = {"1.2.840.113549.1.12.1.3": 24, "1.2.840.113549.1.12.1.4": 16}  # RFC 7292 §C: octets of the key
_PBES2, _PBKDF2, _PBMAC1 = "1.2.840.113549.1.5.13", "1.2.840.113549.1.5.12", "1.2.840.113549.1.5.14"  # RFC 8018
_SCRYPT = "1.3.6.1.4.1.11591.4.11"
_AES = {"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}
_TRIPLE_DES = "1.2.840.113549.3.7"
_NIST = "2.16.840.1.101.3.4.2."
_SHA3 = ("sha3_224", "sha3_256", "sha3_384", "sha3_512")
_HMAC = {
    **dict(
        zip(
            (f"1.2.840.113549.2.{number}" for number in range(7, 14)),
            ("sha1", "sha224", "sha256", "sha384", "sha512", "sha512_224", "sha512_256"),
            strict=True,
        )
    ),
    **{f"{_NIST}{13 + place}": name for place, name in enumerate(_SHA3)},
}
_DIGESTS = {
    "1.3.14.3.2.26": "sha1",
    **dict(
        zip(
            (f"{_NIST}{number}" for number in range(1, 7)),
            ("sha256", "sha384", "sha512", "sha224", "sha512_224", "sha512_256"),
            strict=True,
        )
    ),
    **{f"{_NIST}{7 + place}": name for place, name in enumerate(_SHA3)},
}
_NAMES = {
    "1.2.840.113549.1.12.1.1": "RC4 with 128 bits",
    "1.2.840.113549.1.12.1.2": "RC4 with 40 bits",
    "1.2.840.113549.1.12.1.5": "RC2 with 128 bits",
    "1.2.840.113549.1.12.1.6": "RC2 with 40 bits",
    "1.2.840.113549.1.5.3": "PBES1 with MD5 and DES",
    "1.2.840.113549.1.5.10": "PBES1 with SHA-1 and DES",
    "1.2.840.113549.2.5": "MD5",
    "1.2.840.113549.3.2": "RC2",
    "1.3.14.3.2.7": "DES",
    _SCRYPT: "scrypt",
}
_WRONG = "the password is not that of the file"


def opened(algorithm: Element, sealed: bytes, password: str) -> bytes:
    """What was encrypted with the password by this AlgorithmIdentifier.

    Raises SmimeError where it is another password, SmimeUnsupported (one, too) for a way that is not known here.
    """
    identifier, parameters = algorithm.parts(2)
    oid = identifier.oid()
    try:
        if oid == _PBES2:
            return _opened_pbes2(parameters, sealed, password)
        if oid in _OLD_TRIPLE_DES:
            return _opened_old(parameters, sealed, password, _OLD_TRIPLE_DES[oid])
    except (ValueError, OverflowError) as error:
        raise SmimeError(f"it is encrypted in a way that cannot be: {error}") from error
    raise SmimeUnsupported(f"it is encrypted with {_name(oid)}, which is not known here")


def mac_holds(mac: Element, content: bytes, password: str) -> bool:
    """Whether the MacData of a PKCS #12 file is that of its content. Raises SmimeError."""
    info, salt, rounds = mac.fields(SEQUENCE, OCTET_STRING, INTEGER)
    if info is None or salt is None:
        raise SmimeError("a MAC with a part missing")
    algorithm, digest = info.only(SEQUENCE, OCTET_STRING)
    kind = next(algorithm.children()).oid()
    try:
        if kind == _PBMAC1:  # RFC 9579 §4: salt and rounds of the MacData itself mean nothing
            macs = [_pbmac1(algorithm, content, password)]
        else:
            macs = list(_old_macs(kind, salt.octets(), rounds.integer() if rounds else 1, content, password))
    except (ValueError, OverflowError) as error:
        raise SmimeError(f"a MAC that cannot be: {error}") from error
    return any(hmac.compare_digest(mac, digest.octets()) for mac in macs)


def derived(purpose: int, secret: bytes, salt: bytes, rounds: int, digest: tuple[str, int]) -> bytes:
    """A key (`purpose` 1), an initial value (2) or a key for a MAC (3): RFC 7292 §B.2.

    `digest` is its name, and how many octets are wanted.
    """
    _bounded(rounds)
    name, size = digest
    block = hashlib.new(name, usedforsecurity=False).block_size
    mixed = bytearray(_filled(salt, block) + _filled(secret, block))
    key = b""
    while len(key) < size:
        hashed = hashlib.new(name, bytes([purpose]) * block + mixed, usedforsecurity=False).digest()
        for _ in range(rounds - 1):
            hashed = hashlib.new(name, hashed, usedforsecurity=False).digest()
        key += hashed
        addend = int.from_bytes(_filled(hashed, block), "big") + 1
        for at in range(0, len(mixed), block):
            total = int.from_bytes(mixed[at : at + block], "big") + addend
            mixed[at : at + block] = (total % (1 << 8 * block)).to_bytes(block, "big")
    return key[:size]


def _secrets(password: str) -> Iterator[bytes]:
    """RFC 7292 §B.1: UTF-16 and a final zero; an empty password is written in two ways."""
    yield password.encode("utf-16-be") + b"\0\0"
    if not password:
        yield b""


def _old_macs(kind: str, salt: bytes, rounds: int, content: bytes, password: str) -> Iterator[bytes]:
    name = _DIGESTS.get(kind)
    if name is None:
        raise SmimeUnsupported(f"its MAC is made with {_name(kind)}, which is not known here")
    size = hashlib.new(name, usedforsecurity=False).digest_size
    for secret in _secrets(password):
        yield hmac.new(derived(3, secret, salt, rounds, (name, size)), content, name).digest()


def _pbmac1(algorithm: Element, content: bytes, password: str) -> bytes:
    """RFC 8018 §7.1, RFC 9579 §5: a key that says its own length, and an HMAC."""
    _, parameters = algorithm.parts(2)
    derivation, scheme = parameters.only(SEQUENCE, SEQUENCE)
    oid = next(scheme.children()).oid()
    name = _HMAC.get(oid)
    if name is None:
        raise SmimeUnsupported(f"its MAC is made with {_name(oid)}, which is not known here")
    kind, values = derivation.parts(2)
    if kind.oid() != _PBKDF2:
        raise SmimeUnsupported(f"the key of its MAC is derived by {_name(kind.oid())}, which is not known here")
    size = values.fields(OCTET_STRING, INTEGER, INTEGER, SEQUENCE)[2]
    if size is None:  # RFC 9579 §5: the length of the key MUST be there
        raise SmimeError("a MAC that does not say how long its key is")
    return hmac.new(_key(derivation, password, size.integer()), content, name).digest()


def _opened_old(parameters: Element, sealed: bytes, password: str, size: int) -> bytes:
    salt, count = parameters.only(OCTET_STRING, INTEGER)
    for secret in _secrets(password):
        key = derived(1, secret, salt.octets(), count.integer(), ("sha1", size))
        start = derived(2, secret, salt.octets(), count.integer(), ("sha1", 8))
        found = _unpadded(Cipher(TripleDES(key), CBC(start)), sealed, 64)
        if found is not None and found[:1] == b"\x30":  # padding alone fits by chance, once in 256 times
            return found
    raise SmimeError(_WRONG)


def _opened_pbes2(parameters: Element, sealed: bytes, password: str) -> bytes:
    derivation, scheme = parameters.only(SEQUENCE, SEQUENCE)
    cipher, *start = scheme.children()
    oid = cipher.oid()
    if oid not in _AES and oid != _TRIPLE_DES:
        raise SmimeUnsupported(f"it is encrypted with {_name(oid)}, which is not known here")
    if len(start) != 1:
        raise SmimeError("a cipher without its initial value")
    key = _key(derivation, password, _AES.get(oid, 24))
    kind, bits = (AES(key), 128) if oid in _AES else (TripleDES(key), 64)
    found = _unpadded(Cipher(kind, CBC(start[0].octets())), sealed, bits)
    if found is None or found[:1] != b"\x30":
        raise SmimeError(_WRONG)
    return found


def _key(derivation: Element, password: str, size: int) -> bytes:
    """The key that PBKDF2 or scrypt makes of a password, which is UTF-8 here."""
    if not 0 < size <= _LONGEST_KEY:
        raise SmimeError(f"a key of {size} octets")
    kind, values = derivation.parts(2)
    if kind.oid() == _SCRYPT:
        return _scrypt(values, password, size)
    if kind.oid() != _PBKDF2:
        raise SmimeUnsupported(f"its key is derived by {_name(kind.oid())}, which is not known here")
    salt, count, _, function = values.fields(OCTET_STRING, INTEGER, INTEGER, SEQUENCE)
    if salt is None or count is None:
        raise SmimeError("a derivation of a key with a part missing")
    oid = next(function.children()).oid() if function else ""
    name = _HMAC.get(oid) if function else "sha1"
    if name is None:
        raise SmimeUnsupported(f"its key is derived by PBKDF2 with {_name(oid)}, which is not known here")
    return hashlib.pbkdf2_hmac(name, password.encode(), salt.octets(), _bounded(count.integer()), size)


def _scrypt(values: Element, password: str, size: int) -> bytes:
    salt, cost, block, parallel, *_ = values.fields(OCTET_STRING, INTEGER, INTEGER, INTEGER, INTEGER)
    if salt is None or cost is None or block is None or parallel is None:
        raise SmimeError("a derivation of a key with a part missing")
    n, r, p = cost.integer(), block.integer(), parallel.integer()
    if not (r > 0 and 0 < p <= 16 and n > 1 and 128 * n * r <= _MOST_MEMORY):
        raise SmimeError(f"it asks for scrypt of {n}, {r} and {p}, which is more than is allowed")
    return hashlib.scrypt(password.encode(), salt=salt.octets(), n=n, r=r, p=p, maxmem=2 * _MOST_MEMORY, dklen=size)


def _bounded(rounds: int) -> int:
    if not 0 < rounds <= MOST_ROUNDS:
        raise SmimeError(f"it asks for {rounds} rounds of key derivation, {MOST_ROUNDS} are allowed")
    return rounds


def _filled(octets: bytes, block: int) -> bytes:
    """Repeated up to a whole number of blocks."""
    size = -(-len(octets) // block) * block
    return (octets * (size // len(octets) + 1))[:size] if octets else b""


def _unpadded(cipher: Cipher[CBC], sealed: bytes, bits: int) -> bytes | None:
    """What was encrypted; None where the padding says that it was with another key."""
    try:
        decryptor, padding = cipher.decryptor(), PKCS7(bits).unpadder()
        return padding.update(decryptor.update(sealed) + decryptor.finalize()) + padding.finalize()
    except ValueError:
        return None


def _name(oid: str) -> str:
    return f"{_NAMES[oid]} ({oid})" if oid in _NAMES else oid
