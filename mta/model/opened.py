"""What came of opening an S/MIME message: its layers from the outside in, and what lay inside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mta.model.author import FromField
from mta.model.message import HeaderBlock
from mta.model.smime import DecryptOutcome, SignedOutcome


class Fault(Enum):
    """Why a message was not opened to its core."""

    NONE = ""
    MALFORMED = "malformed"  # it is not what it says, or two readers would see different things in it
    UNSUPPORTED = "unsupported"  # a kind of layer or an algorithm that is not known here
    LOCKED = "locked"  # none of our keys opens it


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: exactly one of `signed` (a SignedData) and `envelope` (an encryption) is set."""

    signed: SignedOutcome | None = None
    envelope: DecryptOutcome | None = None


@dataclass(frozen=True, slots=True)
class ProtectedHeader:
    """What the root of a protected payload says of the header (RFC 9788): its own fields, and those left outside.

    `intent` is `clear` or `cipher`, empty where there is no header protection. Names are in lower case.
    """

    intent: str = ""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    outer: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """A message whose layers were opened, one inside the other, each being the whole of what is in the one before.

    `payload` is the entity inside the last layer that was opened, as it was signed. `decrypted` is the entity that the
    innermost envelope held, with the signatures inside it still on it; None where nothing was decrypted.

    `header` is the protected header, `root` the header of the entity it was found in (None: there is none), `author`
    the From in it, `differing` the names of its fields that say something else outside. `closed`: nothing of the
    payload can be read without a key, however it is wrapped.
    """

    layers: tuple[Layer, ...] = ()
    fault: Fault = Fault.NONE
    reason: str = ""
    payload: bytes = b""
    decrypted: bytes | None = None
    header: ProtectedHeader = ProtectedHeader()
    root: HeaderBlock | None = None
    author: FromField | None = None
    differing: tuple[str, ...] = ()
    closed: bool = False

    @property
    def signatures(self) -> tuple[SignedOutcome, ...]:
        """The signatures, the outermost first."""
        return tuple(layer.signed for layer in self.layers if layer.signed is not None)

    @property
    def envelopes(self) -> tuple[DecryptOutcome, ...]:
        """The encryptions, the outermost first; the last one may have stayed closed."""
        return tuple(layer.envelope for layer in self.layers if layer.envelope is not None)

    @property
    def signed_closed(self) -> bool:
        """Whether signatures are around ciphertext alone: who made them need not have known what is inside."""
        return bool(self.signatures) and (self.layers[-1].signed is None or self.closed)

    @property
    def encrypted(self) -> bool:
        """Whether there is an encryption, opened or not."""
        return bool(self.envelopes)
