"""Signed notes (C2SP signed-note): a text, a blank line, and signatures by name."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mta.errors import TlogError
from mta.rfc.jose.base64url import decode_padded

MAX_NOTE = 256 * 1024  # octets
MAX_SIGNATURES = 64
_MAX_NAME = 255
_DASH = "\u2014 "


class KeyType(IntEnum):
    """How a key signs a note: the text itself, or as a witness, with the time."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that a note is believed by: its name, how it signs, and its 32 octets."""

    name: str
    key: bytes
    type: KeyType = KeyType.ED25519

    def __post_init__(self) -> None:
        if not is_name(self.name) or len(self.key) != 32:
            raise TlogError(f"{self.name!r} is no name of a key, or the key is none")

    @property
    def id(self) -> bytes:
        """The four octets by which signatures name it beside the name."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]

    def holds(self, message: bytes, signature: bytes) -> bool:
        """Whether the Ed25519 signature over `message` is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.type]) + self.key).decode("ascii")
        return f"{self.name}+{self.id.hex()}+{material}"


def read_key(text: str) -> VerifierKey:
    """A key as `NAME+ID+BASE64`, which is how logs and witnesses publish theirs. Raises TlogError."""
    try:
        name, id_, material = text.strip().split("+", 2)  # base64 may hold further plus signs, a name none
        octets = decode_padded(material)
        key = VerifierKey(name, octets[1:], KeyType(octets[0]))
    except (ValueError, IndexError) as error:
        raise TlogError(f"{text[:100]!r} is no key of a log or witness: {error}") from None
    if key.id.hex() != id_:
        raise TlogError(f"{text[:100]!r}: the id is not that of the key")
    return key


def is_name(name: str) -> bool:
    """Whether a key may be called so: no spaces of any kind, no plus sign, no control characters."""
    return 0 < len(name) <= _MAX_NAME and name.isprintable() and "+" not in name and name.split() == [name]


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a note; `octets` stand behind the id."""

    name: str
    id: bytes
    octets: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.octets).decode('ascii')}\n"

    def by(self, key: VerifierKey) -> bool:
        """Whether it claims to be the key's: both name and id count."""
        return (self.name, self.id) == (key.name, key.id)


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it was read; nothing of it is proven. `text` ends in a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"


def read_note(data: bytes) -> Note:
    """The text and signatures of a note. Raises TlogError."""
    if len(data) > MAX_NOTE:
        raise TlogError(f"a note of {len(data)} octets, at most {MAX_NOTE} are read")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise TlogError("a note is text in UTF-8") from None
    if any(sign < " " and sign != "\n" for sign in whole):
        raise TlogError("a note with control characters")
    text, blank, signatures = whole.rpartition("\n\n")  # the last empty line ends the text
    if not blank or not signatures.endswith("\n"):
        raise TlogError("no note: a blank line and signatures are missing")
    return Note(text + "\n", read_signatures(signatures))


def read_signatures(lines: str) -> tuple[Signature, ...]:
    """Lines of signatures, as in a note or in a witness's answer. Raises TlogError."""
    signature_lines = lines.split("\n")[:-1]
    if not signature_lines or len(signature_lines) > MAX_SIGNATURES or not lines.endswith("\n"):
        raise TlogError(f"a note has 1 to {MAX_SIGNATURES} signatures")
    return tuple(map(_signature, signature_lines))


def _signature(line: str) -> Signature:
    name, _, text = line.removeprefix(_DASH).partition(" ")
    try:
        octets = decode_padded(text)
    except ValueError:
        octets = b""
    if not line.startswith(_DASH) or not is_name(name) or len(octets) < 5:
        raise TlogError("a line of a note that is no signature")
    return Signature(name, octets[:4], octets[4:])


def merged(one: str, other: str) -> str:
    """Two notes of one text as one, with the signatures of both; of the same key the other's. Raises TlogError."""
    first, second = read_note(one.encode("utf-8")), read_note(other.encode("utf-8"))
    if first.text != second.text:
        raise TlogError("two notes of different texts: the log would have signed two of one size")
    signatures = {(signature.name, signature.id): signature for signature in (*first.signatures, *second.signatures)}
    return str(Note(first.text, tuple(signatures.values())))


def sign_note(text: str, key: VerifierKey, sign: Callable[[bytes], bytes]) -> Signature:
    """The signature of `key` over a text that ends in a newline; `sign` is Ed25519 with its private part."""
    return Signature(key.name, key.id, sign(text.encode("utf-8")))


def verify_note(note: Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """The keys of ours (plain Ed25519) that signed. Raises TlogError if none has, or if one of theirs does not hold."""
    signed = []
    for key in keys:
        for signature in note.signatures:
            if not signature.by(key) or key.type is not KeyType.ED25519:
                continue
            if not key.holds(note.text.encode("utf-8"), signature.octets):
                raise TlogError(f"the signature of {key.name} does not hold")
            signed.append(key)
            break
    if not signed:
        raise TlogError("the note is not signed by a known key")
    return signed
