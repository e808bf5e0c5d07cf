"""From Exchange Online's connectors to contracts: the JSON of Get-InboundConnector and Get-OutboundConnector.

Two connectors of one partner become the two directions of one contract. What Exchange means otherwise, or keeps
somewhere else, is told at the contract it concerns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mta.config.values import ValueFault, host_port, network
from mta.contract.connectors import DEFAULT
from mta.importers.draft import Draft
from mta.importers.exchange.values import (
    TLS_SETTINGS,
    Given,
    Place,
    certificate_names,
    connector_type,
    domains_of,
    is_on,
    names_of,
    numbered,
    text_of,
    texts,
)

_NOBODY_NAME = "nobody.invalid"  # RFC 2606 §2: what nobody can show, and where nothing goes
_NOBODY_NETWORK = "192.0.2.0/32"  # RFC 5737: nobody comes from there
_INBOUND_SIGNS = ("SenderDomains", "RequireTls", "SenderIPAddresses", "TlsSenderCertificateName")
_LEVELS = {
    "": "opportunistic",
    "None": "opportunistic",
    "EncryptionOnly": "encrypted",
    "CertificateValidation": "verified",
    "DomainValidation": "verified",
}
_OUTBOUND_SIGNS = ("RecipientDomains", "UseMXRecord", "SmartHosts", "TlsSettings")


def import_exchange(documents: Iterable[Any]) -> Draft:
    """The contracts of these JSON documents: arrays or objects, of one cmdlet or of both."""
    draft = Draft()
    draft.differs("", "Exchange does not say how this server is called: write hostname, listen, certificate, domains")
    partners: dict[tuple[str, ...], str] = {}  # the name of the contract, by the domains Exchange writes
    connectors = [one for document in documents for one in _objects(document)]
    # RestrictDomains... connectors beat others (use-connectors-to-configure-mail-flow), so they claim first
    for given in sorted(connectors, key=lambda one: not _restricts(one)):
        _take(given, draft, partners)
    return draft


def _objects(document: Any) -> list[Given]:
    if isinstance(document, list):
        return [found for one in document for found in _objects(one)]
    if not isinstance(document, dict):
        return []
    if any(sign in document for sign in (*_INBOUND_SIGNS, *_OUTBOUND_SIGNS)):
        return [document]
    return [found for value in document.values() for found in _objects(value)]


def _restricts(given: Given) -> bool:
    return is_on(given, "RestrictDomainsToCertificate") or is_on(given, "RestrictDomainsToIPAddresses")


def _take(given: Given, draft: Draft, partners: dict[tuple[str, ...], str]) -> None:
    outbound = any(sign in given for sign in _OUTBOUND_SIGNS)
    title = str(given.get("Name") or given.get("Identity") or ("outbound" if outbound else "inbound"))
    if given.get("Enabled") is False:
        draft.differs(title, "is not enabled: not carried over")
        return
    if outbound and (is_on(given, "IsTransportRuleScoped") or is_on(given, "TestMode")):
        why = "is used by mail-flow rules only" if is_on(given, "IsTransportRuleScoped") else "is in test mode"
        draft.differs(title, f"{why}: not carried over", weaker=is_on(given, "IsTransportRuleScoped"))
        return
    if not outbound and connector_type(given, draft, title) == "OnPremises":
        _on_premises(given, title, draft)
        return
    domains = domains_of(given.get("RecipientDomains" if outbound else "SenderDomains"), draft, title)
    name = _contract(title, domains, draft, partners)
    if not name:
        return
    place, keys = Place(draft, title, name), draft.connectors[name]
    if outbound and "outbound" in keys:
        text, less = f"{name} has an outbound already: not carried over", _less(keys["outbound"], given)
        place.differs("RecipientDomains", f"{text}, though it demands more" if less else text, weaker=less)
    elif outbound:
        keys["outbound"] = _outbound(given, place)
    elif "inbound" in keys:
        _merge(keys["inbound"], _inbound(given, place, bool(domains)), place)
    else:
        keys["inbound"] = _inbound(given, place, bool(domains))
    place.others(given)


def _contract(title: str, domains: tuple[str, ...], draft: Draft, partners: dict[tuple[str, ...], str]) -> str:
    """The contract of these domains: the one there is, or a new one with what nobody else claims; empty: nothing."""
    if domains in partners:
        return partners[domains]
    name = draft.name(title) if domains else DEFAULT
    free = draft.claim(name, domains, title)
    if domains and not free:
        return ""
    partners[domains] = name
    draft.connectors[name] = {"domains": free} if domains else {}
    return name


def _merge(old: dict[str, Any], new: dict[str, Any], place: Place) -> None:
    """Two connectors of one partner, by certificate and by address, as Exchange advises: either proves it."""
    certified = [isinstance(inbound["tls"], dict) for inbound in (old, new)]
    if certified[0] != certified[1] and ("networks" in old) != ("networks" in new):
        old |= {key: value for key, value in new.items() if key == "networks" or (key == "tls" and certified[1])}
        old["combine"] = "any"
        place.differs("", "two connectors: the certificate or the address is enough, and TLS is demanded of both")
    else:
        less = (old["tls"] == "optional" and new["tls"] != "optional") or ("identity" in old and "identity" not in new)
        place.differs("SenderDomains", f"{place.connector} has an inbound already: not carried over", weaker=less)


# --- inbound -----------------------------------------------------------------------------------------------------


def _inbound(given: Given, place: Place, has_domains: bool) -> dict[str, Any]:
    inbound: dict[str, Any] = {}
    certificate, networks = None, _networks(given, place)
    if is_on(given, "RestrictDomainsToCertificate"):
        certificate = _certificate(given, place)
    elif given.get("TlsSenderCertificateName"):
        text = "without RestrictDomainsToCertificate nobody else is kept out by it: not carried over"
        place.differs("TlsSenderCertificateName", text)
    required = is_on(given, "RequireTls") or certificate is not None
    if required:
        inbound["tls"] = {"client_certificate": certificate} if certificate else "required"
        place.differs("RequireTls", "TLS 1.2 at the least is demanded here")
    else:
        inbound["tls"] = "optional"
    if is_on(given, "RestrictDomainsToIPAddresses") and not networks:
        place.differs("RestrictDomainsToIPAddresses", "no address could be read: none is let in until they are written")
        networks = [_NOBODY_NETWORK]
    if is_on(given, "RestrictDomainsToIPAddresses"):
        inbound["networks"] = networks
        if certificate:
            place.differs("RestrictDomainsToIPAddresses", "here the certificate and the address must both hold")
    elif networks:
        place.differs(
            "SenderIPAddresses", "without RestrictDomainsToIPAddresses they keep nobody out: not carried over"
        )
    if has_domains and "networks" not in inbound and certificate is None:
        inbound["identity"] = "none"
    if has_domains:
        place.differs("SenderDomains", "Exchange matches MAIL FROM; here the header From claims these domains, too")
    hops = _trusted_hops(given, networks, place)
    return inbound | ({"trusted_hops": hops} if hops else {})


def _certificate(given: Given, place: Place) -> dict[str, Any]:
    names = certificate_names(given, place)
    if not names:
        text = "no name could be read: no certificate is let in until it is written in the place of nobody.invalid"
        place.differs("TlsSenderCertificateName", text)
        return {"names": [_NOBODY_NAME]}
    place.differs("TlsSenderCertificateName", "Exchange compares the Subject; here the names of the certificate (SAN)")
    place.differs(
        "TlsSenderCertificateName", "the issuer is any CA of this system: write `ca` where it is a private one"
    )
    return {"names": names}


def _networks(given: Given, place: Place) -> list[str]:
    found: list[str] = []
    for text in texts(given.get("SenderIPAddresses")):
        try:
            found.append(str(network(text)))
        except ValueFault as fault:
            place.differs("SenderIPAddresses", f"{text} is no network here: {fault}")
    return found


def _trusted_hops(given: Given, networks: list[str], place: Place) -> list[str]:
    """Enhanced filtering: whose Received fields are believed about where the mail came from."""
    hops: list[str] = []
    for text in texts(given.get("EFSkipIPs")):
        try:
            hops.append(str(network(text)))
        except ValueFault as fault:
            place.differs("EFSkipIPs", f"{text} is no network here: {fault}")
    if is_on(given, "EFSkipLastIP"):
        if networks:
            hops += networks
        else:
            place.differs("EFSkipLastIP", "the last hop's addresses are not written: name them in `trusted_hops`")
    if hops:
        place.differs("EFSkipIPs", "private addresses are skipped by Exchange by itself; here all are to be named")
    return list(dict.fromkeys(hops))


def _on_premises(given: Given, title: str, draft: Draft) -> None:
    """Our own servers: they may send to anyone, and to be them is to be proved."""
    name = draft.name(title)
    place = Place(draft, title, name)
    networks, written = _networks(given, place), text_of(given.get("TlsSenderCertificateName"))
    certificate = _certificate(given, place) if written else None
    if not networks and certificate is None:
        place = Place(draft, title, "")
        place.differs("ConnectorType", "neither addresses nor a certificate prove our own servers: not carried over")
        return
    inbound: dict[str, Any] = {}
    if certificate:
        inbound["tls"] = {"client_certificate": certificate}
    if networks:
        inbound["networks"] = networks
    if certificate:
        place.differs(
            "TlsSenderCertificateName", "TLS is demanded here, also of hosts that prove themselves by address"
        )
    if certificate and networks:
        inbound["combine"] = "any"
        place.differs("SenderIPAddresses", "Exchange looks at the certificate first; here either of the two is enough")
    place.differs(
        "ConnectorType", "Exchange also wants an accepted domain as sender or recipient; here proof is enough"
    )
    draft.connectors[name] = {"relay": True, "inbound": inbound}
    place.others(given)


# --- outbound ----------------------------------------------------------------------------------------------------


def _outbound(given: Given, place: Place) -> dict[str, Any]:
    outbound: dict[str, Any] = {}
    hosts = _smart_hosts(given, place)
    if given.get("UseMXRecord") is False or (hosts and not is_on(given, "UseMXRecord")):
        if hosts:
            outbound["route"] = {"hosts": hosts}
        else:
            outbound["route"] = {"hosts": [f"{_NOBODY_NAME}:25"]}
            place.differs("SmartHosts", "no host could be read: mail waits until one is written for nobody.invalid")
    elif hosts:
        place.differs("SmartHosts", "UseMXRecord is set, so they are not used")
    outbound["tls"] = _tls(given, place)
    if connector_type(given, place.draft, place.title) == "OnPremises":
        place.differs("ConnectorType", "for Exchange these are our own servers; here it is a contract like others")
    return outbound


def _tls(given: Given, place: Place) -> dict[str, Any]:
    setting = text_of(given.get("TlsSettings"))
    setting = numbered(setting, TLS_SETTINGS, "TlsSettings", place)
    tls = {"level": _LEVELS.get(setting, "encrypted")}
    if setting not in _LEVELS:
        place.differs("TlsSettings", f"{setting} is not known: encrypted is written", weaker=True)
    if tls["level"] != "verified":
        return tls | _published(given, place)
    text = "Exchange looks up revocation lists; here certificates are revoked by `crl` files and OCSP staples alone"
    place.differs("TlsSettings", text, weaker=True)
    if setting == "DomainValidation":
        return tls | _named(given, place) | _published(given, place)
    place.differs(
        "TlsSettings", "CertificateValidation takes any name; here the certificate must name the host or domain"
    )
    return tls | _published(given, place)


def _named(given: Given, place: Place) -> dict[str, Any]:
    """Whom TlsDomain names."""
    written = text_of(given.get("TlsDomain"))
    names = names_of(written, "TlsDomain", place)
    if not names:
        place.differs("TlsDomain", "no name could be read: the host or the recipient's domain is expected", weaker=True)
    return {"names": names} if names else {}


def _less(outbound: dict[str, Any], given: Given) -> bool:
    """Whether a contract demands less of TLS than this connector that it stands for, too."""
    order = list(dict.fromkeys(_LEVELS.values()))
    level = _LEVELS.get(
        TLS_SETTINGS.get(text_of(given.get("TlsSettings")), text_of(given.get("TlsSettings"))), "verified"
    )
    return order.index(outbound["tls"]["level"]) < order.index(level)


def _published(given: Given, place: Place) -> dict[str, Any]:
    """DANE and MTA-STS. Exchange's defaults are ours."""
    found: dict[str, Any] = {}
    for key, ours in (("SmtpDaneMode", "dane"), ("MtaStsMode", "mta_sts")):
        mode = text_of(given.get(key)).lower()
        if mode in ("none", "mandatory"):
            found[ours] = "off" if mode == "none" else "mandatory"
        elif mode not in ("", "opportunistic"):
            place.differs(key, f"{mode} is not known: opportunistic is meant", weaker=True)
    if found.get("dane") == "mandatory":
        place.draft.server["dns"] = {"nameservers": ["127.0.0.1:53"], "trust_ad": True}
        place.differs("SmtpDaneMode", "DANE needs a validating resolver: is it at 127.0.0.1?")
    return found


def _smart_hosts(given: Given, place: Place) -> list[str]:
    found: list[str] = []
    for text in texts(given.get("SmartHosts")):
        bare = text.strip("[]") if text.count(":") < 2 else text
        try:
            found.append(str(host_port(bare, 25)))
        except ValueFault as fault:
            place.differs("SmartHosts", f"{text} is no host here: {fault}")
    return found
