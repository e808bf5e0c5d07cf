"""Certificates of recipients that stand in `outbound.smime` of the connectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from cryptography import x509

from mta.config.directory.bundle import bundle
from mta.config.files import DAY, SOON, Files
from mta.config.problems import Path, Report
from mta.config.smime import SmimeKeys
from mta.contract.connectors import Connector
from mta.contract.directory import StaticCertificates
from mta.rfc.pkix.certificate import certificate_facts


def build_static(
    written: Mapping[str, SmimeKeys], connectors: Mapping[str, Connector], files: Files, report: Report
) -> StaticCertificates:
    """The certificates that stand in the `outbound.smime` of these connectors."""
    addressed: list[tuple[bytes, str]] = []
    domains: dict[str, tuple[tuple[bytes, str], ...]] = {}
    for name, smime in written.items():
        path: Path = ("connectors", name, "outbound", "smime")
        addressed += _addressed(smime, files, report, path)
        if smime.domain_certificate:
            here: Path = (*path, "domain_certificate")
            leaves = _leaves(bundle(smime.domain_certificate, files, here))
            _times(leaves, files, report, here)
            if not connectors[name].domains:
                report.problem(here, "this connector has no domains whose mail it could be for", "write domains")
            domains |= dict.fromkeys(connectors[name].domains, leaves)
    return StaticCertificates(tuple(addressed), domains)


def _addressed(smime: SmimeKeys, files: Files, report: Report, path: Path) -> list[tuple[bytes, str]]:
    found: list[tuple[bytes, str]] = []
    for place, file in enumerate(smime.certificates):
        here: Path = (*path, "certificates", place)
        leaves = _leaves(bundle(file, files, here))
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


def _leaves(certificates: Iterable[tuple[bytes, str]]) -> tuple[tuple[bytes, str], ...]:
    """The certificates that are no CA's."""
    return tuple(one for one in certificates if not _is_authority(one[0]))


def _is_authority(der: bytes) -> bool:
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False
