"""`directory.trust`: when a certificate of S/MIME is believed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Discriminator, PlainValidator, Tag, WithJsonSchema

from mta.config.directory.bundle import bundle
from mta.config.directory.values import fetch_host
from mta.config.files import Files, Finding
from mta.config.problems import Path, Report
from mta.config.words import LIST, WORD, FilePath, Keys, RsaBits, Switch, optional
from mta.contract.directory import Trust
from mta.model.tls import RevocationList, TrustAnchors
from mta.rfc.pkix.bundle import certificates_in, revocation_lists_in
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.crl import read_lists

_HOST_SCHEMA = {"type": "string", "minLength": 1, "examples": ["crl.example.org", "*.example.org"]}
FetchHost = Annotated[str, PlainValidator(fetch_host), WithJsonSchema(_HOST_SCHEMA)]
FetchChoice = Annotated[
    Annotated[Literal["public"], Tag(WORD)] | Annotated[list[FetchHost], Tag(LIST)],
    Discriminator(lambda value: LIST if isinstance(value, list) else WORD),
]


class TrustKeys(Keys):
    """When a certificate is believed."""

    anchors: FilePath | None = optional("The CAs that are believed: a file, or a folder of files.")
    intermediates: FilePath | None = optional("Further CA certificates, to complete chains with: a file or a folder.")
    revocation: Literal["soft", "hard", "off"] = optional(
        "`soft`: revoked ones are not used; `hard`: nor those of which it cannot be found out; `off`: not asked.",
        "soft",
    )
    fetch: FetchChoice = optional(
        "Hosts that revocation lists and OCSP answers are fetched from; `public`: any public address.", "public"
    )
    crls: FilePath | None = optional("Revocation lists at hand: a file, or a folder of files.")
    min_rsa_bits: RsaBits = optional("The shortest RSA key that is encrypted to.", 2048)
    require_usage: Switch = optional("Only certificates whose extended key usage names emailProtection.", False)


def build_trust(keys: TrustKeys, files: Files, path: Path) -> Trust:
    """`directory.trust`; files that cannot be used are problems."""
    anchors = bundle(keys.anchors, files, (*path, "anchors"), certificates_in)
    return Trust(
        anchors=_anchors(keys.anchors, anchors, files, (*path, "anchors")) if keys.anchors and anchors else None,
        intermediates=tuple(der for der, _ in bundle(keys.intermediates, files, (*path, "intermediates"))),
        revocation=keys.revocation,
        fetch=() if isinstance(keys.fetch, str) else tuple(dict.fromkeys(keys.fetch)),
        fetch_public=isinstance(keys.fetch, str),
        lists=tuple(_list(der) for der, _ in bundle(keys.crls, files, (*path, "crls"), revocation_lists_in)),
        min_rsa_bits=keys.min_rsa_bits,
        require_usage=keys.require_usage,
    )


def _list(der: bytes) -> RevocationList:
    return read_lists(der)[0]


def _anchors(name: str, found: Iterable[tuple[bytes, str]], files: Files, path: Path) -> TrustAnchors | None:
    """The anchors that are CAs in their time; it is a fault if none is."""

    def judge(file: str, finding: Finding) -> None:
        usable = []
        for der, place in found:
            facts = certificate_facts(der)
            if facts.not_before <= files.now <= facts.not_after:
                usable.append(der)
            else:
                text = f"{facts.subject} in {place} is not valid today"
                finding.warnings.append((text, "ask its owner for the next"))
        if not usable:
            finding.fault(f"no CA in {file} is valid today", "put renewed ones in their place")
            return
        digest = hashlib.sha256(b"".join(len(one).to_bytes(4, "big") + one for one in usable)).hexdigest()
        finding.value = TrustAnchors(file, tuple(usable), digest)

    anchors: TrustAnchors | None = files.look("smime-anchors", files.resolve(name), path, judge)
    return anchors


def check_trust(trust: Trust, keys: TrustKeys, report: Report, path: Path) -> None:
    """Report revocation that is asked for and cannot be found out, and keys that do nothing."""
    mute = not (trust.fetch or trust.fetch_public or trust.lists)
    if mute and trust.revocation != "off" and trust.anchors is not None:
        word = "nothing is ever known" if trust.revocation == "soft" else "no certificate is ever used"
        message = f"revocation: {trust.revocation} without a host to fetch from and without crls: {word}"
        report.warning((*path, "fetch"), message, "write fetch: public, hosts, or crls")
    if trust.revocation == "off":
        for key in ("fetch", "crls"):
            if key in keys.model_fields_set:
                report.warning((*path, key), f"{key} is without effect: revocation is off")
