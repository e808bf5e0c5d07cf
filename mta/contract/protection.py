"""Protected mail and files, as the relay works with it: every default filled in, every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from re import Pattern
from types import MappingProxyType

from mta.contract.frozen import parts
from mta.model.rights import Right
from mta.model.tls import TrustAnchors
from mta.rfc.tlog.note import VerifierKey

RECIPIENTS = "recipients"


@dataclass(frozen=True, slots=True)
class Marking:
    """Texts that go onto what is shown; `{label}`, `{owner}`, `{reader}` and `{date}` are filled in."""

    header: str = ""
    footer: str = ""
    watermark: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A named set of rights, readers, expiry and ways.

    `readers` are `recipients`, `internal`, addresses or `@domain`. `expires` in seconds after sealing; 0: never.
    """

    id: str
    names: Mapping[str, str] = field(default_factory=dict)  # by language
    rank: int = 0
    rights: frozenset[Right] = frozenset()
    readers: tuple[str, ...] = (RECIPIENTS,)
    expires: float = 0.0
    second_channel: str = "none"  # or offered, or demanded (policy/channel.py)
    channels: tuple[str, ...] = ("totp", "passkey")
    marking: Marking = field(default_factory=Marking)
    demands_dpop: bool = False  # programs get a content key only with a proof of possession (RFC 9449)
    tell_owner: bool = False  # the owner gets a mail when a reader opens it for the first time
    show_subject: bool = False  # the notice bears the mail's own subject
    language: str = "en"  # of notices

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def __reduce__(self) -> tuple[object, ...]:
        return parts(self)


@dataclass(frozen=True, slots=True)
class SmsGateway:
    """Who carries codes to telephones: one POST of `body` in which {number} and {text} are filled in."""

    url: str
    token: str = field(default="", repr=False)
    media_type: str = "application/json"
    body: str = '{"to": "{number}", "text": "{text}"}'
    numbers: Mapping[str, str] = field(default_factory=dict, repr=False)  # by address

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", MappingProxyType(dict(self.numbers)))

    def __reduce__(self) -> tuple[object, ...]:
        return parts(self)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A mark of mail that is to be protected; what is set must all hold. Names of header fields are in lower case."""

    label: str
    subject: str = ""  # a tag in it, which is taken out
    header: tuple[tuple[str, str], ...] = ()
    sensitivity: str = ""
    words: tuple[str, ...] = ()  # one of them
    pattern: Pattern[str] | None = None
    size: int | None = None  # octets, at least


@dataclass(frozen=True, slots=True)
class RootKeyPlace:
    """Where a root key is: a PEM file, or a `pkcs11:` URI."""

    id: str
    place: str


@dataclass(frozen=True, slots=True)
class Client:
    """A program that speaks for one address: OAuth client credentials at our own issuer."""

    id: str
    secret: str = field(repr=False)
    address: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody else's OpenID Connect issuer, believed for addresses of `domains` alone."""

    name: str
    issuer: str
    client_id: str
    domains: tuple[str, ...]
    secret: str = field(default="", repr=False)  # of ours at the issuer; empty: we are a public client there


@dataclass(frozen=True, slots=True)
class Portal:
    """Where pages and the key server are served: the address listened at, and the URL that readers see."""

    address: str
    port: int
    url: str
    certificate: tuple[str, str] | None = None  # files of chain and key
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()  # whose X-Forwarded-For is believed


@dataclass(frozen=True, slots=True)
class Witness:
    """Who countersigns our log: the connector's name, where it is asked and by which key it is believed."""

    name: str
    url: str
    key: VerifierKey
    ca: TrustAnchors | None = None  # for its URL; None: the system's


@dataclass(frozen=True, slots=True)
class Protection:
    """The `protection` object. `store` is the vault's folder."""

    store: str
    root_keys: tuple[RootKeyPlace, ...] = ()
    signing_key: str = ""
    witnesses: tuple[Witness, ...] = ()  # of our log
    witnessed_logs: tuple[VerifierKey, ...] = ()  # partners' logs, whose checkpoints we cosign
    labels: Mapping[str, Label] = field(default_factory=dict)
    triggers: tuple[Trigger, ...] = ()  # the first that matches decides
    clients: tuple[Client, ...] = ()
    identities: tuple[Issuer, ...] = ()
    sms: SmsGateway | None = None
    foreign: str = "pass"  # or hold, or refuse: mail protected by others' rights management
    backup_window: float = 7 * 86_400.0  # seconds that the key of an epoch outlives it
    retention: float = 0.0  # seconds after sealing at which everything ends that is not held; 0: when its label says
    super_user: bool = False  # whether two persons may let one of them open everything for a while
    auditor: str = ""  # is told of every use of the super user

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    def __reduce__(self) -> tuple[object, ...]:
        return parts(self)
