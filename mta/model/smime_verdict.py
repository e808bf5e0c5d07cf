"""What the S/MIME of a message is worth, in one word, with the reason for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SmimeResult(Enum):
    """The word; docs/smime.md explains each. They stand from the best to the worst."""

    GOOD = "good"  # signed by the author, the signature is right, the certificate is trusted
    UNSIGNED = "unsigned"
    ENCRYPTED = "encrypted"  # none of our keys opens it, so nobody knows
    NOT_THE_AUTHOR = "not-the-author"  # all is right, but another one signed than the From says
    UNKNOWN = "unknown"  # whether the certificate is trusted cannot be found out now
    UNTRUSTED = "untrusted"  # the certificate leads to no CA that is accepted, or is expired or revoked
    WEAK = "weak"  # an algorithm or key that proves nothing any more
    UNSUPPORTED = "unsupported"  # an algorithm or kind of message that is not known here
    BAD = "bad"  # the content or the signature was changed
    MALFORMED = "malformed"  # not as the standards say, or readers could see different things


_ORDER = {result: rank for rank, result in enumerate(SmimeResult)}


@dataclass(frozen=True, slots=True)
class JudgedSigner:
    """One signature. `layer` counts the signatures from the outside; `fingerprint` is SHA-256 of the certificate.

    `is_author`: its certificate is for the mailbox in the From, and it signed what the reader sees.
    """

    result: SmimeResult
    reason: str = ""
    layer: int = 0
    addresses: tuple[str, ...] = ()
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    fingerprint: str = ""
    scheme: str = ""
    digest: str = ""
    signing_time: float | None = None
    is_author: bool = False


@dataclass(frozen=True, slots=True)
class SmimeVerdict:
    """The whole message.

    `encrypted` is whether it was, `authenticated` whether nobody on the way can have changed what was inside; `changed`
    are protected header fields that say something else outside (RFC 9788).
    """

    result: SmimeResult
    reason: str = ""
    signers: tuple[JudgedSigner, ...] = ()
    encrypted: bool = False
    authenticated: bool = False
    ciphers: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def decisive(self) -> JudgedSigner | None:
        """The author's signature if the message is good, else the one that speaks against it."""
        if self.good:
            return next(signer for signer in self.signers if signer.is_author)
        return worst(self.signers) if self.signers else None

    @property
    def good(self) -> bool:
        """Whether the author has signed it, and nothing is left to doubt."""
        return self.result is SmimeResult.GOOD


def worst(signers: tuple[JudgedSigner, ...]) -> JudgedSigner:
    """The one that decides: a message is as good as its worst signature."""
    return max(signers, key=lambda signer: _ORDER[signer.result])
