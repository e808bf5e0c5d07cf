"""The `connectors` object: one partner each, in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from mta.config.inbound import InboundKeys, build_inbound, check_inbound, check_relay
from mta.config.outbound import OutboundKeys, build_outbound, check_outbound
from mta.config.problems import Path, Report
from mta.config.witness import WitnessKeys
from mta.config.words import OBJECT, WORD, DomainPattern, Keys, Switch, Text, optional, word_or_object
from mta.config.workshop import Workshop
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.domains import Domain
from mta.contract.inbound import Inbound
from mta.contract.outbound import Outbound
from mta.model.message import OUR_OWN

_CONNECTOR_NAME = re.compile(r"[\w][\w.+-]{0,99}")


class ModeKeys(Keys):
    """The mode of each direction."""

    inbound: Literal["enforce", "audit"] = optional("Of mail that comes in.", "enforce")
    outbound: Literal["enforce", "audit"] = optional("Of mail that goes out.", "enforce")


ModeChoice = Annotated[
    Annotated[Literal["enforce", "audit"], Tag(WORD)] | Annotated[ModeKeys, Tag(OBJECT)], Discriminator(word_or_object)
]


class ConnectorKeys(Keys):
    """One partner, in both directions."""

    mode: ModeChoice = optional(
        "`audit` reports what would be refused and refuses nothing; or an object with `inbound` and `outbound`.",
        "enforce",
    )
    domains: list[DomainPattern] = optional("The partner's domains; `*.x` means x's subdomains, not x.", [])
    contact: Text = optional("Whom to ask at the partner's: a name, an address, a telephone number.", "")
    reference: Text = optional("Of the agreement, the ticket or the customer.", "")
    note: Text = optional("Whatever the next person should know.", "")
    relay: Switch = optional("Peers proven here may send to anyone.", False)
    probe: Switch = optional("Whether `server.probe` looks at its hosts, too.", True)
    inbound: InboundKeys | None = optional("What mail that comes in must prove; without it `default`'s.")
    outbound: OutboundKeys | None = optional("What mail that goes out is promised; without it `default`'s.")
    witness: WitnessKeys | None = optional("Where its witness is asked to countersign our log (`protection.log`).")


def build_connectors(written: Mapping[str, ConnectorKeys], shop: Workshop) -> dict[str, Connector]:
    """All connectors in file order, `default` among them whether it was written or not."""
    default = _connector(DEFAULT, written.get(DEFAULT, ConnectorKeys()), None, shop)
    found = {
        name: default if name == DEFAULT else _connector(name, keys, default, shop) for name, keys in written.items()
    }
    return found if DEFAULT in found else found | {DEFAULT: default}


def _connector(name: str, keys: ConnectorKeys, default: Connector | None, shop: Workshop) -> Connector:
    path: Path = ("connectors", name)
    connector = Connector(
        name=name,
        mode=keys.mode if isinstance(keys.mode, str) else keys.mode.inbound,
        mode_out=keys.mode if isinstance(keys.mode, str) else keys.mode.outbound,
        domains=tuple(dict.fromkeys(keys.domains)),
        relay=keys.relay,
        inbound=default.inbound if default else Inbound(),
        outbound=default.outbound if default else Outbound(),
        own_inbound=keys.inbound is not None,
        own_outbound=keys.outbound is not None,
        line=shop.report.line(path) if path in shop.report.marks.keys else 0,
        probed=keys.probe,
        contact=keys.contact,
        reference=keys.reference,
        note=keys.note,
    )
    if keys.inbound:
        connector = replace(connector, inbound=build_inbound(name, keys.inbound, default, shop, (*path, "inbound")))
    if keys.outbound:
        connector = replace(connector, outbound=build_outbound(keys.outbound, shop, (*path, "outbound")))
    return connector


def check_names(names: Iterable[str], report: Report) -> None:
    """Report what cannot be the name of a connector."""
    for name in names:
        if not _CONNECTOR_NAME.fullmatch(name):
            hint = "use letters, digits, - _ + and dots, at most 100"
            report.problem(("connectors", name), "this cannot be the name of a connector", hint, key=True)
        elif name in OUR_OWN:
            message = f"{name} is what the mail is called that this relay writes itself"
            report.problem(("connectors", name), message, "choose another name", key=True)


def check_connector(connector: Connector, keys: ConnectorKeys, report: Report) -> None:
    """Report the contradictions of one connector that stands in the file as `keys`."""
    path: Path = ("connectors", connector.name)
    if connector.name == DEFAULT and keys.domains:
        report.problem((*path, "domains"), "default is everyone else: it has no domains", "make a connector for them")
    if connector.relay:
        check_relay(connector, report, path)
    if keys.inbound:
        check_inbound(connector, keys.inbound, report, (*path, "inbound"))
    if keys.outbound:
        check_outbound(connector, keys.outbound, report, (*path, "outbound"))


def check_claims(
    connectors: Mapping[str, ConnectorKeys], domains: Mapping[str, Domain], written: Mapping[str, str], report: Report
) -> None:
    """Report domains with two owners: each is ours, or one connector's. `written` is how ours are spelled."""
    owners: dict[str, tuple[str, Path]] = {}
    for name, keys in connectors.items():
        for place, pattern in enumerate(keys.domains):
            path: Path = ("connectors", name, "domains", place)
            if pattern in domains:
                line = report.line(("domains", written[pattern]))
                report.problem(path, f"{pattern} is one of our own domains (line {line})", "a domain is ours or theirs")
            owner, first = owners.setdefault(pattern, (name, path))
            if owner != name:
                line = report.marks.at(first)[0]
                hint = "one connector can claim a domain"
                report.problem(path, f"{pattern} is already claimed by {owner} (line {line})", hint)
            elif first != path:
                report.warning(path, f"{pattern} is listed twice", "remove one")


def check_reach(connectors: Mapping[str, Connector], used: Set[str], report: Report) -> None:
    """Report connectors that nothing leads to; those in `used` are named elsewhere."""
    for name, connector in connectors.items():
        proves = connector.own_inbound and connector.inbound.demands_proof
        if not (connector.domains or proves or name in used or name == DEFAULT):
            hint = "give it domains, networks or a client certificate, or name it in a domain of ours"
            report.missing(("connectors", name), "nothing ever leads to this connector", hint)
