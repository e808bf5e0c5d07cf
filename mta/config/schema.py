"""The keys of connectors.yaml as pydantic models; their descriptions become the JSON Schema.

None stands for a key that was not written: the defaults that depend on other keys are filled in by build.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from mta.config import values
from mta.config.contract import HostPort, Network
from mta.config.problems import shown
from mta.config.schema_limits import Duration, LimitsModel
from mta.model.address import Mailbox
from mta.model.tls import Pin

WORD, OBJECT = "<word>", "<object>"  # tags of unions; they appear in pydantic's places and are taken out again
DEFAULT_LISTEN = "127.0.0.1:2525"


def _text_schema(pattern: str = "", **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1} | ({"pattern": pattern} if pattern else {}) | more)


def _text(value: object) -> str:
    given = values.text(value, "text")
    if not given.strip() or not given.isprintable():
        raise values.ValueFault("expected text on one line, found nothing that could be read")
    return given


def _version(value: object) -> str:
    word = {1.2: "1.2", 1.3: "1.3"}.get(value) if isinstance(value, float) else value
    if word not in ("1.2", "1.3") or not isinstance(word, str):
        raise values.ValueFault(f'expected "1.2" or "1.3", found {shown(value)}', "older TLS is not spoken")
    return word


def _workers(value: object) -> int | str:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise values.ValueFault(f"expected auto or a number from 1 to 1024, found {shown(value)}")
    return value


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65_535:
        raise values.ValueFault(f"expected a port from 1 to 65535, found {shown(value)}")
    return value


def _store(value: object) -> str:
    given = _text(value)
    if not given.startswith("sqlite:") or given == "sqlite:":
        raise values.ValueFault(f"{shown(given)} is not a queue store", "write it like sqlite:var/queue")
    return given


def _word_or_object(value: object) -> str:
    return OBJECT if isinstance(value, dict | BaseModel) else WORD


def _authserv_id(value: object) -> str:
    given = _text(value)
    if any(c in ' \t;"()<>@,\\/[]?=' for c in given):  # RFC 8601 §2.5: a value, here always a token
        raise values.ValueFault(f"{shown(given)} cannot be an authserv-id", "a host name is usual")
    return given


Text = Annotated[str, PlainValidator(_text), _text_schema()]
FilePath = Annotated[str, PlainValidator(_text), _text_schema()]
DomainName = Annotated[str, PlainValidator(values.domain_name), _text_schema()]
DomainPattern = Annotated[str, PlainValidator(values.domain_pattern), _text_schema()]
CertificateName = Annotated[str, PlainValidator(values.certificate_name), _text_schema()]
NetworkText = Annotated[Network, PlainValidator(values.network), _text_schema(examples=["192.0.2.0/24"])]
PinText = Annotated[Pin, PlainValidator(values.pin), _text_schema("^(spki-sha256:|cert-sha256:)")]
Address = Annotated[Mailbox, PlainValidator(values.mailbox), _text_schema("@")]
ListenAddress = Annotated[
    HostPort, PlainValidator(lambda v: values.host_port(v, None, address_only=True)), _text_schema(":[0-9]+$")
]
NextHop = Annotated[HostPort, PlainValidator(lambda v: values.host_port(v, 25)), _text_schema()]
NameServer = Annotated[HostPort, PlainValidator(lambda v: values.host_port(v, 53, address_only=True)), _text_schema()]
TlsVersion = Annotated[str, PlainValidator(_version), WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})]
Workers = Annotated[
    int | str,
    PlainValidator(_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 1024}]}),
]
Port = Annotated[int, PlainValidator(_port), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 65_535})]
Store = Annotated[str, PlainValidator(_store), _text_schema("^sqlite:.")]
AuthservId = Annotated[str, PlainValidator(_authserv_id), _text_schema()]
Switch = Annotated[bool, Field(strict=True)]


def _key(description: str, default: Any = None, **more: Any) -> Any:
    return Field(default=default, description=description, **more)


class Keys(BaseModel):
    """An object of connectors.yaml: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyPairKeys(Keys):
    """A certificate chain and its private key, as PEM files."""

    chain: FilePath = Field(description="PEM file: our certificate first, then those that lead to the root.")
    key: FilePath = Field(description="PEM file of the private key, without a passphrase.")


class ListenKeys(Keys):
    """One listening address."""

    address: ListenAddress = Field(description='IP address and port, like "127.0.0.1:25" or "[::]:25".')
    tls: Literal["starttls", "implicit"] = _key(
        "`starttls` offers TLS when there is a certificate; `implicit` begins with it.", "starttls"
    )
    proxy: list[NetworkText] = _key("Balancers whose PROXY v2 header is believed, and demanded.", [])


class QueueKeys(Keys):
    """Where undelivered mail is kept."""

    store: Store = _key("`sqlite:` and a folder.", "sqlite:var/queue")


class DnsKeys(Keys):
    """How names are looked up."""

    nameservers: list[NameServer] = _key("Resolvers to ask, in order; without them the system's.", [])
    trust_ad: Switch = _key("Believe the AD bit (DNSSEC) of these resolvers: they must be reached safely.", False)


class TraceKeys(Keys):
    """The history of messages."""

    keep: Duration = _key("How long the history of a finished message is kept.", 2_592_000.0)


class LogKeys(Keys):
    """The log on standard error."""

    format: Literal["auto", "json", "text"] = _key("`auto` writes text to a terminal, JSON elsewhere.", "auto")


class ServerKeys(Keys):
    """This server."""

    hostname: DomainName = Field(description="The name in greetings, EHLO, Received fields and reports.")
    postmaster: Address | None = _key("Who gets mail to postmaster and signs reports; default postmaster@hostname.")
    authserv_id: AuthservId | None = _key("Our name in Authentication-Results; default: hostname.")
    listen: list[ListenKeys] = _key(
        "Where connections are taken.",
        [ListenKeys.model_validate({"address": DEFAULT_LISTEN})],
        min_length=1,
        json_schema_extra={"default": [{"address": DEFAULT_LISTEN}]},
    )
    certificate: KeyPairKeys | None = _key("Our certificate for inbound TLS; without it none is offered.")
    user: Text | None = _key("The user to become after binding, when started as root.")
    queue: QueueKeys = _key("Where undelivered mail is kept.", QueueKeys())
    workers: Workers = _key("Processes: a number, or `auto` for one a processor.", "auto")
    dns: DnsKeys = _key("How names are looked up.", DnsKeys())
    limits: LimitsModel = _key("Limits, all with defaults.", LimitsModel())
    trace: TraceKeys = _key("The history of messages.", TraceKeys())
    log: LogKeys = _key("The log on standard error.", LogKeys())


class DomainKeys(Keys):
    """One of our own domains."""

    deliver_to: list[NextHop] = Field(description="Hosts that take its mail, in order of preference.", min_length=1)
    connector: Text = _key("The connector whose `outbound` governs `deliver_to`.", "default")
    recipients: Text = _key("`any`, `verify` (ask the next hop), or a file with one address a line.", "any")
    allow_own_sender: Switch = _key("Let strangers use senders of this domain.", False)


class ClientCertificateKeys(Keys):
    """What the peer's certificate must be."""

    names: list[CertificateName] = _key("Any one must be in the certificate; `*.x` matches one label.", [])
    ca: FilePath | None = _key("PEM file of accepted CAs, or `system`.")
    pins: list[PinText] = _key("Agreed certificates or keys; any one suffices, and suffices alone.", [])
    eku: Literal["any", "client"] = _key("`client` refuses certificates whose stated usages lack clientAuth.", "any")


class InboundTlsKeys(Keys):
    """Demanded TLS. Writing the object demands it."""

    min_version: TlsVersion = _key("The oldest TLS version accepted.", "1.2")
    client_certificate: ClientCertificateKeys | None = _key("The certificate that proves who the peer is.")


InboundTlsChoice = Annotated[
    Annotated[Literal["optional", "required"], Tag(WORD)] | Annotated[InboundTlsKeys, Tag(OBJECT)],
    Discriminator(_word_or_object),
]


class InboundKeys(Keys):
    """What mail that comes in must prove."""

    claims: list[Literal["mail_from", "header_from"]] = _key(
        "Where a claim of these domains is looked for.", ["mail_from", "header_from"], min_length=1
    )
    tls: InboundTlsChoice = _key("`optional`, `required`, or an object, which requires it.", "optional")
    networks: list[NetworkText] = _key("Addresses that prove who the peer is.", [])
    combine: Literal["all", "any"] = _key("Whether networks and certificate must both prove, or one will do.", "all")
    identity: Literal["proof", "none"] = _key("`none`: deliberately do not check who the peer is.", "proof")
    allow_own_sender: Switch = _key("Peers proven here may use senders of our own domains.", False)


class RouteKeys(Keys):
    """Fixed next hops."""

    hosts: list[NextHop] = Field(description="Hosts in order of preference; port 25 where none is given.", min_length=1)


RouteChoice = Annotated[
    Annotated[Literal["mx"], Tag(WORD)] | Annotated[RouteKeys, Tag(OBJECT)], Discriminator(_word_or_object)
]


class OutboundTlsKeys(Keys):
    """What the next hop must prove."""

    level: Literal["none", "opportunistic", "encrypted", "verified", "pinned"] | None = _key(
        "How much is promised; without it the strictest that the other keys imply."
    )
    names: list[CertificateName] = _key("Any one must be in the certificate; without it the host dialled.", [])
    ca: FilePath | None = _key("PEM file of accepted CAs, or `system` (the default).")
    pins: list[PinText] = _key("Agreed certificates or keys; any one suffices.", [])
    min_version: TlsVersion = _key("The oldest TLS version spoken.", "1.2")


class AuthKeys(Keys):
    """SMTP AUTH at a smart host."""

    user: Text = Field(description="The user name.")
    password_file: FilePath = Field(description="File whose first line is the password.")


class OutboundKeys(Keys):
    """What mail that goes out is promised."""

    route: RouteChoice = _key("`mx`, or an object with `hosts`.", "mx")
    tls: OutboundTlsKeys = _key("What the next hop must prove.", OutboundTlsKeys())
    client_certificate: KeyPairKeys | None = _key("The certificate we show.")
    auth: AuthKeys | None = _key("SMTP AUTH; only with fixed hosts at level verified or more.")
    port: Port = _key("Port of hosts found by MX.", 25)


class ConnectorKeys(Keys):
    """One partner, in both directions."""

    mode: Literal["enforce", "audit"] = _key("`audit` reports what would happen and changes nothing.", "enforce")
    domains: list[DomainPattern] = _key("The partner's domains; `*.x` means x's subdomains, not x.", [])
    relay: Switch = _key("Peers proven here may send to anyone.", False)
    inbound: InboundKeys | None = _key("What mail that comes in must prove; without it `default`'s.")
    outbound: OutboundKeys | None = _key("What mail that goes out is promised; without it `default`'s.")


class Settings(Keys):
    """All of connectors.yaml."""

    server: ServerKeys = Field(description="This server.")
    domains: dict[str, DomainKeys] = _key("Our own domains: what we take mail for, and where it goes.", {})
    connectors: dict[str, ConnectorKeys] = _key("The partners; `default` is everyone else.", {})
