"""A content key sealed under two shares, so that it is gone when either is.

Share A is sealed to the root key, and travels in the file; share B stays in the vault. `wrappedKey` then reads

    0x01 || RSA-OAEP(A) || nonce || AES-256-GCM(HKDF-SHA256(A || B), content key)

Readers pass it to the key server unseen. Its parts are bound to each other (GCM's additional data), and to the policy
with its uuid (HKDF's info): another policy beside the same wrapped key opens nothing. Sealing takes public keys only.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mta.errors import TdfError, TdfTampered
from mta.rfc.tdf.policy import policy_digest

SHARE = 32  # octets of a share, and of the content key
_NONCE, _TAG = 12, 16
_BOX = _NONCE + SHARE + _TAG
_VERSION = b"\x01"
_SALT = b"mta two shares 1"
_MODULI = (256, 384, 512)  # octets: RSA 2048, 3072, 4096
# SHA-1 in both places is what every OpenTDF client and most tokens have; OAEP asks no collision resistance of it.
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303


@dataclass(frozen=True, slots=True)
class Shares:
    """What is random about one item: both shares and the nonce between them, each used once and never again."""

    a: bytes
    b: bytes
    nonce: bytes

    def __post_init__(self) -> None:
        if (len(self.a), len(self.b), len(self.nonce)) != (SHARE, SHARE, _NONCE):
            raise TdfError("shares have 32 octets each, their nonce 12")


@dataclass(frozen=True, slots=True)
class TwoShares:
    """A wrapped key of two shares, taken apart: `sealed_a` is what the root key opens."""

    sealed_a: bytes
    box: bytes


def seal_shares(root: rsa.RSAPublicKey, shares: Shares, content_key: bytes, uuid: UUID, policy: str) -> bytes:
    """The wrapped key. `policy` is the policy's text. Raises TdfError for a root key of an odd size."""
    if root.key_size not in [8 * size for size in _MODULI] or len(content_key) != SHARE:
        raise TdfError(f"a root key of {root.key_size} bits, or a content key of {len(content_key)} octets")
    head = _VERSION + root.encrypt(shares.a, OAEP)
    key = _derived(shares.a, shares.b, uuid, policy)
    return head + shares.nonce + AESGCM(key).encrypt(shares.nonce, content_key, head)


def read_two_shares(wrapped: bytes) -> TwoShares | None:
    """The parts of a wrapped key of two shares; None for what is none: a plain one, by its length."""
    if wrapped[:1] != _VERSION or len(wrapped) - 1 - _BOX not in _MODULI:
        return None
    return TwoShares(wrapped[1:-_BOX], wrapped[-_BOX:])


def open_shares(two: TwoShares, a: bytes, b: bytes, uuid: UUID, policy: str) -> bytes:
    """The content key. Raises TdfTampered where a share, the policy or the wrapped key is another."""
    if len(a) != SHARE or len(b) != SHARE:
        raise TdfTampered("the wrapped key does not open with these shares")
    try:
        cipher = AESGCM(_derived(a, b, uuid, policy))
        return cipher.decrypt(two.box[:_NONCE], two.box[_NONCE:], _VERSION + two.sealed_a)
    except InvalidTag:
        raise TdfTampered("the wrapped key does not open with these shares") from None


def _derived(a: bytes, b: bytes, uuid: UUID, policy: str) -> bytes:
    info = uuid.bytes + policy_digest(policy)
    return HKDF(hashes.SHA256(), 32, _SALT, info).derive(a + b)


def combine(shares: list[bytes]) -> bytes:
    """The content key that foreign writers split over several key servers: all shares, XORed. Raises TdfError."""
    if not shares or any(len(share) != SHARE for share in shares):
        raise TdfError("a share of a content key has 32 octets")
    number = 0
    for share in shares:
        number ^= int.from_bytes(share, "big")
    return number.to_bytes(SHARE, "big")
