"""The configuration as the rest of the house sees it: frozen, complete, every default filled in.

connectors.yaml is checked and turned into these by config/load.py. Durations are seconds, sizes octets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from mta.config.contract_directory import Directory
from mta.config.contract_limits import Limits, Reports
from mta.config.contract_protection import Portal, Protection
from mta.config.contract_server import Pkcs11, Probing, StsFetching
from mta.config.frozen import parts
from mta.model.tls import NO_REVOCATION, Pin, Revocation, TlsLevel, TrustAnchors
from mta.ports.access import AccessGrant
from mta.rfc.smime.profile import PROFILES, Profile

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host name or address literal (no brackets) with its port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths of a PEM certificate chain (leaf first) and of its private key; `pem` is what stood there, judged good."""

    chain: str
    key: str
    pem: tuple[bytes, bytes] | None = field(default=None, repr=False, compare=False)


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
class DkimKey:
    """A DKIM signing key of one of our domains, in use from epoch second `since` on. `key` is the path of its PEM.

    `service` is `email`, or `tlsrpt` for a key that signs TLS reports and nothing else (RFC 8460 §3).
    """

    selector: str
    key: str
    since: float = 0.0
    algorithm: str = "rsa-sha256"  # or ed25519-sha256, by the key
    until: float = 0.0  # 0: no end
    service: str = "email"


@dataclass(frozen=True, slots=True)
class SealingKey:
    """What seals mail with ARC, in the name of `domain`; `key` has no times."""

    domain: str
    key: DkimKey


@dataclass(frozen=True, slots=True)
class Server:
    """The `server` object."""

    hostname: str
    postmaster: str
    authserv_id: str
    listen: tuple[Listener, ...]
    certificate: KeyPair | None = None
    user: str = ""
    queue: str = "sqlite:var/queue"
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


TOKEN = "pkcs11:"  # noqa: S105 - how the URI of a token's key begins
ANY_RECIPIENT, VERIFY_RECIPIENT = "any", "verify"


@dataclass(frozen=True, slots=True)
class OwnSmime:
    """The certificates and keys of one of our domains for S/MIME; paths, empty where there is none.

    `certificate` is the organisation's. `people` is a folder with those of single addresses, `former` one of keys that
    decrypt only; `password` opens what is encrypted in them. `decrypt`: whether mail for the domain is opened.
    """

    certificate: KeyPair | None = None
    people: str = ""
    former: str = ""
    password: str = field(default="", repr=False)
    decrypt: bool = True


@dataclass(frozen=True, slots=True)
class Domain:
    """One of our own domains. `recipients` is `any`, `verify`, or the set of `Mailbox.key`s that exist."""

    name: str
    deliver_to: tuple[HostPort, ...]
    connector: str
    recipients: str | frozenset[str] = ANY_RECIPIENT
    allow_own_sender: bool = False
    dkim: tuple[DkimKey, ...] = ()
    smime: OwnSmime | None = None


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a client certificate must be. `names` and `ca` both hold; any one of `pins` suffices.

    `eku` is `any`, or `client` to demand extended key usage clientAuth where one is stated.
    """

    names: tuple[str, ...] = ()
    ca: TrustAnchors | None = None
    pins: tuple[Pin, ...] = ()
    eku: str = "any"
    revocation: Revocation = NO_REVOCATION


@dataclass(frozen=True, slots=True)
class InboundTls:
    """`inbound.tls`: required or optional, the least version (`1.2`, `1.3`), the client certificate."""

    required: bool = False
    min_version: str = "1.2"
    client_certificate: ClientCertificate | None = None


@dataclass(frozen=True, slots=True)
class Authentication:
    """What SPF, DKIM, DMARC and ARC must have found of mail coming in.

    `dkim` is none, valid or aligned; `spf` none or pass; `dmarc` none, report, enforce or pass; `require` says whether
    all demands hold or any one; `on_failure` is refuse, quarantine (held) or tag. A pass of an ARC chain sealed by one
    of `trusted_sealers` stands in for what a forwarder broke. `null_mx` (refuse or report) concerns senders of domains
    that take no mail, whatever else is demanded. Not `checked`: nothing is looked up.
    """

    checked: bool = False
    dkim: str = "none"
    min_rsa_bits: int = 1024
    spf: str = "none"
    dmarc: str = "report"
    require: str = "all"
    trusted_sealers: tuple[str, ...] = ()
    on_failure: str = "tag"
    null_mx: str = "report"

    @property
    def demands(self) -> bool:
        """Whether anything can fail."""
        return self.dkim != "none" or self.spf != "none" or self.dmarc in ("enforce", "pass")


@dataclass(frozen=True, slots=True)
class Inbound:
    """What mail coming in under this connector must prove. `combine` is `all` or `any`."""

    claims: frozenset[str] = frozenset({"mail_from", "header_from"})
    tls: InboundTls = field(default_factory=InboundTls)
    networks: tuple[Network, ...] = ()
    combine: str = "all"
    identity: str = "proof"  # or `none`: the peer's identity is deliberately not checked
    allow_own_sender: bool = False
    authentication: Authentication = field(default_factory=Authentication)
    header_from: str = "contract"  # or `dkim`: the partner's own aligned signature may stand in for the contract
    trusted_hops: tuple[Network, ...] = ()  # of a gateway in front of us: SPF is judged at what it received from
    broken: str = ""  # what is wrong with its files: nothing is taken under it until that is mended

    @property
    def demands_proof(self) -> bool:
        """Whether anything identifies the peer."""
        return bool(self.networks) or self.tls.client_certificate is not None


@dataclass(frozen=True, slots=True)
class OutboundTls:
    """What the hop must prove. `names` of an empty tuple: derived from the route (policy/deliver.py)."""

    level: TlsLevel = TlsLevel.ENCRYPTED
    names: tuple[str, ...] = ()
    ca: TrustAnchors | None = None  # None: the system's
    pins: tuple[Pin, ...] = ()
    min_version: str = "1.2"
    revocation: Revocation = NO_REVOCATION
    dane: str = "opportunistic"  # or mandatory, or off; without TLS nothing is asked
    mta_sts: str = "opportunistic"  # the same; fixed hosts have no such policy
    requiretls: str = "enforce"  # or `opportunistic`: mail that demands TLS needs no more here than other mail

    @property
    def floor(self) -> TlsLevel:
        """What every hop proves at the least; where DANE or MTA-STS must be there, that is the host's name."""
        must = self.level is not TlsLevel.NONE and "mandatory" in (self.dane, self.mta_sts)
        return max(self.level, TlsLevel.VERIFIED) if must else self.level


@dataclass(frozen=True, slots=True)
class Auth:
    """SMTP AUTH at a smart host; secrets were read from their files. With `oauth` a token takes the password's place.

    `mechanism` is `auto`, `xoauth2` or `oauthbearer`.
    """

    user: str
    password: str = field(default="", repr=False)
    oauth: AccessGrant | None = None
    mechanism: str = "auto"


@dataclass(frozen=True, slots=True)
class Smime:
    """How mail to a partner is signed and encrypted (docs/connectors.md has the words of each field)."""

    sign: str = "never"
    encrypt: str = "never"
    without_certificate: str = "reject"
    identity: str = "any"
    profile: Profile = PROFILES["default"]
    format: str = "detached"
    header_protection: str = "none"
    already_protected: str = "pass"

    @property
    def protects(self) -> bool:
        """Whether anything is ever signed or encrypted."""
        return self.sign != "never" or self.encrypt != "never"


@dataclass(frozen=True, slots=True)
class Protect:
    """When mail goes to the portal instead: `never`, `triggers`, `unencrypted` or `always`, and with which label."""

    when: str = "never"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Outbound:
    """What mail going out under this connector is promised. `hosts` empty: by MX."""

    hosts: tuple[HostPort, ...] = ()
    tls: OutboundTls = field(default_factory=OutboundTls)
    client_certificate: KeyPair | None = None
    auth: Auth | None = None
    port: int = 25  # of hosts found by MX
    dkim: str = "auto"  # or `off`: mail of our domains leaves unsigned
    arc: str = "off"  # or `seal`: what was judged on arrival leaves under our seal
    smime: Smime = field(default_factory=Smime)
    protect: Protect = field(default_factory=Protect)
    broken: str = ""  # what is wrong with its files: nothing leaves under it until that is mended
    audited: Outbound | None = None  # of a connector in audit mode (policy/route.py): what its contract says

    @property
    def may_protect(self) -> bool:
        """Whether any mail ever goes to the portal."""
        return self.protect.when != "never" or self.smime.without_certificate == "portal"


@dataclass(frozen=True, slots=True)
class Connector:
    """One partner, one object, two directions. A missing direction is already `default`'s."""

    name: str
    mode: str = "enforce"  # or `audit`: of mail that comes in
    domains: tuple[str, ...] = ()
    relay: bool = False
    inbound: Inbound = field(default_factory=Inbound)
    outbound: Outbound = field(default_factory=Outbound)
    own_inbound: bool = True  # the object itself has an `inbound`
    own_outbound: bool = True
    line: int = 0
    probed: bool = True  # it is among those that are looked at by themselves
    mode_out: str = ""  # of mail that goes out; empty: as `mode`

    @property
    def audits(self) -> bool:
        """Whether it only reports what it would do with mail that comes in."""
        return self.mode == "audit"

    @property
    def outbound_mode(self) -> str:
        """Of mail that goes out: `enforce` or `audit`."""
        return self.mode_out or self.mode


DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of connectors.yaml. Always has a connector called `default`."""

    server: Server
    domains: Mapping[str, Domain]  # by A-label name in lower case
    connectors: Mapping[str, Connector]  # by name, in file order
    path: str = ""
    digest: str = ""  # of the file's bytes: tells one configuration from the next
    warnings: tuple[str, ...] = ()
    files: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # that it names, as they were read: watch.py
    directory: Directory = field(default_factory=Directory)
    protection: Protection | None = None
    ailments: tuple[str, ...] = ()  # files of single connectors that cannot be used, as `mta check` tells them

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", MappingProxyType(dict(self.domains)))
        object.__setattr__(self, "connectors", MappingProxyType(dict(self.connectors)))

    def __reduce__(self) -> tuple[object, ...]:
        return parts(self)

    @property
    def default(self) -> Connector:
        """The connector for everyone else."""
        return self.connectors[DEFAULT]
