"""Private keys, which stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that stays where it is: `sign` takes a SHA-256 digest of 32 octets."""

    algorithm: str  # rsa-sha256 (PKCS #1 v1.5) or ed25519-sha256
    sign: Callable[[bytes], bytes]


class TokenKey(Protocol):
    """Opens a key of a token by its URI."""

    def __call__(self, uri: str, public: Any = None) -> Any:
        """The key. Where its public half is known the token is not asked before it is used. Raises MtaError."""
        ...


class KeyProvider(Protocol):
    """Where private keys are kept."""

    def signing_key(self, path: str) -> SigningKey:
        """The key that the configuration names so. Raises MtaError if it cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate of ours (DER) with its private key, for S/MIME. Times are epoch seconds.

    `key` is a private key of `cryptography`, or an object of the same methods where the key stays in a token. `chain`
    leads towards the root, `place` says for people where it was found.
    """

    certificate: bytes
    chain: tuple[bytes, ...]
    key: object
    not_before: float
    not_after: float
    place: str

    @property
    def in_token(self) -> bool:
        """Whether using the key may take as long as a token likes."""
        return bool(getattr(self.key, "in_token", False))


class KeyRing(Protocol):
    """Our own certificates for S/MIME. Blocks: it may read files. A token is asked when its key is used."""

    def for_signing(self, domain: str, address: str, now: float, *, whose: str) -> OwnCertificate | None:
        """The one that signs for `address` of our `domain`: `sender` its own, `domain` the domain's, `any` either.

        Of several the one that began last and is in its time. Raises MtaError for one that cannot be used.
        """
        ...

    def for_decrypting(self, domain: str, address: str) -> tuple[OwnCertificate, ...]:
        """Every one, also former and expired ones, that mail to `address` may be encrypted to; the newest first."""
        ...
