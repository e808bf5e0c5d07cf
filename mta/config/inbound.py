"""`connectors.X.inbound`: what mail that comes in must prove."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from mta.config.authentication import AuthenticationKeys, build_authentication, check_authentication
from mta.config.files import SYSTEM
from mta.config.problems import Path, Report
from mta.config.revocation import build_revocation, check_lists
from mta.config.words import (
    OBJECT,
    WORD,
    CertificateName,
    FilePath,
    Keys,
    NetworkText,
    PinText,
    Switch,
    TlsVersion,
    optional,
    word_or_object,
)
from mta.config.workshop import Workshop
from mta.contract.authentication import Authentication
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.inbound import ClientCertificate, Inbound, InboundTls
from mta.contract.server import Server
from mta.model.tls import OFF


class ClientCertificateKeys(Keys):
    """What the peer's certificate must be."""

    names: list[CertificateName] = optional("Any one must be in the certificate; `*.x` matches one label.", [])
    ca: FilePath | None = optional("PEM file of accepted CAs, or `system`.")
    pins: list[PinText] = optional("Agreed certificates or keys; any one suffices, and suffices alone.", [])
    eku: Literal["any", "client"] = optional(
        "`client` refuses certificates whose stated usages lack clientAuth.", "any"
    )
    crl: list[FilePath] = optional("Revocation lists, PEM or DER, of the CAs on the way; renewed by you.", [])
    revocation: Literal["hard", "soft", "off"] | None = optional(
        "`hard`: it must be known not to be revoked; `soft`: it is not known to be; default: hard with `crl`, else off."
    )


class InboundTlsKeys(Keys):
    """Demanded TLS. Writing the object demands it."""

    min_version: TlsVersion = optional("The oldest TLS version accepted.", "1.2")
    client_certificate: ClientCertificateKeys | None = optional("The certificate that proves who the peer is.")


InboundTlsChoice = Annotated[
    Annotated[Literal["optional", "required"], Tag(WORD)] | Annotated[InboundTlsKeys, Tag(OBJECT)],
    Discriminator(word_or_object),
]


class InboundKeys(Keys):
    """What mail that comes in must prove."""

    claims: list[Literal["mail_from", "header_from"]] = optional(
        "Where a claim of these domains is looked for.", ["mail_from", "header_from"], min_length=1
    )
    tls: InboundTlsChoice = optional("`optional`, `required`, or an object, which requires it.", "optional")
    networks: list[NetworkText] = optional("Addresses that prove who the peer is.", [])
    combine: Literal["all", "any"] = optional(
        "Whether networks and certificate must both prove, or one will do.", "all"
    )
    identity: Literal["proof", "none"] = optional("`none`: deliberately do not check who the peer is.", "proof")
    allow_own_sender: Switch = optional("Peers proven here may use senders of our own domains.", False)
    authentication: AuthenticationKeys | None = optional("What SPF, DKIM, DMARC and ARC must have found.")
    header_from: Literal["contract", "dkim"] = optional(
        "`dkim`: From of these domains may also pass on their own aligned signature, as on mail of lists.", "contract"
    )
    trusted_hops: list[NetworkText] = optional(
        "Gateways in front of us: SPF is judged at the address they received the message from.", []
    )


def build_inbound(name: str, keys: InboundKeys, default: Connector | None, shop: Workshop, path: Path) -> Inbound:
    """The `inbound` of the connector `name`, written at `path`; `default` is None when it is built itself."""
    usual = default.inbound.authentication if default else Authentication()
    return Inbound(
        claims=frozenset(keys.claims),
        tls=_inbound_tls(keys.tls, shop, (*path, "tls")),
        networks=tuple(dict.fromkeys(keys.networks)),
        combine=keys.combine,
        identity=keys.identity,
        allow_own_sender=keys.allow_own_sender,
        authentication=build_authentication(name, keys.authentication) if keys.authentication else usual,
        header_from=keys.header_from,
        trusted_hops=tuple(dict.fromkeys(keys.trusted_hops)),
    )


def _inbound_tls(keys: Literal["optional", "required"] | InboundTlsKeys, shop: Workshop, path: Path) -> InboundTls:
    if isinstance(keys, str):
        return InboundTls(required=keys == "required")
    wanted = keys.client_certificate
    certificate = _client_certificate(wanted, shop, (*path, "client_certificate")) if wanted else None
    return InboundTls(True, keys.min_version, certificate)


def _client_certificate(keys: ClientCertificateKeys, shop: Workshop, path: Path) -> ClientCertificate:
    ca = keys.ca or (SYSTEM if keys.names else None)  # a name proves nothing unless somebody vouches for it
    return ClientCertificate(
        names=tuple(dict.fromkeys(keys.names)),
        ca=shop.anchors(ca, (*path, "ca")),
        pins=tuple(dict.fromkeys(keys.pins)),
        eku=keys.eku,
        revocation=build_revocation(keys, ca is not None, OFF, (shop, path)),
    )


def check_inbound(connector: Connector, keys: InboundKeys, report: Report, path: Path) -> None:
    """Report the contradictions of an `inbound` that stands in the file as `keys`, at `path`."""
    _identity(connector, report, path)
    check_authentication(connector, keys.authentication, report, path)
    place: Path = (*path, "tls", "client_certificate")
    _certificate(connector, keys.tls, report, place)
    if wanted := connector.inbound.tls.client_certificate:
        check_lists(wanted.revocation, wanted.ca, report, place)


def _identity(connector: Connector, report: Report, path: Path) -> None:
    inbound = connector.inbound
    if inbound.identity == "none" and inbound.demands_proof:
        message = "identity: none stands beside networks or a client certificate, which prove it"
        report.problem((*path, "identity"), message, "remove one of the two")
    if connector.domains and not inbound.demands_proof and inbound.identity != "none":
        message = "nothing here proves who sends for these domains"
        hint = "write networks or tls.client_certificate, or identity: none if that is meant"
        demands = inbound.authentication
        if demands.dkim == "aligned" and demands.on_failure == "refuse":
            hint = "a signature proves the author, not the peer: write identity: none if that is enough, or networks"
        report.missing(path, message, hint)
    kinds = bool(inbound.networks) + (inbound.tls.client_certificate is not None)
    if inbound.combine == "any" and kinds < 2:
        message = "combine: any has nothing to choose from"
        report.warning((*path, "combine"), message, "it needs networks and a client certificate")


def _certificate(connector: Connector, tls: str | InboundTlsKeys, report: Report, path: Path) -> None:
    keys = tls.client_certificate if isinstance(tls, InboundTlsKeys) else None
    if keys is None:
        return
    if not (keys.names or keys.ca or keys.pins):
        report.missing(path, "any certificate at all would do", "write names, ca or pins")
    elif _anyone_can_have(connector) and not connector.relay:
        message = "everyone can get a certificate of a public CA"
        report.warning((*path, "ca"), message, "write names or pins beside it")


def check_relay(connector: Connector, report: Report, path: Path) -> None:
    """Who may send to anyone must have proven who it is."""
    inbound = connector.inbound
    if not inbound.demands_proof:
        hint = "write inbound with networks or a client certificate"
        report.missing((*path, "relay"), "an open relay: nothing proves who may relay here", hint)
        return
    if connector.name == DEFAULT:
        message = "default is whoever has proven nothing: nobody relays through it"
        report.warning((*path, "relay"), message, "make a connector of its own for those who may relay")
    certificate = inbound.tls.client_certificate
    weak = certificate is None or inbound.combine == "any"
    for place, network in enumerate(inbound.networks):
        if network.prefixlen == 0 and weak:
            message = f"an open relay: {network} is everyone"
            report.problem((*path, "inbound", "networks", place), message, "list your own networks")
    if certificate and _anyone_can_have(connector) and (inbound.combine == "any" or not inbound.networks):
        message = "an open relay: everyone can get a certificate of a public CA"
        report.problem((*path, "relay"), message, "write names or pins beside `ca: system`")


def _anyone_can_have(connector: Connector) -> bool:
    certificate = connector.inbound.tls.client_certificate
    if certificate is None or certificate.names or certificate.pins:
        return False
    return certificate.ca is not None and certificate.ca.path == SYSTEM


def check_offered(server: Server, connectors: Iterable[Connector], report: Report) -> None:
    """Report TLS that is demanded and never offered."""
    if server.certificate or not report.intact(("server", "certificate")):
        return
    demanding = [c.name for c in connectors if c.own_inbound and c.inbound.tls.required]
    if demanding:
        others = f" (and of {len(demanding) - 1} more connectors)" if len(demanding) > 1 else ""
        message = f"without server.certificate no TLS is offered: all mail of {demanding[0]}{others} will be refused"
        report.warning(("connectors", demanding[0], "inbound", "tls"), message, "write server.certificate")
