"""All of connectors.yaml: its keys, how they become a plan, and what the objects say against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from mta.config.connectors import (
    ConnectorKeys,
    build_connectors,
    check_claims,
    check_connector,
    check_names,
    check_reach,
)
from mta.config.directory.keys import DirectoryKeys, build_directory, check_directory
from mta.config.directory.static import build_static
from mta.config.dkim import check_sealing
from mta.config.domains import DomainKeys, build_domains, check_references, spellings
from mta.config.inbound import check_offered
from mta.config.listen import check_listeners, check_loops
from mta.config.outbound import check_dane
from mta.config.pkcs11 import check_tokens
from mta.config.problems import Report
from mta.config.protection import ProtectionKeys, build_protection, check_portal, check_protection
from mta.config.reports import check_reports
from mta.config.server import ServerKeys, build_server, check_server
from mta.config.triggers import check_protect, with_labels
from mta.config.witness import WitnessKeys, check_witnesses
from mta.config.words import Keys, optional
from mta.config.workshop import Workshop
from mta.contract.connectors import Connector
from mta.contract.directory import Directory
from mta.contract.domains import Domain
from mta.contract.protection import Protection
from mta.contract.server import Server


class Settings(Keys):
    """All of connectors.yaml."""

    server: ServerKeys = Field(description="This server.")
    domains: dict[str, DomainKeys] = optional("Our own domains: what we take mail for, and where it goes.", {})
    connectors: dict[str, ConnectorKeys] = optional("The partners; `default` is everyone else.", {})
    directory: DirectoryKeys = optional("Where certificates of recipients are looked up.", DirectoryKeys())
    protection: ProtectionKeys | None = optional("Protected mail and files; without it nothing is protected.")


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


def build(settings: Settings, named: frozenset[str], shop: Workshop) -> Plan:
    """The plan that `settings` make; `named` are the connectors of the file, files that cannot be used are problems."""
    report = shop.report
    check_names(settings.connectors, report)
    server = None if ("server",) in report.damaged else build_server(settings.server, shop)
    domains, connectors = build_domains(settings.domains, shop), build_connectors(settings.connectors, shop)
    connectors = with_labels(connectors, settings.protection.labels if settings.protection else {})
    smime = {name: keys.outbound.smime for name, keys in settings.connectors.items() if keys.outbound}
    static = build_static(smime, connectors, shop.files, report)
    return Plan(
        settings=settings,
        server=server,
        domains=domains,
        connectors=connectors,
        directory=build_directory(settings.directory, shop.files, report, static),
        written=spellings(settings.domains),
        named=named,
        protection=_protection(settings, server, shop),
    )


def _protection(settings: Settings, server: Server | None, shop: Workshop) -> Protection | None:
    if settings.protection is None or server is None:
        return None
    return build_protection(settings.protection, shop.files, server.postmaster, _witnesses(settings))


def check(plan: Plan, report: Report) -> None:
    """Report every contradiction of the plan."""
    settings = plan.settings
    check_claims(settings.connectors, plan.domains, plan.written, report)
    check_references(plan.domains, plan.written, plan.named, report)
    check_reach(plan.connectors, _used(plan), report)
    for name, connector in plan.connectors.items():
        if name in settings.connectors:
            check_connector(connector, settings.connectors[name], report)
    if report.intact(("protection",)):
        labels = settings.protection.labels if settings.protection else None
        for connector in plan.connectors.values():
            check_protect(connector, labels, plan.server, report)
    check_directory(plan.directory, settings.directory, plan.server, report)
    if plan.server:
        _check_with_server(plan, plan.server, report)


def _used(plan: Plan) -> set[str]:
    """The connectors that something else of the file leads to."""
    used = {domain.connector for domain in plan.domains.values()}
    if plan.server:
        used.add(plan.server.reports.connector)
    if plan.settings.protection:
        used.update(plan.settings.protection.log.witnesses)
    return used


def _witnesses(settings: Settings) -> dict[str, WitnessKeys | None]:
    return {name: keys.witness for name, keys in settings.connectors.items()}


def _check_with_server(plan: Plan, server: Server, report: Report) -> None:
    settings = plan.settings
    if report.intact(("server", "listen")):  # else the default would stand for what could not be read
        check_listeners(server, report)
        check_loops(server, plan.domains, plan.written, plan.connectors, report)
    check_offered(server, plan.connectors.values(), report)
    if settings.server.reports:
        check_reports(settings.server.reports, server, plan.domains, plan.connectors, report)
    check_dane(server, plan.connectors, report)
    check_server(server, report)
    check_tokens(plan.domains, plan.written, server, report)
    if report.intact(("server", "arc")):
        check_sealing(server, plan.connectors.values(), report)
    if settings.protection:
        check_protection(settings.protection, server, report)
        check_witnesses(settings.protection.log.witnesses, _witnesses(settings), plan.named, report)
    if server.portal:
        check_portal(server.portal, report)
