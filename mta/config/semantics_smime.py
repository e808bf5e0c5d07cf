"""What the keys of S/MIME say against each other, and against the rest of the file."""

from __future__ import annotations

from collections.abc import Mapping

from mta.config.problems import Path, Report
from mta.config.schema import OutboundKeys
from mta.contract.connectors import Connector
from mta.contract.domains import Domain
from mta.contract.server import Server
from mta.contract.values import TOKEN
from mta.model.tls import TlsLevel


def check_tokens(domains: Mapping[str, Domain], written: Mapping[str, str], server: Server, report: Report) -> None:
    """Report keys in tokens that nobody can reach."""
    if server.pkcs11 is not None or not report.intact(("server", "pkcs11")):
        return
    for name, domain in domains.items():
        path: Path = ("domains", written[name])
        pair = domain.smime.certificate if domain.smime else None
        places = [(*path, "smime", "certificate", "key")] if pair and pair.key.startswith(TOKEN) else []
        places += [(*path, "dkim", n, "key") for n, key in enumerate(domain.dkim) if key.key.startswith(TOKEN)]
        for place in places:
            report.problem(place, "a key in a token, and nothing reaches tokens", "write server.pkcs11")


def check_smime(connector: Connector, keys: OutboundKeys, report: Report, path: Path) -> None:
    """Report what cannot be meant in the `smime` of an `outbound` that stands in the file as `keys`, at `path`."""
    smime = connector.outbound.smime
    written = keys.smime.model_fields_set
    if smime.encrypt != "required" and "without_certificate" in written:
        message = "without_certificate is without effect: nothing must be encrypted"
        report.warning((*path, "without_certificate"), message, "write encrypt: required")
    elif smime.without_certificate == "tls" and connector.outbound.tls.level < TlsLevel.VERIFIED:
        # The promise of encryption is kept by the hop then, so the hop must be known to be the partner's.
        message = f"TLS is enough where it is verified, and the level here is {connector.outbound.tls.level.word}"
        report.problem((*path, "without_certificate"), message, "write outbound.tls.level: verified or pinned")
    if smime.header_protection == "confidential" and smime.encrypt == "never":
        message = "confidential header fields need encryption"
        report.problem((*path, "header_protection"), message, "write encrypt, or header_protection: signed")
    if not smime.protects:
        for key in ("identity", "profile", "algorithms", "format", "header_protection", "already_protected"):
            if key in written:
                message = f"{key} is without effect: nothing is signed or encrypted"
                report.warning((*path, key), message, "write sign or encrypt")
    elif smime.sign == "never":
        for key in ("identity", "format"):
            if key in written:
                report.warning((*path, key), f"{key} is without effect: nothing is signed", "write sign")
