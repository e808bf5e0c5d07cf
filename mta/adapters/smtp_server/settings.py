"""What one listener needs to know; app fills it from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from OpenSSL import SSL

from mta.rfc.smtp.server_terms import Terms


@dataclass(frozen=True, slots=True)
class ServerSettings(Terms):
    """The terms of one listener, and what lies around them (octets, seconds). `tls` of None: STARTTLS is not offered.

    `connections` counts every connection of the process here, sessions are counted again by whoever decides;
    `connections_per_client` bounds the handshakes of implicit TLS, whose clients nobody can exempt yet.
    """

    tls: SSL.Context | None = None
    implicit_tls: bool = False
    proxy: tuple[IPv4Network | IPv6Network, ...] = ()
    header_size: int = 102_400
    connections: int = 10_000
    connections_per_client: int = 50
    command_timeout: float = 300.0
    data_timeout: float = 300.0
    data_rate: int = 500
    tls_timeout: float = 60.0
    proxy_timeout: float = 5.0
    spool_threshold: int = 262_144
