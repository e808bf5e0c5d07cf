"""What the keys of authentication say against each other."""

from __future__ import annotations

from collections.abc import Iterable

from mta.config.problems import Path, Report
from mta.config.schema import InboundKeys
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.server import Server


def check_authentication(connector: Connector, keys: InboundKeys, report: Report, path: Path) -> None:
    """Report what cannot be meant in the `inbound` that stands in the file as `keys`, at `path`."""
    for place, network in enumerate(connector.inbound.trusted_hops):
        if network.prefixlen == 0:
            message = f"{network} is everyone: any client could choose the address that SPF is judged at"
            report.problem((*path, "trusted_hops", place), message, "list your own gateways")
    _header_from(connector, report, (*path, "header_from"))
    if keys.authentication:
        here: Path = (*path, "authentication")
        _idle(connector, keys.authentication.model_fields_set, report, here)
        _default(connector, keys.authentication.on_failure, report, here)


def check_sealing(server: Server, connectors: Iterable[Connector], report: Report) -> None:
    """Report seals that are wanted and cannot be made, and a key that seals nothing."""
    sealing = [connector for connector in connectors if connector.outbound.arc == "seal" and connector.own_outbound]
    for connector in sealing:
        if server.arc is None:
            path: Path = ("connectors", connector.name, "outbound", "arc")
            report.missing(path, "there is no key to seal with", "write server.arc: {domain, selector, key}")
    if server.arc is not None and not sealing:
        hint = "write arc: seal in the outbound of those who trust your seal"
        report.warning(("server", "arc"), "no connector seals: this is without effect", hint, key=True)


def _header_from(connector: Connector, report: Report, path: Path) -> None:
    inbound = connector.inbound
    if inbound.header_from != "dkim":
        return
    if not connector.domains:
        message = "without domains no From is judged by this contract"
        report.warning(path, message, "it belongs to a connector with domains")
    elif "header_from" not in inbound.claims:
        report.warning(path, "claims does not name header_from: From is not judged at all", "remove one of the two")


def _idle(connector: Connector, written: set[str], report: Report, path: Path) -> None:
    """Keys that have nothing to work on."""
    demands = connector.inbound.authentication
    number = (demands.dkim != "none") + (demands.spf != "none") + (demands.dmarc in ("enforce", "pass"))
    if not number:
        for key in ("on_failure", "arc"):
            if key in written and (key == "arc" or demands.on_failure != "tag"):
                report.warning(
                    (*path, key), f"{key} is without effect: nothing is demanded", "write dkim, spf or dmarc"
                )
    if demands.require == "any" and number < 2:
        report.warning((*path, "require"), "require: any has nothing to choose from", "it needs two demands or more")
    if "min_rsa_bits" in written and demands.dkim == "none":
        message = "min_rsa_bits is without effect: no signature is demanded"
        report.warning((*path, "min_rsa_bits"), message, "write dkim: valid or dkim: aligned")


def _default(connector: Connector, on_failure: str | None, report: Report, path: Path) -> None:
    """What `default` demands, it demands of the whole world."""
    demands = connector.inbound.authentication
    if connector.name != DEFAULT or not demands.demands:
        return
    if on_failure is None:
        message = "in default mail that fails is only tagged"
        report.warning(path, message, "write on_failure: tag, quarantine or refuse", key=True)
    if demands.dmarc == "enforce" and on_failure == "refuse":
        # RFC 9989 §7.4: receivers MUST NOT reject by p=reject alone, other knowledge has to come to it
        message = "mail is refused by p=reject alone, against RFC 9989 §7.4: mail of lists and forwarders gets lost"
        report.warning((*path, "dmarc"), message, "write on_failure: quarantine or tag")
