"""Postfix's TLS security levels and policy attributes (TLS_README) in the words of a contract."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mta.importers.draft import Draft
from mta.importers.postfix.files import words
from mta.importers.postfix.names import Target, expected_names

LEVELS = frozenset({"none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"})
_NOTHING_ELSE = {"dane": "off", "mta_sts": "off"}
_SYSTEM = {  # the bundles of the distributions
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
}
_SYSTEM_FOLDERS = {"/etc/ssl/certs", "/etc/pki/tls/certs"}
_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_NUMBERS = dict(zip(_VERSIONS, ("1.0", "1.1", "1.2", "1.3"), strict=True)) | {
    "0301": "1.0",
    "0302": "1.1",
    "0303": "1.2",
    "0304": "1.3",
}


_ONCE = frozenset({"ciphers", "protocols", "servername", "connection_reuse", "exclude", "enable_rpk"})
_OFTEN = {"match": frozenset({"fingerprint", "verify", "secure"}), "tafile": frozenset({"verify", "secure"})}
_RANK = {"none": 0, "may": 1, "dane": 2, "encrypt": 3, "verify": 4, "secure": 5, "dane-only": 6, "fingerprint": 7}


@dataclass(frozen=True, slots=True)
class _Policy:
    """One entry of a policy table, taken apart, and whom it concerns."""

    level: str
    attributes: Mapping[str, tuple[str, ...]]
    source: str
    connector: str
    target: Target

    def one(self, name: str) -> str:
        return (self.attributes.get(name) or ("",))[0]


def rank(policy: str) -> int:
    """How much an entry of a policy table demands, by its level; more than all of them: Postfix keeps the mail back."""
    return _RANK.get((policy.split() or [""])[0].lower(), 9)


@dataclass(frozen=True, slots=True)
class TlsReader:
    """What main.cf says of TLS to next hops, and where differences go. `here`: whether a file can be read."""

    settings: Mapping[str, str]
    draft: Draft
    here: Callable[[str], bool]

    def usual(self, connector: str, target: Target) -> dict[str, object]:
        """`smtp_tls_security_level`, for whom no policy is written."""
        return self.policy(self.usual_level(connector), "smtp_tls_security_level", connector, target)

    def usual_level(self, connector: str) -> str:
        """`smtp_tls_security_level`, or what the older settings say."""
        settings = self.settings
        level = settings.get("smtp_tls_security_level", "")
        if not level:
            level = "encrypt" if settings.get("smtp_enforce_tls") == "yes" else ""
            level = level or ("may" if settings.get("smtp_use_tls") == "yes" else "none")
            if level == "none":
                text = "is not written: Postfix before 3.11 then speaks no TLS; `level: encrypted` is usual here"
                self.draft.differs("smtp_tls_security_level", text, connector)
        return level

    def policy(self, value: str, source: str, connector: str, target: Target) -> dict[str, object]:
        """One entry of a policy table: a level and its attributes."""
        level, *rest = value.split() or ["nothing"]
        attributes: dict[str, tuple[str, ...]] = {}
        for word in rest:
            name, _, text = word.partition("=")
            attributes[name.lower()] = (*attributes.get(name.lower(), ()), text)
        policy = _Policy(level.lower(), attributes, source, connector, target)
        build = _BUILDERS.get(policy.level)
        if build is None:
            text = f"the level {level} is not known, and Postfix keeps mail back for it: encrypted is written"
            self.differs(policy, text, weaker=True)
            return {"level": "encrypted", **_NOTHING_ELSE}
        tls = build(self, policy)
        if tls["level"] != "none":
            self._version(policy, tls)
            self._attributes(policy)
        return tls

    def differs(self, policy: _Policy, text: str, *, weaker: bool = False) -> None:
        """Note a difference of this policy."""
        self.draft.differs(policy.source, text, policy.connector, weaker=weaker)

    def _attributes(self, policy: _Policy) -> None:
        for name, values in sorted(policy.attributes.items()):
            levels, shown = _OFTEN.get(name), f"{name}={values[-1]}"
            known = policy.level in levels if levels else name in _ONCE and len(values) == 1
            if not known or (levels and "" in values):
                text = f"{shown} makes the policy invalid, and Postfix keeps mail back for it; here it goes"
                self.differs(policy, text, weaker=True)
            elif name in ("ciphers", "exclude"):
                self.differs(policy, f"{shown}: ciphers are those of OpenSSL here, without weak ones")
            elif name in _ONCE - {"protocols"}:
                self.differs(policy, f"{shown} has no counterpart")

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

    def _version(self, policy: _Policy, tls: dict[str, object]) -> None:
        setting = "smtp_tls_protocols" if policy.level in ("may", "dane") else "smtp_tls_mandatory_protocols"
        stated = policy.one("protocols") or self.settings.get(setting, "")
        if not stated:
            return
        least = least_version(stated)
        if least == "1.3":
            tls["min_version"] = "1.3"
        elif least in ("1.0", "1.1"):
            self.differs(policy, f"{stated} allows TLS {least}; below 1.2 nothing is spoken here")
        elif not least:
            self.differs(policy, f"protocols {stated} could not be read: TLS 1.2 is the least here", weaker=True)

    def authority(self, policy: _Policy) -> dict[str, str]:
        """Who is believed. A file that is not here is named all the same: nobody else is believed in its place."""
        files, settings = [*policy.attributes.get("tafile", ())], self.settings
        files = files or [file for file in (settings.get("smtp_tls_CAfile", ""),) if file]
        folder = settings.get("smtp_tls_CApath", "") if "tafile" not in policy.attributes else ""
        if any(file in _SYSTEM for file in files) and len(files) == 1:
            return {}
        if files:
            for left in files[1:]:
                self.differs(policy, f"{left} is left out: `ca` is one file; put the certificates of all into it")
            if not self.here(files[0]):
                self.differs(policy, f"{files[0]} cannot be read here: put it there, nobody else is believed")
            if folder:
                self.differs(policy, f"{folder} (smtp_tls_CApath) is left out: {files[0]} alone is believed")
            return {"ca": files[0]}
        if folder and folder.rstrip("/") not in _SYSTEM_FOLDERS:
            text = f"the CAs of the folder {folder} become all of this system's: write theirs into one file as `ca`"
            self.differs(policy, text, weaker=True)
        elif settings and not folder and settings.get("tls_append_default_CA") != "yes":
            self.differs(policy, "Postfix names no CA here and would verify nobody: the system's are")
        return {}


def _none(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return {"level": "none", **_NOTHING_ELSE}


def _may(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return {"level": "opportunistic", **_NOTHING_ELSE}


def _encrypt(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return {"level": "encrypted", **_NOTHING_ELSE}


def _dane(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return {"level": "opportunistic", "dane": "opportunistic", "mta_sts": "off"}


def _dane_only(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return {"level": "encrypted", "dane": "mandatory", "mta_sts": "off"}


def _fingerprint(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    """Postfix takes the digest of the certificate or of its key: both are written, one of them suffices."""
    written = policy.attributes.get("match") or words(reader.settings.get("smtp_tls_fingerprint_cert_match", ""))
    algorithm = reader.settings.get("smtp_tls_fingerprint_digest", "sha256").lower()
    pins: list[str] = []
    for one in (one for value in written for one in value.split("|")):
        digest = one.replace(":", "").lower()
        if algorithm == "sha256" and re.fullmatch(r"[0-9a-f]{64}", digest):
            pins.append(f"cert-sha256:{digest}")
            pins.append(f"spki-sha256:{base64.b64encode(bytes.fromhex(digest)).decode()}")
        elif one:
            reader.differs(policy, f"{one} is no SHA-256 digest: ask the partner for one")
    if pins:
        return {"level": "pinned", "pins": list(dict.fromkeys(pins)), **_NOTHING_ELSE}
    text = "no fingerprint could be carried over: verified by name is written, of any CA of this system"
    reader.differs(policy, text, weaker=True)
    return {"level": "verified", "revocation": "off", **_NOTHING_ELSE}


def _verify(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return _verified(reader, policy, reader.settings.get("smtp_tls_verify_cert_match", "") or "hostname")


def _secure(reader: TlsReader, policy: _Policy) -> dict[str, object]:
    return _verified(reader, policy, reader.settings.get("smtp_tls_secure_cert_match", "") or "nexthop, dot-nexthop")


def _verified(reader: TlsReader, policy: _Policy, usual: str) -> dict[str, object]:
    written = policy.attributes.get("match") or (usual,)
    asked = list(dict.fromkeys(word for value in written for word in re.split(r"[:,\s]+", value) if word))
    names = expected_names(asked, policy.target, lambda text, weaker: reader.differs(policy, text, weaker=weaker))
    tls: dict[str, object] = {"level": "verified"} | ({"names": names} if names else {})
    return tls | reader.authority(policy) | {"revocation": "off", **_NOTHING_ELSE}


def least_version(stated: str) -> str:
    """The oldest version that a list like `>=TLSv1.2` or `!SSLv2, !TLSv1` allows; empty where it cannot be read."""
    parts = [part for part in re.split(r"[:,\s]+", stated) if part]
    for part in parts:
        if part.startswith(">="):
            return "1.0" if part[2:].startswith("SSL") else _NUMBERS.get(part[2:], "")
    named = {part for part in parts if not part.startswith(("!", "<="))}
    excluded = {part[1:] for part in parts if part.startswith("!")}
    allowed = [one for one in _VERSIONS if one not in excluded and (not named or one in named)]
    return _NUMBERS[allowed[0]] if allowed else ""


Builder = Callable[[TlsReader, _Policy], dict[str, Any]]
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
