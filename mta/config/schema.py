"""The keys of connectors.yaml as pydantic models; their descriptions become the JSON Schema.

None stands for a key that was not written: the defaults that depend on other keys are filled in by build.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from mta.config.protection import PortalKeys, ProtectionKeys
from mta.config.schema_authentication import AuthenticationKeys, DkimKeyKeys, SealKeys
from mta.config.schema_directory import DirectoryKeys
from mta.config.schema_limits import Duration, DurationOrOff, LimitsModel, Pause
from mta.config.schema_reports import ReportsKeys
from mta.config.schema_smime import OwnSmimeKeys, Pkcs11Keys, SmimeKeys
from mta.config.schema_words import (
    OBJECT,
    WORD,
    Address,
    AuthservId,
    CertificateName,
    DomainName,
    DomainPattern,
    FilePath,
    KeyPairKeys,
    Keys,
    ListenAddress,
    NameServer,
    NetworkText,
    NextHop,
    PinText,
    Port,
    Share,
    Store,
    Switch,
    Text,
    TlsVersion,
    TokenUrl,
    Workers,
    optional,
    word_or_object,
)
from mta.config.triggers import ProtectKeys
from mta.config.witness import WitnessKeys

DEFAULT_LISTEN = "127.0.0.1:2525"


class ListenKeys(Keys):
    """One listening address."""

    address: ListenAddress = Field(description='IP address and port, like "127.0.0.1:25" or "[::]:25".')
    tls: Literal["starttls", "implicit"] = optional(
        "`starttls` offers TLS when there is a certificate; `implicit` begins with it.", "starttls"
    )
    proxy: list[NetworkText] = optional("Balancers whose PROXY v2 header is believed, and demanded.", [])


class QueueKeys(Keys):
    """Where undelivered mail is kept."""

    store: Store = optional("`sqlite:` and a folder.", "sqlite:var/queue")


class DnsKeys(Keys):
    """How names are looked up."""

    nameservers: list[NameServer] = optional("Resolvers to ask, in order; without them the system's.", [])
    trust_ad: Switch = optional("Believe the AD bit (DNSSEC) of these resolvers: they must be reached safely.", False)


class StsKeys(Keys):
    """How MTA-STS policies of other domains are fetched and applied."""

    ca: FilePath = optional(
        "CAs that vouch for policy hosts and for hosts under a policy: PEM file, or `system`.", "system"
    )
    port: Port = optional("Port of policy hosts; another than 443 is for tests, at any address.", 443)


class TraceKeys(Keys):
    """The history of messages."""

    keep: Duration = optional("How long the history of a finished message is kept.", 2_592_000.0)


class ProbeKeys(Keys):
    """Partners are dialled now and then, and what will break is told to the postmaster."""

    every: Pause = optional("How often.", 86_400.0)
    warn: Duration = optional("How long before a certificate ends it is told.", 1_209_600.0)


class MetricsKeys(Keys):
    """Numbers for Prometheus, over HTTP."""

    address: ListenAddress = Field(description='IP address and port of `/metrics`, like "127.0.0.1:9100".')


class LogKeys(Keys):
    """The log on standard error."""

    format: Literal["auto", "json", "text"] = optional("`auto` writes text to a terminal, JSON elsewhere.", "auto")


class ServerKeys(Keys):
    """This server."""

    hostname: DomainName = Field(description="The name in greetings, EHLO, Received fields and reports.")
    postmaster: Address | None = optional("Who gets mail to postmaster and signs reports; default postmaster@hostname.")
    authserv_id: AuthservId | None = optional("Our name in Authentication-Results; default: hostname.")
    listen: list[ListenKeys] = optional(
        "Where connections are taken.",
        [ListenKeys.model_validate({"address": DEFAULT_LISTEN})],
        min_length=1,
        json_schema_extra={"default": [{"address": DEFAULT_LISTEN}]},
    )
    certificate: KeyPairKeys | None = optional("Our certificate for inbound TLS; without it none is offered.")
    user: Text | None = optional("The user to become after binding, when started as root.")
    queue: QueueKeys = optional("Where undelivered mail is kept.", QueueKeys())
    workers: Workers = optional("Processes: a number, or `auto` for one a processor.", "auto")
    dns: DnsKeys = optional("How names are looked up.", DnsKeys())
    mta_sts: StsKeys = optional("How MTA-STS policies of other domains are fetched.", StsKeys())
    limits: LimitsModel = optional("Limits, all with defaults.", LimitsModel())
    trace: TraceKeys = optional("The history of messages.", TraceKeys())
    received_spf: Switch = optional("Also write Received-SPF fields (RFC 7208 §9.1).", False)
    second_opinion: Share = optional("The share of authenticated mail that dkimpy judges, too, for the log.", 0.0)
    arc: SealKeys | None = optional("What seals with ARC the mail of connectors that say `arc: seal`.")
    log: LogKeys = optional("The log on standard error.", LogKeys())
    reports: ReportsKeys | None = optional("Daily reports; without the object nothing is counted.")
    probe: ProbeKeys | None = optional("Look at all partners now and then; without it nobody does.")
    metrics: MetricsKeys | None = optional("Numbers for Prometheus, over HTTP; without it none.")
    portal: PortalKeys | None = optional("The key server and the pages of protected mail; without it none.")
    pkcs11: Pkcs11Keys | None = optional("Tokens (HSM, smart card) that hold keys.")
    watch: DurationOrOff = optional(
        "How often all files of the configuration are looked at for changes, or `off`.", 5.0
    )


class DomainKeys(Keys):
    """One of our own domains."""

    deliver_to: list[NextHop] = Field(description="Hosts that take its mail, in order of preference.", min_length=1)
    connector: Text = optional("The connector whose `outbound` governs `deliver_to`.", "default")
    recipients: Text = optional("`any`, `verify` (ask the next hop), or a file with one address a line.", "any")
    allow_own_sender: Switch = optional("Let strangers use senders of this domain.", False)
    dkim: list[DkimKeyKeys] = optional("Keys that sign mail of this domain.", [])
    smime: OwnSmimeKeys | None = optional("Our certificates for S/MIME, with their private keys.")


class ClientCertificateKeys(Keys):
    """What the peer's certificate must be."""

    names: list[CertificateName] = optional("Any one must be in the certificate; `*.x` matches one label.", [])
    ca: FilePath | None = optional("PEM file of accepted CAs, or `system`.")
    pins: list[PinText] = optional("Agreed certificates or keys; any one suffices, and suffices alone.", [])
    eku: Literal["any", "client"] = optional(
        "`client` refuses certificates whose stated usages lack clientAuth.", "any"
    )
    crl: list[FilePath] = optional("Revocation lists, PEM or DER, of the CAs on the way; renewed by you.", [])
    revocation: Literal["hard", "soft", "off"] | None = optional(
        "`hard`: it must be known not to be revoked; `soft`: it is not known to be; default: hard with `crl`, else off."
    )


class InboundTlsKeys(Keys):
    """Demanded TLS. Writing the object demands it."""

    min_version: TlsVersion = optional("The oldest TLS version accepted.", "1.2")
    client_certificate: ClientCertificateKeys | None = optional("The certificate that proves who the peer is.")


InboundTlsChoice = Annotated[
    Annotated[Literal["optional", "required"], Tag(WORD)] | Annotated[InboundTlsKeys, Tag(OBJECT)],
    Discriminator(word_or_object),
]


class InboundKeys(Keys):
    """What mail that comes in must prove."""

    claims: list[Literal["mail_from", "header_from"]] = optional(
        "Where a claim of these domains is looked for.", ["mail_from", "header_from"], min_length=1
    )
    tls: InboundTlsChoice = optional("`optional`, `required`, or an object, which requires it.", "optional")
    networks: list[NetworkText] = optional("Addresses that prove who the peer is.", [])
    combine: Literal["all", "any"] = optional(
        "Whether networks and certificate must both prove, or one will do.", "all"
    )
    identity: Literal["proof", "none"] = optional("`none`: deliberately do not check who the peer is.", "proof")
    allow_own_sender: Switch = optional("Peers proven here may use senders of our own domains.", False)
    authentication: AuthenticationKeys | None = optional("What SPF, DKIM, DMARC and ARC must have found.")
    header_from: Literal["contract", "dkim"] = optional(
        "`dkim`: From of these domains may also pass on their own aligned signature, as on mail of lists.", "contract"
    )
    trusted_hops: list[NetworkText] = optional(
        "Gateways in front of us: SPF is judged at the address they received the message from.", []
    )


class RouteKeys(Keys):
    """Fixed next hops."""

    hosts: list[NextHop] = Field(description="Hosts in order of preference; port 25 where none is given.", min_length=1)


RouteChoice = Annotated[
    Annotated[Literal["mx"], Tag(WORD)] | Annotated[RouteKeys, Tag(OBJECT)], Discriminator(word_or_object)
]


class OutboundTlsKeys(Keys):
    """What the next hop must prove."""

    level: Literal["none", "opportunistic", "encrypted", "verified", "pinned"] | None = optional(
        "How much is promised; without it the strictest that the other keys imply."
    )
    names: list[CertificateName] = optional("Any one must be in the certificate; without it the host dialled.", [])
    ca: FilePath | None = optional("PEM file of accepted CAs, or `system` (the default).")
    pins: list[PinText] = optional("Agreed certificates or keys; any one suffices.", [])
    min_version: TlsVersion = optional("The oldest TLS version spoken.", "1.2")
    crl: list[FilePath] = optional("Revocation lists, PEM or DER, of the CAs on the way; renewed by you.", [])
    revocation: Literal["hard", "soft", "off"] | None = optional(
        "`hard`: known by list or OCSP staple not to be revoked; `soft`: not known to be; default: hard with `crl`, "
        "else soft.",
    )
    dane: Literal["opportunistic", "mandatory", "off"] = optional(
        "TLSA records: `opportunistic` obeys them where they are, `mandatory` demands them, `off` does not ask.",
        "opportunistic",
    )
    mta_sts: Literal["opportunistic", "mandatory", "off"] = optional(
        "The MTA-STS policy of the recipient's domain: obeyed, demanded or not asked for.", "opportunistic"
    )
    requiretls: Literal["enforce", "opportunistic"] = optional(
        "`opportunistic`: mail that demands TLS (REQUIRETLS) goes here as other mail does.", "enforce"
    )


class OAuthKeys(Keys):
    """How an access token is had: by the client's own credentials, or with a refresh token."""

    token_url: TokenUrl = Field(description="The issuer's token endpoint; https, or http on this machine.")
    client_id: Text = Field(description="Our name with the issuer.")
    client_secret_file: FilePath | None = optional("File whose first line is our secret with the issuer.")
    scope: Text | None = optional("What the token is for, in the issuer's words.")
    refresh_token_file: FilePath | None = optional("File whose first line is a refresh token; that is the grant then.")
    mechanism: Literal["auto", "xoauth2", "oauthbearer"] = optional(
        "How the host is told; `auto`: as it offers.", "auto"
    )
    ca: FilePath | None = optional("PEM file of CAs for the token endpoint, or `system` (the default).")


class AuthKeys(Keys):
    """SMTP AUTH at a smart host: with a password, or with a token of OAuth 2.0."""

    user: Text = Field(description="The user name.")
    password_file: FilePath | None = optional("File whose first line is the password.")
    oauth: OAuthKeys | None = optional("In place of a password.")


class OutboundKeys(Keys):
    """What mail that goes out is promised."""

    route: RouteChoice = optional("`mx`, or an object with `hosts`.", "mx")
    tls: OutboundTlsKeys = optional("What the next hop must prove.", OutboundTlsKeys())
    client_certificate: KeyPairKeys | None = optional("The certificate we show.")
    auth: AuthKeys | None = optional("SMTP AUTH; only with fixed hosts at level verified or more.")
    port: Port = optional("Port of hosts found by MX.", 25)
    dkim: Literal["auto", "off"] = optional("`auto` signs mail of our domains that have keys; `off` never.", "auto")
    arc: Literal["off", "seal"] = optional("`seal`: mail that was judged on arrival leaves with an ARC seal.", "off")
    smime: SmimeKeys = optional("How mail is signed and encrypted.", SmimeKeys())
    protect: ProtectKeys = optional("When mail goes to the portal instead, sealed in the vault.", ProtectKeys())


class ModeKeys(Keys):
    """The mode of each direction."""

    inbound: Literal["enforce", "audit"] = optional("Of mail that comes in.", "enforce")
    outbound: Literal["enforce", "audit"] = optional("Of mail that goes out.", "enforce")


ModeChoice = Annotated[
    Annotated[Literal["enforce", "audit"], Tag(WORD)] | Annotated[ModeKeys, Tag(OBJECT)], Discriminator(word_or_object)
]


class ConnectorKeys(Keys):
    """One partner, in both directions."""

    mode: ModeChoice = optional(
        "`audit` reports what would be refused and refuses nothing; or an object with `inbound` and `outbound`.",
        "enforce",
    )
    domains: list[DomainPattern] = optional("The partner's domains; `*.x` means x's subdomains, not x.", [])
    relay: Switch = optional("Peers proven here may send to anyone.", False)
    probe: Switch = optional("Whether `server.probe` looks at its hosts, too.", True)
    inbound: InboundKeys | None = optional("What mail that comes in must prove; without it `default`'s.")
    outbound: OutboundKeys | None = optional("What mail that goes out is promised; without it `default`'s.")
    witness: WitnessKeys | None = optional("Where its witness is asked to countersign our log (`protection.log`).")


class Settings(Keys):
    """All of connectors.yaml."""

    server: ServerKeys = Field(description="This server.")
    domains: dict[str, DomainKeys] = optional("Our own domains: what we take mail for, and where it goes.", {})
    connectors: dict[str, ConnectorKeys] = optional("The partners; `default` is everyone else.", {})
    directory: DirectoryKeys = optional("Where certificates of recipients are looked up.", DirectoryKeys())
    protection: ProtectionKeys | None = optional("Protected mail and files; without it nothing is protected.")


def witnesses_of(settings: Settings) -> dict[str, WitnessKeys | None]:
    """The witnesses of the connectors, by the connectors' names."""
    return {name: keys.witness for name, keys in settings.connectors.items()}
