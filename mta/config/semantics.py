"""What no single key can tell: connectors that contradict each other, themselves or the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from mta.config.problems import Path, Report, did_you_mean
from mta.config.protection import check_portal, check_protection
from mta.config.schema import Settings, witnesses_of
from mta.config.semantics_authentication import check_sealing
from mta.config.semantics_connector import check_connector
from mta.config.semantics_directory import check_directory
from mta.config.semantics_reports import check_reports
from mta.config.semantics_smime import check_tokens
from mta.config.triggers import check_protect
from mta.config.witness import check_witnesses
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.directory import Directory
from mta.contract.domains import Domain
from mta.contract.protection import Protection
from mta.contract.server import Listener, Server
from mta.contract.values import HostPort

_OFTEN = 3600.0  # seconds between two looks at a partner's hosts


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration that was built, not yet believed. `written` maps our domains to their spelling in the file.

    `server` is None if it could not be read; `named` holds every connector of the file, readable or not.
    """

    settings: Settings
    server: Server | None
    domains: Mapping[str, Domain]
    connectors: Mapping[str, Connector]
    written: Mapping[str, str]
    named: frozenset[str]
    directory: Directory
    protection: Protection | None = None


def check(plan: Plan, report: Report) -> None:
    """Report every contradiction of the plan."""
    _claims(plan, report)
    _references(plan, report)
    _reach(plan, report)
    for name, connector in plan.connectors.items():
        if name in plan.settings.connectors:
            check_connector(connector, plan.settings.connectors[name], report)
    labels = plan.settings.protection.labels if plan.settings.protection else None
    if report.intact(("protection",)):
        for connector in plan.connectors.values():
            check_protect(connector, labels, plan.server, report)
    check_directory(plan.directory, plan.settings.directory, plan.server, report)
    if plan.server:
        if report.intact(("server", "listen")):  # else the default would stand for what could not be read
            _listeners(plan.server, report)
            _loops(plan, plan.server, report)
        _tls_without_certificate(plan, plan.server, report)
        if plan.settings.server.reports:
            check_reports(plan.settings.server.reports, plan.server, plan.domains, plan.connectors, report)
        _unsigned(plan, plan.server, report)
        _limits(plan.server, report)
        _probing(plan.server, report)
        check_tokens(plan.domains, plan.written, plan.server, report)
        if report.intact(("server", "arc")):
            check_sealing(plan.server, plan.connectors.values(), report)
        if plan.settings.protection:
            check_protection(plan.settings.protection, plan.server, report)
            named = plan.settings.protection.log.witnesses
            check_witnesses(named, witnesses_of(plan.settings), plan.named, report)
        if plan.server.portal:
            check_portal(plan.server.portal, report)


def _claims(plan: Plan, report: Report) -> None:
    """A domain has one owner: us, or one connector."""
    owners: dict[str, tuple[str, Path]] = {}
    for name, keys in plan.settings.connectors.items():
        for place, pattern in enumerate(keys.domains):
            path: Path = ("connectors", name, "domains", place)
            if pattern in plan.domains:
                line = report.line(("domains", plan.written[pattern]))
                report.problem(path, f"{pattern} is one of our own domains (line {line})", "a domain is ours or theirs")
            owner, first = owners.setdefault(pattern, (name, path))
            if owner != name:
                line = report.marks.at(first)[0]
                hint = "one connector can claim a domain"
                report.problem(path, f"{pattern} is already claimed by {owner} (line {line})", hint)
            elif first != path:
                report.warning(path, f"{pattern} is listed twice", "remove one")


def _references(plan: Plan, report: Report) -> None:
    for name, domain in plan.domains.items():
        if domain.connector not in plan.named and domain.connector != DEFAULT:
            path: Path = ("domains", plan.written[name], "connector")
            hint = did_you_mean(domain.connector, sorted({*plan.named, DEFAULT}))
            report.problem(path, f"there is no connector {domain.connector}", hint)


def _reach(plan: Plan, report: Report) -> None:
    used = {domain.connector for domain in plan.domains.values()} | {DEFAULT}
    if plan.server:
        used.add(plan.server.reports.connector)
    if plan.settings.protection:
        used.update(plan.settings.protection.log.witnesses)
    for name, connector in plan.connectors.items():
        proves = connector.own_inbound and connector.inbound.demands_proof
        if not (connector.domains or proves or name in used):
            hint = "give it domains, networks or a client certificate, or name it in a domain of ours"
            report.missing(("connectors", name), "nothing ever leads to this connector", hint)


def _listeners(server: Server, report: Report) -> None:
    first: dict[HostPort, int] = {}
    for place, listener in enumerate(server.listen):
        path: Path = ("server", "listen", place)
        if first.setdefault(listener.address, place) != place and listener.address.port:
            line = report.marks.at(("server", "listen", first[listener.address]))[0]
            report.problem((*path, "address"), f"{listener.address} is listed twice (first in line {line})")
        if listener.tls == "implicit" and server.certificate is None and report.intact(("server", "certificate")):
            report.problem((*path, "tls"), "implicit TLS needs a certificate", "write server.certificate")
        for number, balancer in enumerate(listener.proxy):
            if balancer.prefixlen == 0:
                message = "everyone may claim any client address here"
                report.warning((*path, "proxy", number), message, "list the balancers only")


def _loops(plan: Plan, server: Server, report: Report) -> None:
    """A next hop that is one of our own listeners would bring each message back."""
    message = "this is our own listening address: mail would go round in a loop"
    hint = "name the host that takes the mail after us"
    for name, domain in plan.domains.items():
        for place in _own(domain.deliver_to, server):
            report.problem(("domains", plan.written[name], "deliver_to", place), message, hint)
    for name, connector in plan.connectors.items():
        if connector.own_outbound:
            for place in _own(connector.outbound.hosts, server):
                report.problem(("connectors", name, "outbound", "route", "hosts", place), message, hint)


def _own(hosts: Iterable[HostPort], server: Server) -> list[int]:
    return [place for place, host in enumerate(hosts) if any(_meets(host, one, server) for one in server.listen)]


def _meets(host: HostPort, listener: Listener, server: Server) -> bool:
    """Whether connecting to `host` surely reaches `listener`."""
    if host.port != listener.address.port:
        return False
    own = ip_address(listener.address.host)
    if host.host == server.hostname:
        return not own.is_loopback
    if host.host == "localhost":
        return own.is_loopback or own.is_unspecified
    try:
        target = ip_address(host.host)
    except ValueError:
        return False  # a name: where it leads is the resolver's to say
    return target == own or (own.is_unspecified and (target.is_loopback or target.is_unspecified))


def _tls_without_certificate(plan: Plan, server: Server, report: Report) -> None:
    if server.certificate or not report.intact(("server", "certificate")):
        return
    demanding = [c.name for c in plan.connectors.values() if c.own_inbound and c.inbound.tls.required]
    if demanding:
        others = f" (and of {len(demanding) - 1} more connectors)" if len(demanding) > 1 else ""
        message = f"without server.certificate no TLS is offered: all mail of {demanding[0]}{others} will be refused"
        report.warning(("connectors", demanding[0], "inbound", "tls"), message, "write server.certificate")


def _unsigned(plan: Plan, server: Server, report: Report) -> None:
    """DANE rests on DNSSEC, which is believed only where the resolver is."""
    if server.trust_ad or not report.intact(("server", "dns")):
        return
    for name, connector in plan.connectors.items():
        if connector.own_outbound and connector.outbound.tls.dane == "mandatory":
            message = "without server.dns.trust_ad no TLSA record counts: all mail would wait"
            hint = "write server: {dns: {nameservers: [...], trust_ad: true}} with a validating resolver"
            report.problem(("connectors", name, "outbound", "tls", "dane"), message, hint)


def _probing(server: Server, report: Report) -> None:
    if server.probing and server.probing.every < _OFTEN:
        message = f"every partner's hosts are dialled every {server.probing.every:g} seconds"
        report.warning(
            ("server", "probe", "every"), message, "once a day is enough; partners may take this for an attack"
        )


def _limits(server: Server, report: Report) -> None:
    limits = server.limits
    for low, high in (("retry_min", "retry_max"), ("soft_errors", "hard_errors")):
        if getattr(limits, low) > getattr(limits, high):
            message = f"{low} ({getattr(limits, low):g}) is more than {high} ({getattr(limits, high):g})"
            report.problem(("server", "limits", low), message)
