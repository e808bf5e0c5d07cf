"""`connectors.X.outbound`: what mail that goes out is promised."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mta.config.auth import AuthKeys, build_auth, check_auth
from mta.config.problems import Path, Report
from mta.config.revocation import build_revocation, check_lists
from mta.config.smime import SmimeKeys, build_smime, check_smime
from mta.config.triggers import ProtectKeys, build_protect
from mta.config.words import (
    OBJECT,
    WORD,
    CertificateName,
    FilePath,
    KeyPairKeys,
    Keys,
    NextHop,
    PinText,
    Port,
    TlsVersion,
    optional,
    word_or_object,
)
from mta.config.workshop import Workshop
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.server import Server
from mta.model.tls import SOFT, TlsLevel


class RouteKeys(Keys):
    """Fixed next hops."""

    hosts: list[NextHop] = Field(description="Hosts in order of preference; port 25 where none is given.", min_length=1)


RouteChoice = Annotated[
    Annotated[Literal["mx"], Tag(WORD)] | Annotated[RouteKeys, Tag(OBJECT)], Discriminator(word_or_object)
]


class OutboundTlsKeys(Keys):
    """What the next hop must prove."""

    level: Literal["none", "opportunistic", "encrypted", "verified", "pinned"] | None = optional(
        "How much is promised; without it the strictest that the other keys imply."
    )
    names: list[CertificateName] = optional("Any one must be in the certificate; without it the host dialled.", [])
    ca: FilePath | None = optional("PEM file of accepted CAs, or `system` (the default).")
    pins: list[PinText] = optional("Agreed certificates or keys; any one suffices.", [])
    min_version: TlsVersion = optional("The oldest TLS version spoken.", "1.2")
    crl: list[FilePath] = optional("Revocation lists, PEM or DER, of the CAs on the way; renewed by you.", [])
    revocation: Literal["hard", "soft", "off"] | None = optional(
        "`hard`: known by list or OCSP staple not to be revoked; `soft`: not known to be; default: hard with `crl`, "
        "else soft.",
    )
    dane: Literal["opportunistic", "mandatory", "off"] = optional(
        "TLSA records: `opportunistic` obeys them where they are, `mandatory` demands them, `off` does not ask.",
        "opportunistic",
    )
    mta_sts: Literal["opportunistic", "mandatory", "off"] = optional(
        "The MTA-STS policy of the recipient's domain: obeyed, demanded or not asked for.", "opportunistic"
    )
    requiretls: Literal["enforce", "opportunistic"] = optional(
        "`opportunistic`: mail that demands TLS (REQUIRETLS) goes here as other mail does.", "enforce"
    )


class OutboundKeys(Keys):
    """What mail that goes out is promised."""

    route: RouteChoice = optional("`mx`, or an object with `hosts`.", "mx")
    tls: OutboundTlsKeys = optional("What the next hop must prove.", OutboundTlsKeys())
    client_certificate: KeyPairKeys | None = optional("The certificate we show.")
    auth: AuthKeys | None = optional("SMTP AUTH; only with fixed hosts at level verified or more.")
    port: Port = optional("Port of hosts found by MX.", 25)
    dkim: Literal["auto", "off"] = optional("`auto` signs mail of our domains that have keys; `off` never.", "auto")
    arc: Literal["off", "seal"] = optional("`seal`: mail that was judged on arrival leaves with an ARC seal.", "off")
    smime: SmimeKeys = optional("How mail is signed and encrypted.", SmimeKeys())
    protect: ProtectKeys = optional("When mail goes to the portal instead, sealed in the vault.", ProtectKeys())


def build_outbound(keys: OutboundKeys, shop: Workshop, path: Path) -> Outbound:
    """An `outbound`, written at `path`; files that cannot be used are problems."""
    tls, pair = keys.tls, keys.client_certificate
    level = TlsLevel[tls.level.upper()] if tls.level else _implied_level(tls)
    judged = level is TlsLevel.VERIFIED or (level is TlsLevel.PINNED and bool(tls.ca or tls.names))
    return Outbound(
        hosts=() if isinstance(keys.route, str) else tuple(keys.route.hosts),
        tls=OutboundTls(
            level=level,
            names=tuple(dict.fromkeys(tls.names)),
            ca=shop.anchors(tls.ca, (*path, "tls", "ca")),
            pins=tuple(dict.fromkeys(tls.pins)),
            min_version=tls.min_version,
            revocation=build_revocation(tls, judged, SOFT, (shop, (*path, "tls"))),
            dane=tls.dane,
            mta_sts=tls.mta_sts,
            requiretls=tls.requiretls,
        ),
        client_certificate=shop.files.key_pair(pair.chain, pair.key, (*path, "client_certificate")) if pair else None,
        auth=build_auth(keys.auth, shop, (*path, "auth")) if keys.auth else None,
        port=keys.port,
        dkim=keys.dkim,
        arc=keys.arc,
        smime=build_smime(keys.smime, (shop.report, (*path, "smime"))),
        protect=build_protect(keys.protect),
    )


def _implied_level(tls: OutboundTlsKeys) -> TlsLevel:
    """The strictest level that the written keys imply."""
    if tls.pins:
        return TlsLevel.PINNED
    return TlsLevel.VERIFIED if tls.names or tls.ca else TlsLevel.ENCRYPTED


def check_outbound(connector: Connector, keys: OutboundKeys, report: Report, path: Path) -> None:
    """Report the contradictions of an `outbound` that stands in the file as `keys`, at `path`."""
    _level(connector, keys, report, path)
    _published(connector, keys, report, (*path, "tls"))
    check_auth(connector.outbound, keys.auth, report, (*path, "auth"))
    _details(connector, keys, report, path)
    tls = connector.outbound.tls
    check_lists(tls.revocation, tls.ca, report, (*path, "tls"))
    check_smime(connector.outbound, keys.smime.model_fields_set, report, (*path, "smime"))


def _level(connector: Connector, keys: OutboundKeys, report: Report, path: Path) -> None:
    """A stated level is at least what the other keys imply."""
    tls = keys.tls
    if tls.level is None:
        return
    stated = TlsLevel[tls.level.upper()]
    implied = TlsLevel.PINNED if tls.pins else TlsLevel.VERIFIED if tls.names or tls.ca else TlsLevel.NONE
    if stated < implied:
        key = "pins" if tls.pins else "names" if tls.names else "ca"
        message = f"{tls.level} is less than `{key}` beside it demands"
        report.problem((*path, "tls", "level"), message, f"write {implied.word}, or remove level or {key}")
    elif stated is TlsLevel.NONE and connector.outbound.client_certificate:
        message = "without TLS the client certificate can never be shown"
        report.problem((*path, "tls", "level"), message, "raise the level or remove client_certificate")
    if stated is TlsLevel.PINNED and not tls.pins:
        report.missing((*path, "tls", "level"), "pinned needs pins", "write pins: [spki-sha256:...]")


def _published(connector: Connector, keys: OutboundKeys, report: Report, path: Path) -> None:
    """DANE and MTA-STS are promised only where they can be had."""
    outbound, stated = connector.outbound, keys.tls.model_fields_set
    for key in ("dane", "mta_sts"):
        word = getattr(outbound.tls, key)
        if outbound.tls.level is TlsLevel.NONE and key in stated and word != "off":
            report.problem((*path, key), "at level none there is no TLS to be proven", "raise the level")
    if outbound.tls.mta_sts == "mandatory" and outbound.hosts:
        message = "fixed hosts have no MTA-STS policy: it is about the hosts that MX records name"
        report.problem((*path, "mta_sts"), message, "write route: mx, or remove it")
    if outbound.tls.dane == "mandatory" and any(_is_address(host.host) for host in outbound.hosts):
        message = "an IP address has no TLSA records: this host would never be used"
        report.problem((*path, "dane"), message, "name the hosts of the route")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _details(connector: Connector, keys: OutboundKeys, report: Report, path: Path) -> None:
    if connector.outbound.hosts and "port" in keys.model_fields_set:
        report.warning((*path, "port"), "port is for hosts found by MX", "write it behind the host: host:port")
    if connector.outbound_mode == "audit" and connector.name != DEFAULT:
        message = "in audit mode mail goes by this route with the TLS and S/MIME of default; the difference is recorded"
        report.warning(path, message, "write mode: enforce once the reports look right", key=True)


def check_dane(server: Server, connectors: Mapping[str, Connector], report: Report) -> None:
    """Report DANE that can never be had: it rests on DNSSEC, which is believed only where the resolver is."""
    if server.trust_ad or not report.intact(("server", "dns")):
        return
    for name, connector in connectors.items():
        if connector.own_outbound and connector.outbound.tls.dane == "mandatory":
            message = "without server.dns.trust_ad no TLSA record counts: all mail would wait"
            hint = "write server: {dns: {nameservers: [...], trust_ad: true}} with a validating resolver"
            report.problem(("connectors", name, "outbound", "tls", "dane"), message, hint)
