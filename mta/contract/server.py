"""The `server` object: where it listens, what it may use, how policies are fetched and partners looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.contract.dkim import SealingKey
from mta.contract.limits import Limits
from mta.contract.protection import Portal
from mta.contract.queue import SharedQueue
from mta.contract.reports import Reports
from mta.contract.values import HostPort, KeyPair, Network
from mta.model.tls import TrustAnchors


@dataclass(frozen=True, slots=True)
class StsFetching:
    """How MTA-STS policies are fetched; `ca` vouches for policy hosts and for the hosts they name (None: system)."""

    ca: TrustAnchors | None = None
    port: int = 443


@dataclass(frozen=True, slots=True)
class Probing:
    """How often partners' hosts are looked at, and how many seconds before the end of a certificate is warned."""

    every: float = 86_400.0
    warn: float = 1_209_600.0  # 14 days


@dataclass(frozen=True, slots=True)
class Pkcs11:
    """`server.pkcs11`: the module (a shared library) that reaches our tokens, and the PIN that opens them.

    `processes`: how many at most open with root keys side by side.
    """

    module: str
    pin: str = field(repr=False)
    processes: int = 2


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening address. `tls` is `starttls`, or `implicit`; PROXY v2 is believed from the networks of `proxy`."""

    address: HostPort
    tls: str = "starttls"
    proxy: tuple[Network, ...] = ()

    def __str__(self) -> str:
        proxy = f", proxy: [{', '.join(map(str, self.proxy))}]" if self.proxy else ""
        return f"{{address: {self.address}, tls: {self.tls}{proxy}}}"


@dataclass(frozen=True, slots=True)
class Server:
    """The `server` object."""

    hostname: str
    postmaster: str
    authserv_id: str
    listen: tuple[Listener, ...]
    certificate: KeyPair | None = None
    user: str = ""
    queue: str = "sqlite:var/queue"  # the folder of this machine's own files, whether the queue is there or shared
    shared: SharedQueue | None = None
    state: str = ""  # the folder of what is kept beside the queue; empty: the queue's own
    workers: int = 1
    nameservers: tuple[HostPort, ...] = ()  # empty: the system's
    trust_ad: bool = False
    mta_sts: StsFetching = field(default_factory=StsFetching)
    trace_keep: float = 2_592_000.0  # 30 days
    received_spf: bool = False  # also write Received-SPF (RFC 7208 §9.1)
    second_opinion: float = 0.0  # the share of authenticated mail that dkimpy judges, too
    arc: SealingKey | None = None  # what seals, where a connector wants it
    log_format: str = "auto"  # json, text, or by whether standard error is a terminal
    reports: Reports = field(default_factory=Reports)
    pkcs11: Pkcs11 | None = None
    watch: float = 5.0  # seconds between looks at the files; 0: never
    metrics: HostPort | None = None  # where numbers are served over HTTP
    probing: Probing | None = None  # partners are looked at by themselves
    portal: Portal | None = None  # the key server and the pages
    limits: Limits = field(default_factory=Limits)
