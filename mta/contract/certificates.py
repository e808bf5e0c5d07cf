"""Every certificate that a configuration names, with the day it ends: what somebody has to renew in time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.directory import Directory, LdapSource
from mta.contract.domains import Domain
from mta.model.tls import CertificateFacts, Pin, RevocationList, TrustAnchors
from mta.rfc.pkix.certificate import certificate_facts

OWN, CLIENT, CA, SMIME, CRL, DKIM, PIN, PARTNER = "own", "client", "ca", "smime", "crl", "dkim", "pin", "partner"
DAY = 86_400.0
_PEM_ENDS = (".pem", ".crt", ".cer")


@dataclass(frozen=True, slots=True)
class Known:
    """One thing that ends. `where` is the key of the configuration, or the host of a partner's connector.

    `not_after` 0: it does not say, as a pin or a key without an end. `detail` holds what else tells it apart.
    """

    kind: str
    where: str
    subject: str
    not_after: float = 0.0
    issuer: str = ""
    sha256: str = ""
    spki_sha256: str = ""
    file: str = ""
    detail: str = ""

    def days_left(self, now: float) -> int:
        """Whole days; less than 0: so many days ago."""
        return int((self.not_after - now) // DAY)


def known_certificates(configuration: Configuration) -> list[Known]:
    """All of them, in the order of the file; a file that cannot be read any more gives none."""
    server = configuration.server
    found = list(_pair(OWN, "server.certificate", server.certificate.chain)) if server.certificate else []
    for domain in configuration.domains.values():
        found += _of_domain(domain)
    for connector in configuration.connectors.values():
        found += _of_connector(connector)
    found += _of_directory(configuration.directory)
    return list(dict.fromkeys(found))


def _of_domain(domain: Domain) -> Iterator[Known]:
    where = f"domains.{domain.name}"
    for place, key in enumerate(domain.dkim):
        detail = f"{key.algorithm}, {'until then' if key.until else 'no end'}"
        yield Known(DKIM, f"{where}.dkim[{place}]", key.selector, key.until, file=key.key, detail=detail)
    if domain.smime is None:
        return
    if domain.smime.certificate:
        yield from _pair(SMIME, f"{where}.smime.certificate", domain.smime.certificate.chain)
    if domain.smime.people:
        for name in _pem_files(domain.smime.people):
            yield from _pair(SMIME, f"{where}.smime.people", name)


def _of_connector(connector: Connector) -> Iterator[Known]:
    where = f"connectors.{connector.name}"
    wanted = connector.inbound.tls.client_certificate
    if connector.own_inbound and wanted:
        path = f"{where}.inbound.tls.client_certificate"
        yield from _anchors(f"{path}.ca", wanted.ca)
        yield from _pins(f"{path}.pins", wanted.pins)
        yield from _lists(f"{path}.crl", wanted.revocation.lists)
    if not connector.own_outbound:
        return
    outbound = connector.outbound
    if outbound.client_certificate:
        yield from _pair(CLIENT, f"{where}.outbound.client_certificate", outbound.client_certificate.chain)
    yield from _anchors(f"{where}.outbound.tls.ca", outbound.tls.ca)
    yield from _pins(f"{where}.outbound.tls.pins", outbound.tls.pins)
    yield from _lists(f"{where}.outbound.tls.crl", outbound.tls.revocation.lists)
    if outbound.auth and outbound.auth.oauth:
        yield from _anchors(f"{where}.outbound.auth.oauth.ca", outbound.auth.oauth.ca)


def _of_directory(directory: Directory) -> Iterator[Known]:
    """What S/MIME of partners rests on, and their certificates that stand in connectors."""
    yield from _anchors("directory.trust.anchors", directory.trust.anchors)
    for der in directory.trust.intermediates:
        yield _certificate(CA, "directory.trust.intermediates", certificate_facts(der), "")
    yield from _lists("directory.trust.crls", directory.trust.lists)
    for place, source in enumerate(directory.sources):
        if isinstance(source, LdapSource):
            yield from _anchors(f"directory.sources[{place}].ca", source.ca)
    placed = [*directory.static.addressed, *(one for each in directory.static.domains.values() for one in each)]
    for der, file in placed:
        yield _certificate(SMIME, "connectors: outbound.smime", certificate_facts(der), file)


def _pair(kind: str, where: str, file: str) -> Iterator[Known]:
    """Our own certificate, and those above it that we send along."""
    try:
        with open(file, "rb") as stream:
            certificates = x509.load_pem_x509_certificates(stream.read())
    except (OSError, ValueError):
        return
    for certificate in certificates:
        yield _certificate(kind, where, certificate_facts(certificate.public_bytes(Encoding.DER)), file)


def _pem_files(folder: str) -> list[str]:
    try:
        return sorted(entry.path for entry in os.scandir(folder) if entry.name.endswith(_PEM_ENDS))
    except OSError:
        return []


def _anchors(where: str, anchors: TrustAnchors | None) -> Iterator[Known]:
    for der in anchors.certificates if anchors else ():
        yield _certificate(CA, where, certificate_facts(der), anchors.path if anchors else "")


def _certificate(kind: str, where: str, facts: CertificateFacts, file: str) -> Known:
    names = ", ".join((*facts.dns_names, *facts.emails, *facts.ip_addresses))
    return Known(
        kind, where, facts.subject, facts.not_after, facts.issuer, facts.sha256, facts.spki_sha256, file, names
    )


def _pins(where: str, pins: tuple[Pin, ...]) -> Iterator[Known]:
    for pin in pins:
        sha256, spki = ("", pin.value) if pin.kind == "spki-sha256" else (pin.value, "")
        yield Known(PIN, where, str(pin), sha256=sha256, spki_sha256=spki, detail="whose it is was not seen yet")


def _lists(where: str, lists: tuple[RevocationList, ...]) -> Iterator[Known]:
    for each in lists:
        detail = f"{len(each.serials)} revoked"
        yield Known(CRL, where, each.issuer_name, each.next_update, sha256=each.sha256, detail=detail)
