"""Where everything of the demo is: folders, ports, the two configurations."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path

from mta.app.commands import acting_for
from mta.app.demo import make_demo_pki, make_demo_root_key
from mta.app.load import load
from mta.contract.configuration import Configuration
from mta.contract.values import HostPort, KeyPair
from mta.errors import UsageError

OURS, PARTNER = "contoso.example", "fabrikam.example"
_PORT = re.compile(r"127\.0\.0\.1:(\d+)")
# of the two templates
_RELAY, _IMPLICIT, _MAILBOX, _PARTNER_RELAY, _PARTNER_MAILBOX, _PORTAL = 2525, 4650, 2625, 3525, 3625, 8443


@dataclass(frozen=True, slots=True)
class Company:
    """One of the two: its relay's configuration and address, and its mailbox host."""

    name: str
    domain: str
    config: Path
    relay: HostPort
    mailbox: HostPort
    mailbox_pair: KeyPair
    mailbox_folder: Path

    @property
    def mailbox_host(self) -> str:
        """The name in the mailbox host's certificate."""
        return f"mailbox.{self.domain}"


@dataclass(frozen=True, slots=True)
class World:
    """The demo's stage. `ports` tells where the ports of the templates have gone."""

    folder: Path
    certs: Path
    pki_made: bool
    contoso: Company
    fabrikam: Company
    ports: dict[int, int]

    @property
    def companies(self) -> tuple[Company, Company]:
        """Both."""
        return (self.contoso, self.fabrikam)


def template(name: str) -> str:
    """`contoso` or `fabrikam`: the configuration as it is written down, with its fixed ports."""
    return files("mta.cli.demo").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def with_ports(text: str, ports: dict[int, int]) -> str:
    """`text` with the ports behind 127.0.0.1 exchanged."""
    return _PORT.sub(lambda found: f"127.0.0.1:{ports.get(int(found[1]), int(found[1]))}", text)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at this moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def scratch(folder: Path) -> Path:
    """Contoso's configuration in a temporary folder, on ports nobody uses; its path."""
    wanted = (_RELAY, _IMPLICIT, _MAILBOX, _PARTNER_RELAY, _PORTAL)
    ports = dict(zip(wanted, free_ports(len(wanted)), strict=True))
    config = folder / "connectors.yaml"
    config.write_text(with_ports(template("contoso"), ports), encoding="utf-8")
    return config


def prepare(config: Path) -> World:
    """The stage for the company of `config`: its PKI in `certs` beside it, its partner below `var`.

    Raises ConfigurationError, or UsageError where this configuration has no Contoso with a partner on loopback.
    """
    if not config.is_file():
        raise UsageError(f"{config}: there is no such file; `mta demo` without --config needs none")
    folder = config.resolve().parent
    certs, var = folder / "certs", folder / "var"
    made = make_demo_pki(str(certs))
    known = load(str(config))
    make_demo_root_key(known)
    listener = next((one for one in known.server.listen if one.tls == "starttls" and not one.proxy), None)
    if listener is None:
        raise UsageError(f"{config}: the demo needs a listener with STARTTLS")
    relay = HostPort("127.0.0.1", listener.address.port)
    partner_relay, mailbox = _partner_relay(known), _own_mailbox(known)
    fixed = partner_relay.port == _PARTNER_RELAY
    partner_mailbox = HostPort("127.0.0.1", _PARTNER_MAILBOX if fixed else free_ports(1)[0])
    ports = {
        _RELAY: relay.port,
        _MAILBOX: mailbox.port,
        _PARTNER_RELAY: partner_relay.port,
        _PARTNER_MAILBOX: partner_mailbox.port,
        **({_PORTAL: known.server.portal.port} if known.server.portal else {}),
    }
    partner_config = _write_partner(var / "fabrikam", ports)
    return World(
        folder,
        certs,
        made,
        _company("Contoso", OURS, config.resolve(), (relay, mailbox), folder),
        _company("Fabrikam", PARTNER, partner_config, (partner_relay, partner_mailbox), folder),
        ports,
    )


def _company(name: str, domain: str, config: Path, places: tuple[HostPort, HostPort], folder: Path) -> Company:
    stem = folder / "certs" / f"mailbox.{domain}"
    pair = KeyPair(f"{stem}.pem", f"{stem}.key")
    return Company(name, domain, config, places[0], places[1], pair, folder / "var" / "mailboxes" / domain)


def _write_partner(folder: Path, ports: dict[int, int]) -> Path:
    config = folder / "connectors.yaml"
    with acting_for(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.write_text(with_ports(template("fabrikam"), ports), encoding="utf-8")
    return config


def _own_mailbox(known: Configuration) -> HostPort:
    domain = known.domains.get(OURS)
    hosts = [host for host in domain.deliver_to if _is_loopback(host)] if domain else []
    if not hosts:
        raise UsageError(_no_demo(known, f"domains: {OURS} with deliver_to a port of 127.0.0.1"))
    return hosts[0]


def _partner_relay(known: Configuration) -> HostPort:
    for connector in known.connectors.values():
        hosts = [host for host in connector.outbound.hosts if _is_loopback(host)]
        if PARTNER in connector.domains and hosts:
            return hosts[0]
    raise UsageError(_no_demo(known, f"a connector for {PARTNER} whose outbound route is a port of 127.0.0.1"))


def _no_demo(known: Configuration, missing: str) -> str:
    path = os.path.relpath(known.path)
    return f"{path}: the demo plays Contoso and Fabrikam and expects {missing}; `mta serve` runs any configuration"


def _is_loopback(host: HostPort) -> bool:
    try:
        return ip_address(host.host).is_loopback
    except ValueError:
        return False
