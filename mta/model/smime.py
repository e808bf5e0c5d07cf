"""What was found inside S/MIME: results are data, each with its reason for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SignatureStatus(Enum):
    """The mathematics of one signature; whose certificate it is, and whether it is trusted, is asked elsewhere."""

    GOOD = "good"
    BAD = "bad"  # it is wrong: the content or the signature was changed
    UNSUPPORTED = "unsupported"  # an algorithm that is not known here
    REFUSED = "refused"  # an algorithm or key too weak to prove anything
    MALFORMED = "malformed"  # not as the standard says, or the certificate is missing


@dataclass(frozen=True, slots=True)
class SignerOutcome:
    """One signer of a message. `certificate` is the signer's (DER), `scheme` e.g. `rsassa-pss-sha256`.

    `signing_time` is what the signer claims, `capabilities` what it says that it can read, in its order of preference.
    """

    status: SignatureStatus
    reason: str = ""
    certificate: bytes | None = None
    digest: str = ""
    scheme: str = ""
    signing_time: float | None = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedOutcome:
    """A SignedData. `content` is what it encapsulates, None if detached; `reason` says what is wrong with the whole.

    `certificates` are all that lie inside, in their order; nothing is said about whether they are to be believed.
    """

    signers: tuple[SignerOutcome, ...] = ()
    certificates: tuple[bytes, ...] = ()
    content: bytes | None = None
    content_type: str = "data"
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether somebody signed, and every signature there is good."""
        return not self.reason and bool(self.signers) and all(s.status is SignatureStatus.GOOD for s in self.signers)


@dataclass(frozen=True, slots=True)
class DecryptOutcome:
    """An envelope. `content` is None if it could not be opened; then `reason` says why, the same for all key failures.

    `authenticated` is whether the cipher noticed changes (AES-GCM); `recipients` are those of the envelope as people
    would name them; `content_type` says what was inside, `data` is a MIME entity.
    """

    content: bytes | None = None
    cipher: str = ""
    authenticated: bool = False
    key_transport: str = ""
    reason: str = ""
    recipients: tuple[str, ...] = ()
    content_type: str = "data"
