"""One message written for one group of readers: signed by an identity, encrypted to certificates, under a contract's
words. What is the same from message to message (signers, recipients) is prepared once and kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol, cast

from mta.errors import SmimeError
from mta.model.directory import Candidate
from mta.model.message import HeaderBlock
from mta.rfc.smime.algorithms import Pieces
from mta.rfc.smime.compose import NotTransformable, Protection, protect_message
from mta.rfc.smime.encrypt import RecipientKey, enveloped_pieces, prepare_recipient
from mta.rfc.smime.profile import Profile, raised
from mta.rfc.smime.sign import Signer, SigningIdentity, prepare_signer, signed_data

_SIGNERS_KEPT = 256


class Wishes(Protocol):
    """What a contract says of S/MIME, as far as writing needs it (contract/smime.py)."""

    @property
    def profile(self) -> Profile:
        """The algorithms."""
        ...

    @property
    def format(self) -> str:
        """`detached` or `opaque`."""
        ...

    @property
    def header_protection(self) -> str:
        """`none`, `signed` or `confidential`."""
        ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to be written, perhaps several times. `now` is epoch seconds, `random` gives so many octets."""

    raw: bytes
    block: HeaderBlock
    wishes: Wishes
    identity: SigningIdentity | None
    now: float
    random: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Written:
    """The message as it leaves, and what was done, in JSON types."""

    content: bytes
    cipher: str = ""  # empty: for everyone
    signed: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Recipients:
    """Readers of one envelope. What they all can read may raise the profile (RFC 8551 §2.7)."""

    profile: Profile
    certificates: tuple[Candidate, ...]

    def common(self) -> Profile:
        """The profile of the content: the best that every one of them can read, and nothing below the contract's."""
        capabilities = [frozenset(each.capabilities) for each in self.certificates]
        return _raised(self.profile, frozenset.intersection(*capabilities))

    def prepared(self) -> list[RecipientKey]:
        """Each one's key, ready to be written to. Raises SmimeError for one that cannot be."""
        cipher = self.common().cipher
        return [_recipient(each.der, _own(self.profile, each.capabilities, cipher)) for each in self.certificates]


def write(letter: Letter, sign: bool, certificates: tuple[Candidate, ...]) -> Written | NotTransformable:
    """The letter for these readers (none: for everyone), or why it cannot be written. Raises SmimeError."""
    wishes = letter.wishes
    detached = wishes.format == "detached"
    signer = ready_signer(letter.identity, wishes.profile) if sign else None
    readers = Recipients(wishes.profile, certificates) if certificates else None
    keys, common = (readers.prepared(), readers.common()) if readers else ([], wishes.profile)

    def signed(entity: Pieces) -> bytes:
        assert signer is not None
        return signed_data([signer], entity, detached=detached, signing_time=letter.now)

    def encrypted(entity: Pieces) -> Iterable[bytes]:
        return enveloped_pieces(keys, entity, common, letter.random)

    protection = Protection(
        random=letter.random,
        sign=signed if signer else None,
        encrypt=encrypted if readers else None,
        detached=detached,
        digests=(signer.digest,) if signer else (),
        authenticated=common.authenticated,
        headers=cast(Literal["none", "signed", "confidential"], wishes.header_protection),
    )
    content = protect_message(letter.raw, protection, letter.block)
    if isinstance(content, NotTransformable):
        return content
    signed_by = (signer.scheme.name, _sha256(letter.identity)) if signer else None
    return Written(content, common.cipher if readers else "", signed_by)


_recipient = lru_cache(4096)(prepare_recipient)
_raised = lru_cache(1024)(raised)


@lru_cache(1024)
def _own(profile: Profile, capabilities: tuple[str, ...], cipher: str) -> Profile:
    """The profile for one reader's key; the content's cipher is the same for all."""
    return replace(raised(profile, capabilities), cipher=cipher)


_signers: dict[tuple[bytes, int, Profile], tuple[SigningIdentity, Signer]] = {}


def ready_signer(identity: SigningIdentity | None, profile: Profile) -> Signer:
    """The signer of an identity, made once. Raises SmimeError for one that cannot sign under the profile."""
    if identity is None:
        raise SmimeError("there is nobody to sign")
    name = (identity.certificate, id(identity.key), profile)
    cached = _signers.get(name)
    if cached is None:
        if len(_signers) >= _SIGNERS_KEPT:
            _signers.clear()
        cached = _signers[name] = (identity, prepare_signer(identity, profile))  # keeps the key, and so its id
    return cached[1]


def _sha256(identity: SigningIdentity | None) -> str:
    return hashlib.sha256(identity.certificate).hexdigest() if identity else ""
