"""The `directory` object built: its files read and judged, and the certificates that connectors name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mta.config.files import DAY, SOON, SYSTEM, Files, Finding, read
from mta.config.problems import Path, Report
from mta.config.schema import ConnectorKeys
from mta.config.schema_directory import CertKeys, DirectoryKeys, FolderKeys, HarvestedKeys, LdapKeys, TrustKeys
from mta.config.schema_smime import SmimeKeys
from mta.contract import directory as contract
from mta.contract.connectors import Connector
from mta.contract.watch import stamp
from mta.model.tls import RevocationList, TrustAnchors
from mta.rfc.pkix.bundle import certificates_in, revocation_lists_in
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.crl import read_lists

HERE: Path = ("directory",)
Read = Callable[[bytes], tuple[bytes, ...]]


def build_directory(
    keys: DirectoryKeys, files: Files, report: Report, static: contract.StaticCertificates
) -> contract.Directory:
    """The directory that stands in the file as `keys`, with the certificates of connectors."""
    return contract.Directory(
        sources=tuple(_source(one, files, report, (*HERE, "sources", n)) for n, one in enumerate(keys.sources)),
        trust=_trust(keys.trust, files, (*HERE, "trust")),
        keep_found=keys.cache.found,
        keep_missing=keys.cache.missing,
        keep_entries=keys.cache.entries,
        timeout=keys.timeout,
        static=static,
    )


def _source(keys: object, files: Files, report: Report, path: Path) -> contract.Source:
    if isinstance(keys, FolderKeys):
        folder = files.resolve(keys.path)
        try:
            os.scandir(folder).close()
        except OSError as error:
            report.problem((*path, "path"), f"{folder} cannot be read: {error.strerror}", "it is a folder of files")
        return contract.FolderSource(folder, keys.trust)
    if isinstance(keys, LdapKeys):
        return _ldap(keys, files, path)
    if isinstance(keys, HarvestedKeys):
        return contract.HarvestedSource(keys.approve)
    return contract.CertSource() if isinstance(keys, CertKeys) else contract.SmimeaSource()


def _ldap(keys: LdapKeys, files: Files, path: Path) -> contract.LdapSource:
    return contract.LdapSource(
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


def _trust(keys: TrustKeys, files: Files, path: Path) -> contract.Trust:
    anchors = _bundle(keys.anchors, files, (*path, "anchors"), certificates_in)
    return contract.Trust(
        anchors=_anchors(keys.anchors, anchors, files, (*path, "anchors")) if keys.anchors and anchors else None,
        intermediates=tuple(der for der, _ in _bundle(keys.intermediates, files, (*path, "intermediates"))),
        revocation=keys.revocation,
        fetch=() if isinstance(keys.fetch, str) else tuple(dict.fromkeys(keys.fetch)),
        fetch_public=isinstance(keys.fetch, str),
        lists=tuple(_list(der) for der, _ in _bundle(keys.crls, files, (*path, "crls"), revocation_lists_in)),
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


# --- files and folders of them ------------------------------------------------------------------------------------


def _bundle(
    name: str | None, files: Files, path: Path, reader: Read = certificates_in
) -> tuple[tuple[bytes, str], ...]:
    """What `reader` finds in a file, or in every file of a folder: DER, and the file it stood in."""
    if name is None:
        return ()

    def judge(file: str, finding: Finding) -> None:
        found: list[tuple[bytes, str]] = []
        finding.stamp = stamp(file)  # of a folder, before it is listed: what comes later changes it
        for member in _members(file, finding):
            inner = finding if member == file else Finding()
            found += ((der, member) for der in _contents(member, inner, reader))
            if inner is not finding:
                files.stamps.setdefault(member, inner.stamp)
                finding.faults += inner.faults
        finding.value = tuple(found)
        if not found and not finding.faults:
            finding.fault(f"{file} holds nothing of this kind", "PEM or DER files, or one of them")

    kind = "certificates" if reader is certificates_in else "crls"
    found: tuple[tuple[bytes, str], ...] | None = files.look(kind, files.resolve(name), path, judge)
    return found or ()


def _members(file: str, finding: Finding) -> list[str]:
    """The file itself, or the files of the folder in the order of their names."""
    if not os.path.isdir(file):
        return [file]
    try:
        names = sorted(name for name in os.listdir(file) if not name.startswith("."))
    except OSError as error:
        finding.fault(f"{file} cannot be read: {error.strerror}", "give this user the right to read it")
        return []
    return [member for member in (os.path.join(file, name) for name in names) if os.path.isfile(member)]


def _contents(file: str, finding: Finding, reader: Read) -> tuple[bytes, ...]:
    content = read(file, finding)
    if content is None:
        return ()
    try:
        found = reader(content)
        for der in found:
            _usable(der, reader)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        finding.fault(f"{file} cannot be used: {error}")
        return ()
    return found


def _usable(der: bytes, reader: Read) -> None:
    """Raises for what the library will not read later either."""
    if reader is certificates_in:
        x509.load_der_x509_certificate(der).public_key()
        certificate_facts(der)
    else:
        read_lists(der)


# --- certificates written in connectors -----------------------------------------------------------------------------


def build_static(
    written: Mapping[str, ConnectorKeys], connectors: Mapping[str, Connector], files: Files, report: Report
) -> contract.StaticCertificates:
    """The certificates that stand in `outbound.smime` of the connectors."""
    addressed: list[tuple[bytes, str]] = []
    domains: dict[str, tuple[tuple[bytes, str], ...]] = {}
    for name, keys in written.items():
        if keys.outbound is None or name not in connectors:
            continue
        smime = keys.outbound.smime
        path: Path = ("connectors", name, "outbound", "smime")
        addressed += _addressed(smime, files, report, path)
        if smime.domain_certificate:
            here: Path = (*path, "domain_certificate")
            leaves = _leaves(_bundle(smime.domain_certificate, files, here))
            _times(leaves, files, report, here)
            if not connectors[name].domains:
                report.problem(here, "this connector has no domains whose mail it could be for", "write domains")
            domains |= dict.fromkeys(connectors[name].domains, leaves)
    return contract.StaticCertificates(tuple(addressed), domains)


def _addressed(smime: SmimeKeys, files: Files, report: Report, path: Path) -> list[tuple[bytes, str]]:
    found: list[tuple[bytes, str]] = []
    for place, file in enumerate(smime.certificates):
        here: Path = (*path, "certificates", place)
        leaves = _leaves(_bundle(file, files, here))
        found += leaves
        _times(leaves, files, report, here)
        if leaves and not any(certificate_facts(der).emails for der, _ in leaves):
            hint = "one certificate for a whole domain is a domain_certificate"
            report.ailment(here, "no certificate in it names an address", hint)
    return found


def _times(leaves: Iterable[tuple[bytes, str]], files: Files, report: Report, path: Path) -> None:
    """Warn of certificates whose time has ended, or ends soon."""
    for der, file in leaves:
        facts = certificate_facts(der)
        left = facts.not_after - files.now
        if left < SOON:
            day = datetime.fromtimestamp(facts.not_after, UTC).strftime("%Y-%m-%d")
            what = f"expired on {day}: it is not used" if left < 0 else f"expires on {day}, in {int(left // DAY)} days"
            report.warning(path, f"{facts.subject} in {file} {what}", "ask its owner for the next")


def _leaves(bundle: Iterable[tuple[bytes, str]]) -> tuple[tuple[bytes, str], ...]:
    """The certificates that are no CA's."""
    return tuple(one for one in bundle if not _is_authority(one[0]))


def _is_authority(der: bytes) -> bool:
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
