"""The limits of a server. Durations are seconds, sizes octets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit of one server (docs/connectors.md explains each). Inbound first, then queue, then outbound."""

    message_size: int = 52_428_800
    recipients: int = 1000
    command_length: int = 1000  # octets with CRLF
    line_length: int = 1000  # octets with CRLF, RFC 5321 §4.5.3.1.6
    header_size: int = 102_400
    header_addresses: int = 10_240
    mime_nesting: int = 100
    boundary_length: int = 2048
    hops: int = 50
    soft_errors: int = 10  # from then on each error costs `error_delay`
    hard_errors: int = 20  # then the session is closed
    junk_commands: int = 100  # NOOP, RSET, VRFY, HELP without mail between them
    error_delay: float = 1.0
    connections: int = 10_000  # of one worker
    connections_per_client: int = 50  # of one worker; peers proven by a connector are exempt
    command_timeout: float = 300.0
    data_timeout: float = 300.0  # between two pieces of a message
    data_rate: int = 500  # octets per second, at the least, over the whole message
    tls_timeout: float = 60.0
    proxy_timeout: float = 5.0
    forbid_early_talkers: bool = True  # commands sent before the reply that permits them
    spool_threshold: int = 262_144  # larger messages go to a file while they arrive
    lifetime: float = 432_000.0  # 5 days
    bounce_lifetime: float = 432_000.0
    delay_warning: float = 14_400.0  # 4 hours; 0: never
    retry_min: float = 300.0
    retry_max: float = 4000.0
    retry_jitter: float = 0.1  # share of the delay, either way
    destination_concurrency: int = 20
    destination_recipients: int = 50  # of one transaction
    host_backoff: float = 60.0  # an unreachable host is not dialled again before
    idle_timeout: float = 5.0  # a kept outbound connection
    messages_per_connection: int = 1000
    connect_timeout: float = 30.0
    greeting_timeout: float = 300.0  # RFC 5321 §4.5.3.2.1
    helo_timeout: float = 300.0
    mail_timeout: float = 300.0  # §4.5.3.2.2
    rcpt_timeout: float = 300.0  # §4.5.3.2.3
    data_init_timeout: float = 120.0  # §4.5.3.2.4
    data_block_timeout: float = 180.0  # §4.5.3.2.5
    data_final_timeout: float = 600.0  # §4.5.3.2.6
    quit_timeout: float = 5.0  # nothing is lost with a QUIT
    shutdown_timeout: float = 30.0  # how long a drain waits for sessions and deliveries
