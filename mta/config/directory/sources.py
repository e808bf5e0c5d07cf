"""`directory.sources`: where certificates of recipients are looked up."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, PlainValidator, Tag, WithJsonSchema

from mta.config.directory.values import LdapPlace, attribute, ldap_filter, ldap_url
from mta.config.files import SYSTEM, Files
from mta.config.problems import Path, Report, did_you_mean, shown
from mta.config.values import ValueFault
from mta.config.words import DomainPattern, Duration, FilePath, Keys, Text, optional
from mta.contract.directory import CertSource, FolderSource, HarvestedSource, LdapSource, SmimeaSource, Source
from mta.contract.server import Server

SOURCE_TYPES = ("folder", "ldap", "smimea", "cert", "harvested")
DEFAULT_ADDRESSES = ["mail", "proxyAddresses"]
DEFAULT_CERTIFICATES = ["userCertificate;binary", "userSMIMECertificate;binary"]
_LDAP_SCHEMA = {"type": "string", "pattern": "^ldaps?://", "examples": ["ldaps://ldap.example.org"]}
LdapUrl = Annotated[LdapPlace, PlainValidator(ldap_url), WithJsonSchema(_LDAP_SCHEMA)]
LdapFilter = Annotated[str, PlainValidator(ldap_filter), WithJsonSchema({"type": "string", "pattern": r"^\(.+\)$"})]
_SINGLE = {SmimeaSource: "smimea", CertSource: "cert", HarvestedSource: "harvested"}


class FolderKeys(Keys):
    """A folder of certificate files."""

    type: Literal["folder"] = optional("A folder of certificate files, watched.", ...)
    path: FilePath = optional("The folder. Files are PEM, DER or PKCS #7; folders below it are read, too.", ...)
    trust: Literal["manual", "anchored"] = optional(
        "`manual`: who writes there vouches; `anchored`: certificates must lead to an anchor.", "manual"
    )


class LdapKeys(Keys):
    """An LDAP server."""

    type: Literal["ldap"] = optional("An LDAP server.", ...)
    url: LdapUrl = optional("`ldaps://host` or `ldap://host`, with a port where it is not the usual one.", ...)
    base: Text = optional("Where the search begins, a distinguished name.", ...)
    user: Text | None = optional("The distinguished name to bind with; without it anonymous.")
    password_file: FilePath | None = optional("File whose first line is the password.")
    tls: Literal["starttls", "none"] | None = optional("For `ldap://`: `starttls` (the default) or `none`.")
    ca: FilePath | None = optional("PEM file of the CAs that may have issued the server's certificate, or `system`.")
    addresses: list[Text] = optional("Attributes that hold addresses of a person.", DEFAULT_ADDRESSES, min_length=1)
    certificates: list[Text] = optional("Attributes that hold certificates.", DEFAULT_CERTIFICATES, min_length=1)
    filter: LdapFilter | None = optional("A further condition, like (objectClass=inetOrgPerson).")
    domains: list[DomainPattern] = optional("Ask about these domains only; without it about all.", [])
    trust: Literal["manual", "anchored"] = optional(
        "`anchored`: certificates must lead to an anchor; `manual`: who writes there vouches.", "anchored"
    )
    timeout: Duration = optional("How long one search may take.", 5.0)


class SmimeaKeys(Keys):
    """SMIMEA records (RFC 8162), where DNS is secure."""

    type: Literal["smimea"] = optional("SMIMEA records in DNS, where they are secure.", ...)


class CertKeys(Keys):
    """CERT records (RFC 4398)."""

    type: Literal["cert"] = optional("CERT records in DNS.", ...)


class HarvestedKeys(Keys):
    """Certificates learned from signed mail."""

    type: Literal["harvested"] = optional("Certificates learned from signed mail that was verified.", ...)
    approve: Literal["manual", "automatic"] = optional(
        "`manual`: used once `mta directory approve` has named it; `automatic`: at once.", "manual"
    )


def _tag(value: Any) -> str:
    return f"<{value['type'] if isinstance(value, dict) else value.type}>"


def _known_type(value: Any) -> Any:
    """The entry of a source, if its type is one of ours; told at the entry."""
    if isinstance(value, Keys):
        return value
    if not isinstance(value, dict):
        raise ValueFault(f"expected an object, found {shown(value)}", "write it like {type: folder, path: ...}")
    given = value.get("type")
    if given not in SOURCE_TYPES:
        what = "this source has no type" if given is None else f"{shown(given)} is no type of source"
        near = did_you_mean(given, SOURCE_TYPES) if isinstance(given, str) else ""
        raise ValueFault(what, near or f"known types: {', '.join(SOURCE_TYPES)}")
    return value


SourceKeys = Annotated[
    Annotated[
        Annotated[FolderKeys, Tag("<folder>")]
        | Annotated[LdapKeys, Tag("<ldap>")]
        | Annotated[SmimeaKeys, Tag("<smimea>")]
        | Annotated[CertKeys, Tag("<cert>")]
        | Annotated[HarvestedKeys, Tag("<harvested>")],
        Discriminator(_tag),
    ],
    BeforeValidator(_known_type),
]


def build_source(keys: object, files: Files, report: Report, path: Path) -> Source:
    """One of `directory.sources`, written at `path`."""
    if isinstance(keys, FolderKeys):
        folder = files.resolve(keys.path)
        try:
            os.scandir(folder).close()
        except OSError as error:
            report.problem((*path, "path"), f"{folder} cannot be read: {error.strerror}", "it is a folder of files")
        return FolderSource(folder, keys.trust)
    if isinstance(keys, LdapKeys):
        return _build_ldap(keys, files, path)
    if isinstance(keys, HarvestedKeys):
        return HarvestedSource(keys.approve)
    return CertSource() if isinstance(keys, CertKeys) else SmimeaSource()


def _build_ldap(keys: LdapKeys, files: Files, path: Path) -> LdapSource:
    return LdapSource(
        host=keys.url.host,
        port=keys.url.port,
        tls="ldaps" if keys.url.secure else keys.tls or "starttls",
        base=keys.base,
        user=keys.user or "",
        password=files.password(keys.password_file, (*path, "password_file")) if keys.password_file else "",
        ca=files.anchors(keys.ca, (*path, "ca")) if keys.ca and keys.ca != SYSTEM else None,
        addresses=tuple(dict.fromkeys(keys.addresses)),
        certificates=tuple(dict.fromkeys(keys.certificates)),
        object_filter=keys.filter or "",
        domains=tuple(dict.fromkeys(keys.domains)),
        trust=keys.trust,
        timeout=keys.timeout,
    )


def check_sources(sources: tuple[Source, ...], keys: list[SourceKeys], server: Server | None, report: Report) -> None:
    """Report sources that are listed twice, can find nothing, or tell secrets on the way."""
    path: Path = ("directory", "sources")
    _twice(sources, report, path)
    for place, (source, written) in enumerate(zip(sources, keys, strict=True)):
        here: Path = (*path, place)
        if isinstance(source, LdapSource) and isinstance(written, LdapKeys):
            _check_ldap(source, written, report, here)
        if isinstance(source, SmimeaSource) and server and not server.trust_ad:
            message = "no answer is ever secure: smimea finds nothing"
            report.warning((*here, "type"), message, "write server.dns: {nameservers: [...], trust_ad: true}")


def _twice(sources: tuple[Source, ...], report: Report, path: Path) -> None:
    seen: dict[object, int] = {}
    for place, source in enumerate(sources):
        mark: object = _SINGLE.get(type(source)) or (source.path if isinstance(source, FolderSource) else source)
        if seen.setdefault(mark, place) != place:
            line = report.marks.at((*path, seen[mark]))[0]
            report.problem((*path, place), f"this source is listed twice (first in line {line})", "remove one")


def _check_ldap(source: LdapSource, keys: LdapKeys, report: Report, path: Path) -> None:
    if keys.url.secure and keys.tls:
        message = f"tls: {keys.tls} stands beside ldaps://, which is TLS from the first octet"
        report.problem((*path, "tls"), message, "remove tls, or write ldap://")
    clear = source.tls == "none"
    if clear and (source.user or keys.password_file):
        report.problem((*path, "tls"), "the password would travel in the clear", "write tls: starttls")
    if clear and source.trust == "manual":
        message = "whoever is on the way could choose the certificates"
        report.problem((*path, "trust"), f"without TLS {message}", "write tls: starttls, or trust: anchored")
    if clear and keys.ca:
        report.warning((*path, "ca"), "ca is without effect: there is no TLS")
    if clear and not _is_loopback(source.host):
        report.warning((*path, "tls"), "without TLS whoever is on the way can hide certificates", "tls: starttls")
    if bool(keys.user) != bool(keys.password_file):
        key = "user" if keys.user else "password_file"
        report.problem((*path, key), "user and password_file belong together", "anonymous binds need neither")
    for key in ("addresses", "certificates"):
        for number, name in enumerate(getattr(keys, key)):
            if not attribute(name):
                hint = "write it like mail or userCertificate;binary"
                report.problem((*path, key, number), f"{name} is not the name of an attribute", hint)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_anchors(sources: tuple[Source, ...], report: Report) -> None:
    """Sources that vouch for nothing themselves need somebody who does."""
    for place, source in enumerate(sources):
        here: Path = ("directory", "sources", place)
        if getattr(source, "trust", "") == "anchored":
            hint = "write directory.trust.anchors, or trust: manual at the source"
            report.problem(here, "without anchors no certificate found here is ever believed", hint)
        if isinstance(source, HarvestedSource):
            message = "without anchors no signature is trusted, and nothing is ever learned"
            report.warning(here, message, "write directory.trust.anchors")
