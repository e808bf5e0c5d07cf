"""What one connector says against itself."""

from __future__ import annotations

from ipaddress import ip_address

from mta.config.files import SYSTEM
from mta.config.problems import Path, Report
from mta.config.schema import AuthKeys, ConnectorKeys, InboundTlsKeys, OutboundKeys
from mta.config.semantics_authentication import check_authentication
from mta.config.semantics_revocation import check_lists
from mta.config.semantics_smime import check_smime
from mta.contract.connectors import DEFAULT, Connector
from mta.model.tls import TlsLevel


def check_connector(connector: Connector, keys: ConnectorKeys, report: Report) -> None:
    """Report the contradictions of one connector that stands in the file as `keys`."""
    path: Path = ("connectors", connector.name)
    if connector.name == DEFAULT and keys.domains:
        report.problem((*path, "domains"), "default is everyone else: it has no domains", "make a connector for them")
    if connector.relay:
        _relay(connector, report, path)
    if keys.inbound:
        _identity(connector, report, (*path, "inbound"))
        check_authentication(connector, keys.inbound, report, (*path, "inbound"))
        place: Path = (*path, "inbound", "tls", "client_certificate")
        _certificate(connector, keys.inbound.tls, report, place)
        if wanted := connector.inbound.tls.client_certificate:
            check_lists(wanted.revocation, wanted.ca, report, place)
    if keys.outbound:
        _level(connector, keys.outbound, report, (*path, "outbound"))
        _published(connector, keys.outbound, report, (*path, "outbound", "tls"))
        _auth(connector, report, (*path, "outbound", "auth"))
        _secrets(keys.outbound.auth, report, (*path, "outbound", "auth"))
        _details(connector, keys.outbound, report, (*path, "outbound"))
        tls = connector.outbound.tls
        check_lists(tls.revocation, tls.ca, report, (*path, "outbound", "tls"))
        check_smime(connector, keys.outbound, report, (*path, "outbound", "smime"))


def _relay(connector: Connector, report: Report, path: Path) -> None:
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


def _anyone_can_have(connector: Connector) -> bool:
    certificate = connector.inbound.tls.client_certificate
    if certificate is None or certificate.names or certificate.pins:
        return False
    return certificate.ca is not None and certificate.ca.path == SYSTEM


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


def _auth(connector: Connector, report: Report, path: Path) -> None:
    outbound = connector.outbound
    if outbound.auth is None:
        return
    if not outbound.hosts:
        message = "a password or token is for fixed hosts, not for whatever MX records name"
        report.missing(path, message, "write route: {hosts: [...]}")
    if outbound.tls.level < TlsLevel.VERIFIED:
        message = f"at level {outbound.tls.level.word} the password or token could go to anyone"
        report.missing(path, message, "write tls: {level: verified}")


def _secrets(keys: AuthKeys | None, report: Report, path: Path) -> None:
    """Exactly one way of proving who we are."""
    if keys is None:
        return
    if keys.password_file and keys.oauth:
        report.problem((*path, "oauth"), "a password and a token stand beside each other", "remove one of the two")
    elif not keys.password_file and not keys.oauth:
        report.missing(path, "nothing here proves who we are", "write password_file, or oauth")
    oauth = keys.oauth
    if oauth and not oauth.client_secret_file and not oauth.refresh_token_file:
        hint = "write client_secret_file, refresh_token_file, or both"
        report.missing((*path, "oauth"), "nothing here proves to the issuer who we are", hint)


def _details(connector: Connector, keys: OutboundKeys, report: Report, path: Path) -> None:
    if connector.outbound.hosts and "port" in keys.model_fields_set:
        report.warning((*path, "port"), "port is for hosts found by MX", "write it behind the host: host:port")
    if connector.outbound_mode == "audit" and connector.name != DEFAULT:
        message = "in audit mode mail goes by this route with the TLS and S/MIME of default; the difference is recorded"
        report.warning(path, message, "write mode: enforce once the reports look right", key=True)
