"""`server.listen`: where connections are taken, and mail that would come back to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Literal

from pydantic import Field

from mta.config.problems import Path, Report
from mta.config.words import Keys, ListenAddress, NetworkText, optional
from mta.contract.connectors import Connector
from mta.contract.domains import Domain
from mta.contract.server import Listener, Server
from mta.contract.values import HostPort

DEFAULT_LISTEN = "127.0.0.1:2525"


class ListenKeys(Keys):
    """One listening address."""

    address: ListenAddress = Field(description='IP address and port, like "127.0.0.1:25" or "[::]:25".')
    tls: Literal["starttls", "implicit"] = optional(
        "`starttls` offers TLS when there is a certificate; `implicit` begins with it.", "starttls"
    )
    proxy: list[NetworkText] = optional("Balancers whose PROXY v2 header is believed, and demanded.", [])


def build_listeners(keys: Iterable[ListenKeys]) -> tuple[Listener, ...]:
    """`server.listen`."""
    return tuple(Listener(one.address, one.tls, tuple(one.proxy)) for one in keys)


def check_listeners(server: Server, report: Report) -> None:
    """Report addresses listed twice, TLS without a certificate, and balancers that are everyone."""
    first: dict[HostPort, int] = {}
    for place, listener in enumerate(server.listen):
        path: Path = ("server", "listen", place)
        if first.setdefault(listener.address, place) != place and listener.address.port:
            line = report.marks.at(("server", "listen", first[listener.address]))[0]
            report.problem((*path, "address"), f"{listener.address} is listed twice (first in line {line})")
        if listener.tls == "implicit" and server.certificate is None and report.intact(("server", "certificate")):
            report.problem((*path, "tls"), "implicit TLS needs a certificate", "write server.certificate")
        for number, balancer in enumerate(listener.proxy):
            if balancer.prefixlen == 0:
                message = "everyone may claim any client address here"
                report.warning((*path, "proxy", number), message, "list the balancers only")


def check_loops(
    server: Server,
    domains: Mapping[str, Domain],
    written: Mapping[str, str],
    connectors: Mapping[str, Connector],
    report: Report,
) -> None:
    """Report a next hop that is one of our own listeners: it would bring each message back."""
    message = "this is our own listening address: mail would go round in a loop"
    hint = "name the host that takes the mail after us"
    for name, domain in domains.items():
        for place in _own(domain.deliver_to, server):
            report.problem(("domains", written[name], "deliver_to", place), message, hint)
    for name, connector in connectors.items():
        if connector.own_outbound:
            for place in _own(connector.outbound.hosts, server):
                report.problem(("connectors", name, "outbound", "route", "hosts", place), message, hint)


def _own(hosts: Iterable[HostPort], server: Server) -> list[int]:
    return [place for place, host in enumerate(hosts) if any(_meets(host, one, server) for one in server.listen)]


def _meets(host: HostPort, listener: Listener, server: Server) -> bool:
    """Whether connecting to `host` surely reaches `listener`."""
    if host.port != listener.address.port:
        return False
    own = ip_address(listener.address.host)
    if host.host == server.hostname:
        return not own.is_loopback
    if host.host == "localhost":
        return own.is_loopback or own.is_unspecified
    try:
        target = ip_address(host.host)
    except ValueError:
        return False  # a name: where it leads is the resolver's to say
    return target == own or (own.is_unspecified and (target.is_loopback or target.is_unspecified))
