"""S/MIME: how mail to a partner is protected, and what our own domains sign and open with."""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.contract.values import KeyPair
from mta.rfc.smime.profile import PROFILES, Profile


@dataclass(frozen=True, slots=True)
class OwnSmime:
    """The certificates and keys of one of our domains for S/MIME; paths, empty where there is none.

    `certificate` is the organisation's. `people` is a folder with those of single addresses, `former` one of keys that
    decrypt only; `password` opens what is encrypted in them. `decrypt`: whether mail for the domain is opened.
    """

    certificate: KeyPair | None = None
    people: str = ""
    former: str = ""
    password: str = field(default="", repr=False)
    decrypt: bool = True


@dataclass(frozen=True, slots=True)
class Smime:
    """How mail to a partner is signed and encrypted (docs/connectors.md has the words of each field)."""

    sign: str = "never"
    encrypt: str = "never"
    without_certificate: str = "reject"
    identity: str = "any"
    profile: Profile = PROFILES["default"]
    format: str = "detached"
    header_protection: str = "none"
    already_protected: str = "pass"

    @property
    def protects(self) -> bool:
        """Whether anything is ever signed or encrypted."""
        return self.sign != "never" or self.encrypt != "never"
