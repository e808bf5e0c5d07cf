"""What one listener needs to know; app fills it from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from OpenSSL import SSL


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Names and limits of one listener (octets, seconds). `tls` of None: STARTTLS is not offered.

    `connections` counts every connection of the process here, sessions are counted again by whoever decides;
    `connections_per_client` bounds the handshakes of implicit TLS, whose clients nobody can exempt yet.
    """

    hostname: str
    tls: SSL.Context | None = None
    implicit_tls: bool = False
    proxy: tuple[IPv4Network | IPv6Network, ...] = ()
    message_size: int = 52_428_800
    header_size: int = 102_400
    command_length: int = 1000
    line_length: int = 1000
    soft_errors: int = 10
    hard_errors: int = 20
    junk_commands: int = 100
    connections: int = 10_000
    connections_per_client: int = 50
    error_delay: float = 1.0
    command_timeout: float = 300.0
    data_timeout: float = 300.0
    data_rate: int = 500
    tls_timeout: float = 60.0
    proxy_timeout: float = 5.0
    forbid_early_talkers: bool = True
    spool_threshold: int = 262_144
