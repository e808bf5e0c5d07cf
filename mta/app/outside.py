"""The outside world: clock, names, certificates, the way to other hosts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mta.contract.configuration import Configuration
from mta.contract.server import Server
from mta.errors import UsageError
from mta.ports import ChainVerifier, Dialer, Resolver, StsPolicies

if TYPE_CHECKING:
    from mta.adapters.smtp_timeouts import Timeouts


class SystemClock:
    """The machine's clock (ports.Clock)."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


def chain_verifier() -> ChainVerifier:
    """The judge of certificate chains."""
    from mta.adapters.tls.chain import OpenSslChainVerifier

    return OpenSslChainVerifier()


def resolver(configuration: Configuration) -> Resolver:
    """Look-ups of names, the way the configuration says."""
    return look_ups(configuration.server)


def look_ups(server: Server, nameserver: str = "") -> Resolver:
    """Look-ups of names by `nameserver` (HOST:PORT), or by those of the server object. Raises UsageError."""
    from mta.adapters.dns import DnsResolver

    if not nameserver:
        return DnsResolver(tuple((name.host, name.port) for name in server.nameservers), server.trust_ad)
    host, _, port = nameserver.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--nameserver: expected HOST:PORT, saw {nameserver!r}")
    return DnsResolver(((host.strip("[]"), int(port)),), server.trust_ad)


def sts_policies(configuration: Configuration, names: Resolver, *, reads_only: bool = False) -> StsPolicies:
    """MTA-STS policies of other domains, remembered beside the queue."""
    from mta.adapters.https_policy import HttpsPolicyFetcher
    from mta.adapters.policy_files import PolicyFiles
    from mta.app.folders import state_folder
    from mta.pipeline.sts import Policies, PolicyPorts

    fetching = configuration.server.mta_sts
    fetcher = HttpsPolicyFetcher(names, fetching.ca, fetching.port)
    memory = PolicyFiles(state_folder(configuration) / "mta-sts", reads_only=reads_only)
    return Policies(PolicyPorts(names, fetcher, memory, SystemClock()))


def dialer(server: Server) -> Dialer:
    """The way to other hosts, with the patience that the limits say."""
    from mta.adapters.smtp_connection import SmtpDialer

    return SmtpDialer(_timeouts(server))


def _timeouts(server: Server) -> Timeouts:
    from mta.adapters.smtp_timeouts import Timeouts

    limits = server.limits
    return Timeouts(
        connect=limits.connect_timeout,
        tls=limits.tls_timeout,
        greeting=limits.greeting_timeout,
        helo=limits.helo_timeout,
        command=limits.helo_timeout,
        mail=limits.mail_timeout,
        rcpt=limits.rcpt_timeout,
        data_init=limits.data_init_timeout,
        data_block=limits.data_block_timeout,
        data_final=limits.data_final_timeout,
        quit=limits.quit_timeout,
    )
