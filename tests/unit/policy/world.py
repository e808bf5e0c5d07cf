"""A small world for the policy tests: facts made by hand, a verifier that believes what an issuer's name says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.domains import Domain
from mta.contract.inbound import ClientCertificate, Inbound, InboundTls
from mta.contract.index import ConnectorIndex
from mta.contract.protection import Protection
from mta.contract.server import Server
from mta.contract.values import HostPort
from mta.model.address import Mailbox
from mta.model.author import FromField
from mta.model.session import SessionFacts
from mta.model.tls import CertificateFacts, PathFault, PathVerdict, Pin, TlsFacts, TrustAnchors

NOW = 1_800_000_000.0
DAY = 86_400.0
FABRIKAM_CA = TrustAnchors("fabrikam-ca.pem", (b"fabrikam",), "f0")
OTHER_CA = TrustAnchors("other-ca.pem", (b"other",), "0f")
CLIENT_AUTH, SERVER_AUTH, ANY_USAGE = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"
GOOD_PIN = Pin("spki-sha256", "KEY-ONE")
OTHER_PIN = Pin("cert-sha256", "ff" * 32)


class IssuerVerifier:
    """A chain leads to an anchor set if its last issuer is called like the anchors' file."""

    def __init__(self) -> None:
        self.calls = 0

    def verify(self, chain: Sequence[CertificateFacts], anchors: TrustAnchors, now: float) -> PathVerdict:
        self.calls += 1
        if chain[-1].issuer == "broken":
            return PathVerdict(PathFault.INVALID, "bad signature")
        if chain[-1].issuer != anchors.path:
            return PathVerdict(PathFault.UNTRUSTED, "unable to get local issuer certificate")
        if now > chain[0].not_after:
            return PathVerdict(PathFault.EXPIRED, "certificate has expired")
        if now < chain[0].not_before:
            return PathVerdict(PathFault.NOT_YET_VALID, "certificate is not yet valid")
        return PathVerdict()


VERIFIER = IssuerVerifier()

CERTIFICATE = CertificateFacts(
    der=b"",
    subject="CN=mail.fabrikam.example",
    issuer="fabrikam-ca.pem",
    serial="1",
    sha256="aa" * 32,
    spki_sha256="KEY-ONE",
    dns_names=("mail.fabrikam.example",),
    ip_addresses=(),
    emails=(),
    not_before=NOW - 30 * DAY,
    not_after=NOW + 30 * DAY,
    key_usage_oids=(),
    key="ec-secp256r1",
)


def certificate(**changes: object) -> CertificateFacts:
    return replace(CERTIFICATE, **changes)  # type: ignore[arg-type]


def tls(leaf: CertificateFacts | None = None, version: str = "1.3") -> TlsFacts:
    return TlsFacts(version, "TLS_AES_256_GCM_SHA384", chain=(leaf,) if leaf else ())


def facts(ip: str = "198.51.100.7", tls: TlsFacts | None = None) -> SessionFacts:
    return SessionFacts(ip_address(ip), tls=tls)


def mailbox(text: str) -> Mailbox:
    local, _, domain = text.rpartition("@")
    return Mailbox(local, domain, domain.lower()) if local else Mailbox(domain, "", "")


def from_(*authors: str, count: int = 1, error: str = "") -> FromField:
    return FromField(tuple(mailbox(author) for author in authors), count, error)


def networks(*texts: str) -> tuple:
    return tuple(ip_network(text) for text in texts)


def demanding(*, required: bool = True, min_version: str = "1.2", **certificate: object) -> InboundTls:
    wanted = ClientCertificate(**certificate) if certificate else None  # type: ignore[arg-type]
    return InboundTls(required, min_version, wanted)


SERVER = Server("mx.contoso.example", "postmaster@contoso.example", "mx.contoso.example", ())
CONTOSO = Domain(
    "contoso.example",
    (HostPort("mail.contoso.example", 25),),
    "internal",
    frozenset({"alice@contoso.example", "postmaster@contoso.example"}),
)
INTERNAL = Connector("internal", relay=True, inbound=Inbound(networks=networks("10.0.0.0/8", "::1/128")))
FABRIKAM = Connector(
    "fabrikam",
    domains=("fabrikam.example", "*.fabrikam.example"),
    inbound=Inbound(
        tls=demanding(names=("mail.fabrikam.example",), ca=FABRIKAM_CA), networks=networks("203.0.113.0/24")
    ),
)
DEFAULT = Connector("default")
PARTNER = facts("203.0.113.9", tls(CERTIFICATE))  # has everything fabrikam demands
STRANGER = facts()
INSIDER = facts("10.1.2.3")


def configuration(
    *connectors: Connector,
    domains: tuple[Domain, ...] = (CONTOSO,),
    server: Server = SERVER,
    protection: Protection | None = None,
):
    """`internal`, `fabrikam` and `default`, each replaced by one of the same name if it is given; others are added."""
    chosen = {c.name: c for c in (INTERNAL, FABRIKAM, *connectors, DEFAULT)} | {c.name: c for c in connectors}
    return Configuration(server, {domain.name: domain for domain in domains}, chosen, protection=protection)


def index(*connectors: Connector, domains: tuple[Domain, ...] = (CONTOSO,), server: Server = SERVER) -> ConnectorIndex:
    return ConnectorIndex(configuration(*connectors, domains=domains, server=server))


def words(reasons: Sequence[object]) -> list[str]:
    return [reason.word for reason in reasons]  # type: ignore[attr-defined]
