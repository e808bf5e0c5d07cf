"""`inbound.authentication`: what SPF, DKIM, DMARC and ARC must have found of mail that comes in."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Literal

from mta.config.problems import Path, Report
from mta.config.words import DomainName, Keys, RsaBits, optional
from mta.contract.authentication import Authentication
from mta.contract.connectors import DEFAULT, Connector


class ArcKeys(Keys):
    """Forwarders that are believed about what they received."""

    trusted_sealers: list[DomainName] = optional("Domains whose ARC seal stands in for what a forwarder broke.", [])


class AuthenticationKeys(Keys):
    """What SPF, DKIM, DMARC and ARC must have found of mail that comes in."""

    dkim: Literal["none", "valid", "aligned"] = optional(
        "`valid`: some signature verifies; `aligned`: one of the author's domain does.", "none"
    )
    min_rsa_bits: RsaBits = optional("Signatures of shorter RSA keys do not count for `dkim`.", 1024)
    spf: Literal["none", "pass"] = optional("`pass`: SPF of MAIL FROM must pass.", "none")
    dmarc: Literal["none", "report", "enforce", "pass"] = optional(
        "`report` only tells; `enforce` does what the author's domain asks for; `pass` demands a pass.", "report"
    )
    require: Literal["all", "any"] = optional("Whether all demands must be met, or one is enough.", "all")
    arc: ArcKeys = optional("Forwarders that are believed about what they received.", ArcKeys())
    on_failure: Literal["refuse", "quarantine", "tag"] | None = optional(
        "What becomes of mail that fails; without it `refuse`, in `default` `tag`."
    )
    null_mx: Literal["refuse", "report"] | None = optional(
        "Senders of domains that take no mail (null MX); without it `refuse`, in `default` `report`."
    )


def build_authentication(name: str, keys: AuthenticationKeys) -> Authentication:
    """`inbound.authentication` of the connector `name`."""
    found = Authentication(
        checked=True,
        dkim=keys.dkim,
        min_rsa_bits=keys.min_rsa_bits,
        spf=keys.spf,
        dmarc=keys.dmarc,
        require=keys.require,
        trusted_sealers=tuple(dict.fromkeys(keys.arc.trusted_sealers)),
    )
    usual = "refuse" if found.demands and name != DEFAULT else "tag"
    # RFC 7505 §4.2: such senders should be refused; the whole world is only told of
    null_mx = keys.null_mx or ("report" if name == DEFAULT else "refuse")
    return replace(found, on_failure=keys.on_failure or usual, null_mx=null_mx)


def check_authentication(connector: Connector, keys: AuthenticationKeys | None, report: Report, path: Path) -> None:
    """Report what cannot be meant in the `inbound` at `path`, whose `authentication` stands in the file as `keys`."""
    for place, network in enumerate(connector.inbound.trusted_hops):
        if network.prefixlen == 0:
            message = f"{network} is everyone: any client could choose the address that SPF is judged at"
            report.problem((*path, "trusted_hops", place), message, "list your own gateways")
    _header_from(connector, report, (*path, "header_from"))
    if keys:
        here: Path = (*path, "authentication")
        _idle(connector, keys.model_fields_set, report, here)
        _default(connector, keys.on_failure, report, here)


def _header_from(connector: Connector, report: Report, path: Path) -> None:
    inbound = connector.inbound
    if inbound.header_from != "dkim":
        return
    if not connector.domains:
        message = "without domains no From is judged by this contract"
        report.warning(path, message, "it belongs to a connector with domains")
    elif "header_from" not in inbound.claims:
        report.warning(path, "claims does not name header_from: From is not judged at all", "remove one of the two")


def _idle(connector: Connector, written: Set[str], report: Report, path: Path) -> None:
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
