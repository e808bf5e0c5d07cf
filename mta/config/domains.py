"""The `domains` object: what we take mail for, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Set

from pydantic import Field

from mta.config.dkim import DkimKeyKeys, build_keys
from mta.config.problems import Path, Report, did_you_mean
from mta.config.smime import OwnSmimeKeys, build_own
from mta.config.values import ValueFault, domain_name
from mta.config.words import Keys, NextHop, Switch, Text, optional
from mta.config.workshop import Workshop
from mta.contract.connectors import DEFAULT
from mta.contract.domains import ANY_RECIPIENT, VERIFY_RECIPIENT, Domain
from mta.model.address import Mailbox


class DomainKeys(Keys):
    """One of our own domains."""

    deliver_to: list[NextHop] = Field(description="Hosts that take its mail, in order of preference.", min_length=1)
    connector: Text = optional("The connector whose `outbound` governs `deliver_to`.", "default")
    recipients: Text = optional("`any`, `verify` (ask the next hop), or a file with one address a line.", "any")
    allow_own_sender: Switch = optional("Let strangers use senders of this domain.", False)
    dkim: list[DkimKeyKeys] = optional("Keys that sign mail of this domain.", [])
    smime: OwnSmimeKeys | None = optional("Our certificates for S/MIME, with their private keys.")


def build_domains(settings: Mapping[str, DomainKeys], shop: Workshop) -> dict[str, Domain]:
    """Our own domains by normalised name; two spellings of one domain are a problem."""
    names: dict[str, str] = {}
    for written in settings:
        path: Path = ("domains", written)
        try:
            name = domain_name(written)
        except ValueFault as fault:
            shop.report.problem(path, str(fault), fault.hint, key=True)
            continue
        if name in names:
            line = shop.report.line(("domains", names[name]))
            shop.report.problem(path, f"{name} is given twice", f"first in line {line}", key=True)
            continue
        names[name] = written
    return {name: _domain(name, settings[names[name]], frozenset(names), shop, names[name]) for name in names}


def _domain(name: str, keys: DomainKeys, ours: frozenset[str], shop: Workshop, written: str) -> Domain:
    return Domain(
        name=name,
        deliver_to=tuple(keys.deliver_to),
        connector=keys.connector,
        recipients=_recipients(name, keys, ours, shop, ("domains", written, "recipients")),
        allow_own_sender=keys.allow_own_sender,
        dkim=build_keys(name, keys.dkim, shop.files, (shop.report, ("domains", written, "dkim"))),
        smime=build_own(keys.smime, shop.files, (shop.report, ("domains", written, "smime"))) if keys.smime else None,
    )


def _recipients(name: str, keys: DomainKeys, ours: frozenset[str], shop: Workshop, path: Path) -> str | frozenset[str]:
    file = keys.recipients
    if file in (ANY_RECIPIENT, VERIFY_RECIPIENT):
        return file
    before = len(shop.report.problems)
    lines = shop.files.addresses(file, path)
    found: set[str] = set()
    for number, entry in lines:
        if isinstance(entry, Mailbox) and entry.ascii_domain not in ours:
            entry = ValueFault(f"{entry} is in none of our domains", "`domains` lists ours")
        if isinstance(entry, ValueFault):
            shop.files.list_problem(file, number, f"domains.{name}.recipients", entry)
        elif isinstance(entry, Mailbox) and entry.ascii_domain == name:
            found.add(entry.key)
    if not found and len(shop.report.problems) == before:
        shop.report.warning(path, f"{file} lists no address of {name}", "all mail for this domain will be refused")
    return frozenset(found)


def spellings(settings: Mapping[str, DomainKeys]) -> dict[str, str]:
    """How each of our domains is written in the file, by its normalised name."""
    found: dict[str, str] = {}
    for written in settings:
        try:
            found.setdefault(domain_name(written), written)
        except ValueFault:
            continue  # build_domains reported it
    return found


def check_references(
    domains: Mapping[str, Domain], written: Mapping[str, str], named: Set[str], report: Report
) -> None:
    """Report domains whose connector is not among those `named` in the file."""
    for name, domain in domains.items():
        if domain.connector not in named and domain.connector != DEFAULT:
            path: Path = ("domains", written[name], "connector")
            hint = did_you_mean(domain.connector, sorted({*named, DEFAULT}))
            report.problem(path, f"there is no connector {domain.connector}", hint)
