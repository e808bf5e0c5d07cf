"""Postfix's TLS security levels and policy attributes (TLS_README) in the words of a contract."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mta.config.draft import Draft
from mta.config.values import ValueFault, certificate_name

LEVELS = frozenset({"none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"})
_NOTHING_ELSE = {"dane": "off", "mta_sts": "off"}
_SYSTEM = {  # the bundles of the distributions
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
}
_MODERN = ("TLSv1.2", "TLSv1.3")


@dataclass(frozen=True, slots=True)
class TlsReader:
    """What main.cf says of TLS to next hops, and where differences go. `here`: whether a file can be read."""

    settings: Mapping[str, str]
    draft: Draft
    here: Callable[[str], bool]

    def usual(self, connector: str, fixed: bool = False) -> dict[str, Any]:
        """`smtp_tls_security_level`, for whom no policy is written."""
        settings = self.settings
        level = settings.get("smtp_tls_security_level", "")
        if not level:
            level = "encrypt" if settings.get("smtp_enforce_tls") == "yes" else ""
            level = level or ("may" if settings.get("smtp_use_tls") == "yes" else "none")
            if level == "none":
                text = "is not written: Postfix before 3.11 then speaks no TLS; `level: encrypted` is usual here"
                self.draft.differs("smtp_tls_security_level", text, connector)
        return self.policy(level, "smtp_tls_security_level", connector, fixed)

    def policy(self, value: str, source: str, connector: str, fixed: bool = False) -> dict[str, Any]:
        """One entry of a policy table: a level and its attributes. `fixed`: its hosts are configured, not looked up."""
        level, *rest = value.split() or ["nothing"]
        attributes = dict(word.partition("=")[::2] for word in rest)
        build = _BUILDERS.get(level.lower())
        if build is None:
            self.draft.differs(source, f"the level {level} is not known: encrypted is written", connector)
            return {"level": "encrypted", **_NOTHING_ELSE}
        if fixed and level.lower() == "verify":
            attributes.setdefault("match", "nexthop")  # the host's name is ours, not that of a record
        tls = build(self, attributes, source, connector)
        if tls["level"] != "none":
            self._version(level.lower(), attributes, tls, source, connector)
        for name in sorted(attributes.keys() - {"match", "protocols", "tafile"}):
            text = f"{name}={attributes[name]} has no counterpart"
            if name in ("ciphers", "exclude"):
                text = f"{name}={attributes[name]}: ciphers are those of OpenSSL here, without weak ones"
            self.draft.differs(source, text, connector)
        return tls

    def key_pair(self, certificate: str, key: str) -> dict[str, str] | None:
        """A certificate with its key, where both files are here."""
        chain = self.settings.get(certificate, "")
        private = self.settings.get(key, "") or chain
        if not chain or chain == "none":
            return None
        if self.here(chain) and self.here(private):
            return {"chain": chain, "key": private}
        self.draft.differs(certificate, f"{chain} or its key cannot be read here: write the key pair when it can")
        return None

    def _version(self, level: str, attributes: Mapping[str, str], tls: dict[str, Any], source: str, name: str) -> None:
        setting = "smtp_tls_protocols" if level in ("may", "dane") else "smtp_tls_mandatory_protocols"
        stated = attributes.get("protocols", "") or self.settings.get(setting, "")
        if not stated:
            return
        least = _least(stated)
        if least == "1.3":
            tls["min_version"] = "1.3"
        elif least in ("1.0", "1.1"):
            self.draft.differs(source, f"{stated} allows TLS {least}; below 1.2 nothing is spoken here", name)

    def _authority(self, attributes: Mapping[str, str], source: str, connector: str) -> dict[str, str]:
        """Who is believed. Postfix believes nobody unless it is told."""
        file = attributes.get("tafile") or self.settings.get("smtp_tls_CAfile", "")
        if file in _SYSTEM:
            return {}
        if file and self.here(file):
            return {"ca": file}
        if file:
            self.draft.differs(source, f"{file} cannot be read here: the system's CAs are written", connector)
        elif self.settings and not self.settings.get("smtp_tls_CApath"):
            self.draft.differs(source, "Postfix names no CA here and would verify nobody: the system's are", connector)
        return {}


Attributes = Mapping[str, str]


def _none(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return {"level": "none", **_NOTHING_ELSE}


def _may(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return {"level": "opportunistic", **_NOTHING_ELSE}


def _encrypt(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return {"level": "encrypted", **_NOTHING_ELSE}


def _dane(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return {"level": "opportunistic", "dane": "opportunistic", "mta_sts": "off"}


def _dane_only(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return {"level": "encrypted", "dane": "mandatory", "mta_sts": "off"}


def _fingerprint(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    """Postfix takes the digest of the certificate or of its key: both are written, one of them suffices."""
    pins: list[str] = []
    for one in re.split(r"[|]", attributes.get("match", "")):
        digest = one.replace(":", "").lower()
        if re.fullmatch(r"[0-9a-f]{64}", digest):
            pins.append(f"cert-sha256:{digest}")
            pins.append(f"spki-sha256:{base64.b64encode(bytes.fromhex(digest)).decode()}")
        elif one:
            reader.draft.differs(source, f"{one} is no SHA-256 digest: ask the partner for one", connector)
    if pins:
        return {"level": "pinned", "pins": pins, **_NOTHING_ELSE}
    reader.draft.differs(source, "no fingerprint could be carried over: verified by name is written", connector)
    return {"level": "verified", "revocation": "off", **_NOTHING_ELSE}


def _verify(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return _verified(reader, attributes.get("match", "hostname"), attributes, (source, connector))


def _secure(reader: TlsReader, attributes: Attributes, source: str, connector: str) -> dict[str, Any]:
    return _verified(reader, attributes.get("match", "nexthop:dot-nexthop"), attributes, (source, connector))


def _verified(reader: TlsReader, match: str, attributes: Attributes, place: tuple[str, str]) -> dict[str, Any]:
    source, connector = place
    names: list[str] = []
    for word in re.split(r"[:|,]", match):
        if word == "hostname":
            text = "`match=hostname` believes the MX name that unsigned DNS gave; here it counts from secure DNS only"
            reader.draft.differs(source, text, connector)
        elif word in ("nexthop", "dot-nexthop", ""):
            continue  # what `verified` without names expects
        else:
            names += _names(word, reader.draft, source, connector)
    tls: dict[str, Any] = {"level": "verified"}
    if names:
        tls["names"] = names
        if "nexthop" in re.split(r"[:|,]", match):
            text = "`nexthop` stands beside other names: add the recipient's domain to `names` if it is meant"
            reader.draft.differs(source, text, connector)
    return tls | reader._authority(attributes, source, connector) | {"revocation": "off", **_NOTHING_ELSE}


def _names(word: str, draft: Draft, source: str, connector: str) -> list[str]:
    if word.startswith("."):
        draft.differs(source, f"{word} means any depth below; `*{word}` means one label here", connector)
        word = f"*{word}"
    try:
        return [str(certificate_name(word))]
    except ValueFault as fault:
        draft.differs(source, f"{word} is no name here: {fault}", connector)
        return []


def _least(stated: str) -> str:
    """The oldest version that a list like `>=TLSv1.2` or `!SSLv2, !TLSv1` allows."""
    order = ("TLSv1", "TLSv1.1", *_MODERN)
    parts = [part for part in re.split(r"[:,\s]+", stated) if part]
    for part in parts:
        if part.startswith(">="):
            return part[2:].removeprefix("TLSv") if part[2:] != "TLSv1" else "1.0"
    named = {part for part in parts if not part.startswith(("!", "<="))}
    excluded = {part[1:] for part in parts if part.startswith("!")}
    allowed = [one for one in order if one not in excluded and (not named or one in named)]
    return {"TLSv1": "1.0"}.get(allowed[0], allowed[0].removeprefix("TLSv")) if allowed else "1.2"


Builder = Callable[[TlsReader, Attributes, str, str], dict[str, Any]]
_BUILDERS: dict[str, Builder] = {
    "none": _none,
    "may": _may,
    "encrypt": _encrypt,
    "dane": _dane,
    "dane-only": _dane_only,
    "fingerprint": _fingerprint,
    "verify": _verify,
    "secure": _secure,
}
