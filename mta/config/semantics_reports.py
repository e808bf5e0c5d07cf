"""Contradictions of `server.reports`."""

from __future__ import annotations

from collections.abc import Mapping

from mta.config.problems import Path, Report, did_you_mean
from mta.config.schema_reports import ReportsKeys
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.domains import Domain
from mta.contract.server import Server
from mta.rfc.smtp.address import parse_mailbox

_PATH: Path = ("server", "reports")


def check_reports(
    keys: ReportsKeys,
    server: Server,
    domains: Mapping[str, Domain],
    connectors: Mapping[str, Connector],
    report: Report,
) -> None:
    """Report what cannot work."""
    if keys.connector != DEFAULT and keys.connector not in connectors:
        hint = did_you_mean(keys.connector, sorted(connectors))
        report.problem((*_PATH, "connector"), f"there is no connector {keys.connector}", hint)
    for place, address in enumerate(keys.receive):
        if address.ascii_domain not in domains:
            message = f"{address} is in none of our domains: its mail does not come here"
            report.problem((*_PATH, "receive", place), message, "`domains` lists ours")
    if not server.reports.from_.isascii():
        report.problem((*_PATH, "from"), "reports are sent from an ASCII address", "not every receiver takes others")
    if keys.send:
        _signed(server, domains, report)
    if keys.dmarc and not any(connector.inbound.authentication.checked for connector in connectors.values()):
        message = "no connector has `authentication`: there is nothing to report about DMARC"
        report.warning((*_PATH, "dmarc") if "dmarc" in keys.model_fields_set else _PATH, message)


def _signed(server: Server, domains: Mapping[str, Domain], report: Report) -> None:
    """RFC 8460 §3 and RFC 9990 §3.5.2: reports that are not signed by the domain that sends them are thrown away."""
    ours = domains.get(parse_mailbox(server.reports.from_).ascii_domain)
    if ours is None or not any(key.service == "email" for key in ours.dkim):
        message = f"{server.reports.from_} cannot send reports: they must be DKIM-signed"
        report.problem((*_PATH, "send"), message, "let `from` be in a domain of ours that has `dkim` keys")
