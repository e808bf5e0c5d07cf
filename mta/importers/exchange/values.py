"""What the cmdlets of Exchange Online write, as values: domains, switches, and words that JSON may hold as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mta.config.values import ValueFault, certificate_name
from mta.contract.connectors import DEFAULT
from mta.importers.draft import Draft
from mta.model.address import ascii_lower

Given = Mapping[str, Any]

TLS_SETTINGS = {"1": "EncryptionOnly", "2": "CertificateValidation", "3": "DomainValidation"}  # as JSON may write them
_CONNECTOR_TYPES = {"1": "OnPremises", "2": "Partner"}
_NOT_HERE = {  # switches that mean something Exchange does and this relay does not
    "CloudServicesMailEnabled": "X-MS-Exchange-Organization fields travel as they are; none is promoted or removed",
    "TreatMessagesAsInternal": "no mail is treated as internal",
    "ScanAndDropRecipients": "nothing is scanned",
    "TrustedOrganizations": "organisations are not known here, only domains, addresses and certificates",
    "ClientHostNames": "names of clients prove nothing and are not looked at",
    "AssociatedAcceptedDomains": "a contract is for all domains of ours",
    "AllAcceptedDomains": "name the domains under `domains`",
    "RouteAllMessagesViaOnPremises": "make the hosts those of `default`",
    "SenderRewritingEnabled": "senders are not rewritten (SRS)",
    "EFUsers": "a contract is for all recipients",
    "EFTestMode": "it is an internal switch",
    "EFSkipMailGateway": "it is an internal switch",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a difference belongs: Exchange's connector `title`, our `connector` (empty: the whole)."""

    draft: Draft
    title: str
    connector: str

    def differs(self, key: str, text: str, *, weaker: bool = False) -> None:
        """What the parameter `key` means otherwise here."""
        self.draft.differs(f"{self.title}, {key}" if key else self.title, text, self.connector, weaker=weaker)

    def others(self, given: Given) -> None:
        """The switches without a counterpart, where they are set."""
        for key, text in _NOT_HERE.items():
            if given.get(key) not in (None, False, "", [], {}, 0, "None"):
                self.differs(key, text)


def domains_of(value: object, draft: Draft, title: str) -> tuple[str, ...]:
    """`*.x` is x and its subdomains for Exchange; `*` is everyone: no domains, the default."""
    found: list[str] = []
    for text in texts(value):
        domain = re.sub(r"^smtp:|;\d+$", "", text, flags=re.IGNORECASE | re.ASCII)
        domain = ascii_lower(domain)
        if domain in ("*", "*.*", "--"):
            return ()
        found += [domain.removeprefix("*."), domain] if domain.startswith("*.") else [domain]
    if not found:
        draft.differs(title, "names no domains: it is taken for everyone's", DEFAULT)
    return tuple(dict.fromkeys(found))


def connector_type(given: Given, draft: Draft, title: str) -> str:
    """`Partner` or `OnPremises`."""
    written = text_of(given.get("ConnectorType")) or "Partner"
    return numbered(written, _CONNECTOR_TYPES, "ConnectorType", Place(draft, title, ""))


def numbered(written: str, meanings: Mapping[str, str], key: str, place: Place) -> str:
    """ConvertTo-Json writes some words as numbers."""
    if written in meanings:
        place.differs(key, f"the number {written} is read as {meanings[written]}: compare with Get-...Connector")
        return meanings[written]
    return written


def is_on(given: Given, key: str) -> bool:
    """Whether a switch is set."""
    return given.get(key) is True or str(given.get(key)).lower() == "true"


def certificate_names(given: Given, place: Place) -> list[str]:
    """The names of TlsSenderCertificateName: a name, or an X.500 form as the hybrid wizard writes it.

    `<I>CN=issuer, ...<S>CN=mail.x, ...` names the issuer, too, which here is a `ca`.
    """
    key = "TlsSenderCertificateName"
    written = text_of(given.get(key))
    if "=" not in written:
        return names_of(written, key, place)
    subject = re.split(r"<S>", written, flags=re.IGNORECASE)[-1]
    found = re.search(r"(?:^|[,;>/+]|\s)\s*CN\s*=\s*\"?([^,;\"/+<]+)", subject, flags=re.IGNORECASE)
    names = names_of(found[1].strip(), key, place) if found else []
    if names and "<i>" in written.lower():
        text = f"only of one issuer ({written}); here any CA of this system may be it: write its certificate as `ca`"
        place.differs(key, text, weaker=True)
    return names


def names_of(written: str, key: str, place: Place) -> list[str]:
    """The names of a certificate; `*.x` is x and everything under it for Exchange."""
    names: list[str] = []
    for name in [written, written.removeprefix("*.")] if written.startswith("*.") else [written]:
        try:
            names.append(str(certificate_name(name)))
        except ValueFault as fault:
            place.differs(key, f"{name or 'nothing'} is no name here: {fault}")
    if written.startswith("*."):
        place.differs(key, f"{written} means any depth below; here it is one label")
    return names


def texts(value: object) -> list[str]:
    """A list of texts, or one alone."""
    if value is None or value == "":
        return []
    values = value if isinstance(value, list) else [value]
    return [text for text in map(text_of, values) if text]


def text_of(value: object) -> str:
    """A value as text; of an object the part that names it."""
    if isinstance(value, dict):
        for key in ("Address", "Domain", "value", "Value", "Name"):
            if value.get(key):
                return text_of(value[key])
        return ""
    return "" if value is None else str(value).strip()
