"""What a directory knows of a recipient's certificates, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from mta.model.address import Mailbox


class TrustRung(IntEnum):
    """How a certificate came to be believed, weakest first; rungs are compared."""

    HARVESTED = 1  # it signed mail that was verified here
    SECURE_DNS = 2  # its domain vouches for it, by DNSSEC
    ANCHORED = 3  # it leads to an accepted CA
    MANUAL = 4  # an administrator placed it

    @property
    def word(self) -> str:
        """The word that people read."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One certificate that a source found. `rung` is what the source itself vouches for.

    At rung ANCHORED the source vouches for nothing: the certificate has to lead to an anchor. `found_for` is the
    address that was looked up, or `@domain` for one certificate of a whole domain. `stated`: the source says that the
    certificate is for `found_for`, whatever names are in it. `aliases` are further addresses of the same person, of
    which the certificate may name any. `chain` are certificates found beside it, `authority` of SMIMEA usage 2 the CA
    it must lead to. `capabilities` are the names of SMIMECapabilities that were learned with it.
    """

    der: bytes
    source: str
    rung: TrustRung
    found_for: str
    stated: bool = False
    aliases: tuple[str, ...] = ()
    chain: tuple[bytes, ...] = ()
    authority: bytes = b""
    capabilities: tuple[str, ...] = ()
    place: str = ""  # a file, an entry's name, an owner name: for people
    pending: bool = False  # an administrator has yet to approve it

    @property
    def is_for_domain(self) -> bool:
        """Whether it was found for a whole domain."""
        return self.found_for.startswith("@")


@dataclass(frozen=True, slots=True)
class Association:
    """What secure DNS says of certificates found elsewhere (RFC 8162): the fields of an SMIMEA record."""

    usage: int
    selector: int
    matching: int
    data: bytes


class SourceStatus(Enum):
    """What one source's look-up came to. DOWN is unknown, and therefore temporary."""

    FOUND = "found"
    NONE = "none"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """All that one source knows. `notes` tells of what could not be used (an unreadable file, an insecure answer)."""

    status: SourceStatus
    candidates: tuple[Candidate, ...] = ()
    associations: tuple[Association, ...] = ()
    detail: str = ""  # why DOWN
    notes: tuple[str, ...] = ()


class DirectoryStatus(Enum):
    """Whether a certificate was found. TEMPORARY is never "no certificate"."""

    FOUND = "found"
    NONE = "none"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one source in one look-up, for the log and for people. `word` may also be `not asked`."""

    name: str
    word: str
    detail: str = ""
    cached: bool = False


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """The certificate to encrypt to, and why each other one was not chosen.

    `rung` is what the chosen one finally reached; `detail` says why there is none, or why it is not known.
    """

    status: DirectoryStatus
    chosen: Candidate | None = None
    rung: TrustRung | None = None
    others: tuple[tuple[Candidate, str], ...] = ()
    detail: str = ""
    sources: tuple[SourceReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Harvest:
    """The certificate of mail that was verified: signature good, trusted, and the address that of the From."""

    mailbox: Mailbox
    certificate: bytes
    chain: tuple[bytes, ...]
    capabilities: tuple[str, ...]
    at: float
