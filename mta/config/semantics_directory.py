"""What the keys of `directory` say against each other and against the server."""

from __future__ import annotations

from ipaddress import ip_address

from mta.config.problems import Path, Report
from mta.config.schema_directory import DirectoryKeys, LdapKeys
from mta.config.values_directory import attribute
from mta.contract.directory import (
    CertSource,
    Directory,
    FolderSource,
    HarvestedSource,
    LdapSource,
    SmimeaSource,
    Source,
)
from mta.contract.server import Server

_SINGLE = {SmimeaSource: "smimea", CertSource: "cert", HarvestedSource: "harvested"}


def check_directory(directory: Directory, keys: DirectoryKeys, server: Server | None, report: Report) -> None:
    """Report every contradiction of the directory."""
    if not report.intact(("directory", "sources")):
        return  # they were taken out: what could be said would be of others
    path: Path = ("directory", "sources")
    _twice(directory.sources, report, path)
    for place, source in enumerate(directory.sources):
        here: Path = (*path, place)
        written = keys.sources[place]
        if isinstance(source, LdapSource) and isinstance(written, LdapKeys):
            _ldap(source, written, report, here)
        if isinstance(source, SmimeaSource) and server and not server.trust_ad:
            message = "no answer is ever secure: smimea finds nothing"
            report.warning((*here, "type"), message, "write server.dns: {nameservers: [...], trust_ad: true}")
    if report.intact(("directory", "trust")):
        if keys.trust.anchors is None:  # one that cannot be read was told already
            _anchors(directory, report)
        _revocation(directory, keys, report, ("directory", "trust"))


def _twice(sources: tuple[Source, ...], report: Report, path: Path) -> None:
    seen: dict[object, int] = {}
    for place, source in enumerate(sources):
        mark: object = _SINGLE.get(type(source)) or (source.path if isinstance(source, FolderSource) else source)
        if seen.setdefault(mark, place) != place:
            line = report.marks.at((*path, seen[mark]))[0]
            report.problem((*path, place), f"this source is listed twice (first in line {line})", "remove one")


def _ldap(source: LdapSource, keys: LdapKeys, report: Report, path: Path) -> None:
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


def _anchors(directory: Directory, report: Report) -> None:
    """Sources that vouch for nothing themselves need somebody who does."""
    for place, source in enumerate(directory.sources):
        here: Path = ("directory", "sources", place)
        if getattr(source, "trust", "") == "anchored":
            hint = "write directory.trust.anchors, or trust: manual at the source"
            report.problem(here, "without anchors no certificate found here is ever believed", hint)
        if isinstance(source, HarvestedSource):
            message = "without anchors no signature is trusted, and nothing is ever learned"
            report.warning(here, message, "write directory.trust.anchors")


def _revocation(directory: Directory, keys: DirectoryKeys, report: Report, path: Path) -> None:
    trust = directory.trust
    mute = not (trust.fetch or trust.fetch_public or trust.lists)
    if mute and trust.revocation != "off" and trust.anchors is not None:
        word = "nothing is ever known" if trust.revocation == "soft" else "no certificate is ever used"
        message = f"revocation: {trust.revocation} without a host to fetch from and without crls: {word}"
        report.warning((*path, "fetch"), message, "write fetch: public, hosts, or crls")
    if trust.revocation == "off":
        for key in ("fetch", "crls"):
            if key in keys.trust.model_fields_set:
                report.warning((*path, key), f"{key} is without effect: revocation is off")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
