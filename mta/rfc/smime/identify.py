"""By what a message names a certificate: issuer and serial number, or the identifier of its key (RFC 5652 §5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mta.errors import SmimeError
from mta.rfc.smime.ber import INTEGER, SEQUENCE, Element
from mta.rfc.smime.party import Party


@dataclass(frozen=True, slots=True)
class Identifier:
    """One of both: `key_identifier`, or `issuer` (a Name in DER) with `serial`."""

    issuer: bytes = b""
    serial: int = 0
    key_identifier: bytes = b""

    @property
    def text(self) -> str:
        """For people."""
        if self.key_identifier:
            return f"key {self.key_identifier.hex()}"
        issuer = _cached(self.issuer) if len(self.issuer) <= 1024 else _readable(self.issuer)
        return f"serial {self.serial:x} of {issuer}"

    def names(self, who: Party) -> bool:
        """Whether it is this certificate that is meant."""
        if self.key_identifier:
            return self.key_identifier == who.key_identifier
        return self.serial == who.serial and (self.issuer == who.issuer or _same_name(self.issuer, who.issuer))

    def among(self, parties: Sequence[Party]) -> Party | None:
        """The certificate that is meant."""
        return next((who for who in parties if self.names(who)), None)


def read_identifier(element: Element) -> Identifier:
    """A SignerIdentifier, RecipientIdentifier or KeyAgreeRecipientIdentifier."""
    if element.tag == SEQUENCE:
        issuer, serial = element.only(SEQUENCE, INTEGER)
        return Identifier(issuer=issuer.definite, serial=serial.integer())
    if element.tag & ~0x20 == 0x80:  # [0], a RecipientKeyIdentifier's first part is the key identifier as well
        octets = element.octets() if element.tag == 0x80 else next(element.children()).octets()
        if octets:
            return Identifier(key_identifier=octets)
    raise SmimeError("a certificate is named in no known way")


def _same_name(first: bytes, other: bytes) -> bool:
    """RFC 5280 §7.1: names that are written in other string types or cases are the same."""
    from asn1crypto.x509 import Name  # takes long to load, and names mostly agree to the octet

    try:
        return bool(Name.load(first, strict=True) == Name.load(other, strict=True))
    except (ValueError, TypeError, KeyError):
        return False


def _readable(issuer: bytes) -> str:
    from asn1crypto.x509 import Name

    try:
        text = str(Name.load(issuer, strict=True).human_friendly)
    except (ValueError, TypeError, KeyError):
        return "an unreadable issuer"
    return "".join(c if c.isprintable() else "?" for c in text[:200])


_cached = lru_cache(256)(_readable)
