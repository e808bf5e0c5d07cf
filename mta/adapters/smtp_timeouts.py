"""How long a next hop is waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, one for each wait; the names are the phases of `SmtpClient.phase` (RFC 5321 §4.5.3.2)."""

    connect: float = 30.0
    tls: float = 60.0
    greeting: float = 300.0
    helo: float = 300.0
    command: float = 300.0  # STARTTLS, AUTH, RSET
    mail: float = 300.0
    rcpt: float = 300.0
    data_init: float = 120.0
    data_block: float = 180.0
    data_final: float = 600.0
    quit: float = 5.0
