"""Which connectors a domain, an address or a certificate may mean: look-ups whose cost does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.domains import Domain
from mta.model.tls import CertificateFacts

REMEMBERED = 16_384  # domains whose claimant is kept: the same few come again and again


class ConnectorIndex:
    """Dictionaries over one configuration, built once for each (re)load and never changed."""

    def __init__(self, configuration: Configuration) -> None:
        connectors = configuration.connectors.values()
        self.configuration = configuration
        self._domains = dict(configuration.domains)
        self._claims = _Claims(connectors)
        self._winner = lru_cache(maxsize=REMEMBERED)(self._claims.winner)
        identifying = [connector for connector in connectors if _identifies(connector)]
        self._networks = _Networks(identifying)
        self._certificates = _Certificates(identifying)
        self.any_dkim_key = any(domain.dkim for domain in configuration.domains.values())
        self.any_authentication = any(
            c.inbound.authentication.checked or c.inbound.header_from == "dkim" for c in connectors
        )
        self.any_client_certificate = any(c.inbound.tls.client_certificate is not None for c in connectors)
        self.any_header_from_claim = any(c.domains and "header_from" in c.inbound.claims for c in connectors)

    def our_domain(self, ascii_domain: str) -> Domain | None:
        """The domain of ours with exactly this name (lower-case A-labels)."""
        return self._domains.get(ascii_domain)

    def claim(self, ascii_domain: str) -> Connector | None:
        """The connector that claims this domain: exact beats `*.x`, of several `*.x` the longest wins."""
        return self._winner(ascii_domain)

    def claim_trace(self, ascii_domain: str) -> list[tuple[str, str]]:
        """Connectors that could be meant but do not claim this domain, each with the reason."""
        return self._claims.losers(ascii_domain)

    def by_network(self, ip: IPv4Address | IPv6Address) -> tuple[Connector, ...]:
        """Connectors that list this address, longest prefix first.

        Only those a session may be identified as without a claim: without `domains`, or with `relay: true`.
        """
        return self._networks.holding(ip)

    def by_certificate(self, leaf: CertificateFacts) -> tuple[Connector, ...]:
        """Connectors whose client certificate this may be: by pin, by name, then those that name only a CA.

        Candidates of the same kind as in `by_network`; whether the certificate holds is the policy's to say.
        """
        return self._certificates.candidates(leaf)


def _identifies(connector: Connector) -> bool:
    """Whether a session can be this connector's by proof alone."""
    own = connector.own_inbound or connector.relay
    return own and connector.inbound.demands_proof and (connector.relay or not connector.domains)


def _parents(domain: str) -> Iterator[str]:
    """`b.c` and `c` of `a.b.c`."""
    dot = domain.find(".")
    while dot >= 0:
        domain = domain[dot + 1 :]
        yield domain
        dot = domain.find(".")


class _Claims:
    """Domains and `*.domain` patterns of the connectors."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        self._exact: dict[str, Connector] = {}
        self._below: dict[str, Connector] = {}  # by the part after `*.`
        for connector in connectors:
            for pattern in connector.domains:
                if pattern.startswith("*."):
                    self._below.setdefault(pattern[2:], connector)
                else:
                    self._exact.setdefault(pattern, connector)

    def winner(self, domain: str) -> Connector | None:
        found = self._exact.get(domain)
        if found or not self._below or domain.startswith("["):
            return found
        return next((self._below[parent] for parent in _parents(domain) if parent in self._below), None)

    def losers(self, domain: str) -> list[tuple[str, str]]:
        if domain.startswith("["):
            return []
        winner = self.winner(domain)
        found: dict[str, str] = {}
        if domain in self._below:
            found[self._below[domain].name] = f"*.{domain} means subdomains of {domain}, not {domain} itself"
        for parent in _parents(domain):
            if parent in self._below:
                stronger = f"{domain} itself" if domain in self._exact else "a longer pattern"
                found.setdefault(self._below[parent].name, f"*.{parent} loses against {stronger}")
            if parent in self._exact:
                reason = f"claims {parent}, not its subdomain {domain}"
                found.setdefault(self._exact[parent].name, reason)
        return [(name, reason) for name, reason in found.items() if winner is None or name != winner.name]


class _Networks:
    """Networks by version and prefix length: one dictionary look-up for each length that occurs."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        tables: dict[int, dict[int, dict[int, tuple[Connector, ...]]]] = {4: {}, 6: {}}
        for connector in connectors:
            for network in connector.inbound.networks:
                table = tables[network.version].setdefault(network.prefixlen, {})
                bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
                table[bits] = (*table.get(bits, ()), connector)
        self._tables = {version: sorted(found.items(), reverse=True) for version, found in tables.items()}

    def holding(self, ip: IPv4Address | IPv6Address) -> tuple[Connector, ...]:
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        address = mapped or ip
        number, length = int(address), address.max_prefixlen
        hits = [table.get(number >> (length - prefix)) for prefix, table in self._tables[address.version]]
        return _once(connector for hit in hits if hit for connector in hit)


class _Certificates:
    """Client certificates by pin and by name."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        self._pins: dict[tuple[str, str], list[Connector]] = {}
        self._names: dict[str, list[Connector]] = {}  # a name, or `*.x`, as it is expected
        self._siblings: dict[str, list[Connector]] = {}  # expected names under x, for a presented `*.x`
        self._ca_only: list[Connector] = []
        for connector in connectors:
            self._add(connector)

    def _add(self, connector: Connector) -> None:
        wanted = connector.inbound.tls.client_certificate
        if wanted is None:
            return
        for pin in wanted.pins:
            self._pins.setdefault((pin.kind, pin.value), []).append(connector)
        for name in wanted.names:
            self._names.setdefault(name, []).append(connector)
            if not name.startswith("*."):
                self._siblings.setdefault(name.partition(".")[2], []).append(connector)
        if wanted.ca and not wanted.names:
            self._ca_only.append(connector)

    def candidates(self, leaf: CertificateFacts) -> tuple[Connector, ...]:
        found: list[Connector] = []
        if self._pins:
            found += self._pins.get(("spki-sha256", leaf.spki_sha256), ())
            found += self._pins.get(("cert-sha256", leaf.sha256), ())
        for presented in leaf.dns_names if self._names else ():
            name = presented.lower().removesuffix(".")
            parent = name.partition(".")[2]
            found += self._names.get(name, ())
            found += self._siblings.get(parent, ()) if name.startswith("*.") else self._names.get(f"*.{parent}", ())
        for address in leaf.ip_addresses if self._names else ():
            found += self._names.get(address, ())
        return _once([*found, *self._ca_only])


def _once(connectors: Iterable[Connector]) -> tuple[Connector, ...]:
    """Each connector once, by name, in the order of first sight."""
    return tuple({connector.name: connector for connector in connectors}.values())
