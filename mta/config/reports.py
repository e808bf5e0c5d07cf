"""`server.reports`: daily reports, those that other domains ask of us and those that they send us."""

from __future__ import annotations

from collections.abc import Mapping

from mta.config.problems import Path, Report, did_you_mean
from mta.config.words import Address, Duration, Keys, Switch, Text, optional
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.domains import Domain
from mta.contract.reports import Reports
from mta.contract.server import Server
from mta.model.address import Mailbox
from mta.rfc.smtp.address import parse_mailbox

_PATH: Path = ("server", "reports")


class ReportsKeys(Keys):
    """What is counted for daily reports, and where they go. Writing the object begins the counting."""

    from_: Address | None = optional("Who reports, and may be asked about them; default: the postmaster.", alias="from")
    organization: Text | None = optional("The name we report under; default: the domain of `from`.")
    dmarc: Switch = optional("Count for DMARC aggregate reports (RFC 9990) what inbound mail was found to be.", True)
    tls: Switch = optional("Count for TLS reports (RFC 8460) what sessions with MX hosts came to.", True)
    send: Switch = optional("Send the reports to the domains that ask for them; else they are kept only.", False)
    connector: Text = optional(
        "Whose `outbound` governs report mail to those whom no partner's connector claims.", "default"
    )
    private_collectors: Switch = optional("Also deliver by HTTPS to private and loopback addresses.", False)
    receive: list[Address] = optional("Addresses of ours at which reports of others arrive: they are kept, too.", [])
    keep: Duration = optional("How long reports are kept, ours and those of others.", 7_776_000.0)


def build_reports(keys: ReportsKeys, hostname: str, postmaster: Mailbox | None) -> Reports:
    """`server.reports`; without `from` the postmaster reports."""
    from_ = keys.from_ or postmaster
    return Reports(
        from_=from_.in_ascii if from_ else f"postmaster@{hostname}",
        organization=keys.organization or (from_.ascii_domain if from_ else hostname),
        dmarc=keys.dmarc,
        tls=keys.tls,
        send=keys.send,
        connector=keys.connector,
        private_collectors=keys.private_collectors,
        receive=frozenset(address.key for address in keys.receive),
        keep=keys.keep,
    )


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
