"""`protection` and `server.portal`: the keys, how they are built and what is checked of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from mta.config import values
from mta.config.files import Files
from mta.config.problems import Path, Report, did_you_mean, shown
from mta.config.second_channels import SmsKeys, build_sms, check_channels, check_sms
from mta.config.triggers import TriggerKeys, build_trigger, check_triggers
from mta.config.witness import WitnessKeys, build_witnesses
from mta.config.words import (
    Address,
    DomainName,
    Duration,
    FilePath,
    KeyPairKeys,
    Keys,
    ListenAddress,
    NetworkText,
    Store,
    Switch,
    Text,
    optional,
)
from mta.contract.protection import RECIPIENTS, Client, Issuer, Label, Marking, Portal, Protection, RootKeyPlace
from mta.contract.readers import reader_name
from mta.contract.server import Server
from mta.contract.values import HostPort
from mta.errors import TlogError
from mta.model.rights import SETS, Right, expand
from mta.rfc.smtp.address import AddressError
from mta.rfc.tlog.note import KeyType, VerifierKey, read_key

TOKEN = "pkcs11:"  # noqa: S105 - how the URI of a token's key begins
_LOOPBACK = ("127.", "::1")


def _rights(value: object) -> frozenset[Right]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise values.ValueFault(f"expected the name of a set or a list of rights, found {shown(value)}")
    try:
        return expand(words)
    except ValueError as error:
        known = [*SETS, *Right.__members__]
        near = did_you_mean(str(error), [*known, *(word.lower() for word in known)])
        hint = near or f"known: {', '.join(known)}"
        raise values.ValueFault(f"{shown(str(error))} is no right and no set of rights", hint) from None


def _reader(value: object) -> str:
    given = values.text(value, "an address, a domain, `internal` or `recipients`")
    if given == RECIPIENTS:
        return given
    try:
        return reader_name(given)
    except AddressError as error:
        raise values.ValueFault(str(error), "an address, @domain, `internal` or `recipients`") from None


def _readers(value: object) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    if not given:
        raise values.ValueFault("expected at least one reader", "`recipients` are those the mail is written to")
    return tuple(_reader(one) for one in given)


def _url(value: object) -> str:
    given = values.text(value, "a URL").rstrip("/")
    scheme, slashes, rest = given.partition("://")
    if scheme not in ("http", "https") or not slashes or not rest or "/" in rest or not rest.isascii():
        raise values.ValueFault(f"{shown(given)} is not the URL of a portal", "write it like https://portal.example")
    return given


def _issuer(value: object) -> str:
    given = values.text(value, "the URL of an issuer")
    scheme, _, rest = given.partition("://")
    local = rest.startswith(("127.0.0.1", "localhost", "[::1]"))
    if not rest or not given.isascii() or "?" in given or not (scheme == "https" or (scheme == "http" and local)):
        raise values.ValueFault(f"{shown(given)} is not an issuer", "write it as its tokens do: https://login.example")
    return given


Rights = Annotated[
    frozenset[Right],
    PlainValidator(_rights),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Readers = Annotated[
    tuple[str, ...],
    PlainValidator(_readers),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
IssuerUrl = Annotated[str, PlainValidator(_issuer), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Url = Annotated[str, PlainValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]


class RootKeyKeys(Keys):
    """A root key of the organisation."""

    id: Text = Field(description="Its name in files and log; it stays with what the key has sealed.")
    key: Text = Field(description="A PEM file of mode 0600, or a key of a token as a `pkcs11:` URI.")


class MarkingKeys(Keys):
    """Texts that go onto what is shown."""

    header: str = optional("Above each page; {label}, {owner}, {reader} and {date} are filled in.", "")
    footer: str = optional("Below each page.", "")
    watermark: str = optional("Across each page.", "")


class LabelKeys(Keys):
    """A named set of rights, readers, expiry and ways."""

    name: dict[str, Text] = optional("What people read, by language.", {})
    rank: Annotated[int, Field(strict=True)] = optional("Higher is more confidential.", 0)
    rights: Rights = Field(description="`encrypt-only`, `do-not-forward`, a level, or a list of rights.")
    readers: Readers = optional("`recipients`, `internal`, addresses or @domains.", (RECIPIENTS,))
    expires: Duration = optional("How long after sealing it opens; 0: for ever.", 0.0)
    second_channel: Literal["none", "offered", "demanded"] = optional("A second proof of who the reader is.", "none")
    channels: list[Literal["totp", "passkey", "sms", "phrase"]] = optional(
        "By what it may be given.", ["totp", "passkey"]
    )
    require_pop: Switch = optional("Programs must prove that they own their token (DPoP, RFC 9449).", False)
    marking: MarkingKeys = optional("Texts that go onto what is shown.", MarkingKeys())
    tell_owner: Switch = optional("The sender gets a mail when a reader opens it for the first time.", False)
    show_subject: Switch = optional("Notices bear the subject of the mail; else only its label.", False)
    language: Literal["en", "de"] = optional("The language of notices.", "en")


def _log_key(value: object) -> VerifierKey:
    given = values.text(value, "the key of a log, NAME+ID+BASE64")
    try:
        key = read_key(given)
    except TlogError as error:
        raise values.ValueFault(str(error), "`mta log head` of the partner shows it") from None
    if key.type is not KeyType.ED25519:
        raise values.ValueFault(f"{key.name} is the key of a witness, not of a log")
    return key


LogKey = Annotated[VerifierKey, PlainValidator(_log_key), WithJsonSchema({"type": "string"})]


class LogWitnessKeys(Keys):
    """The log of every use of keys."""

    witnesses: list[Text] = optional("Connectors whose `witness` countersigns the log, and watches it.", [])
    cosign: list[LogKey] = optional("Keys of partners' logs that we countersign.", [])


class ClientKeys(Keys):
    """A program that speaks for one address."""

    id: Text = Field(description="Its client_id at our issuer.")
    secret_file: FilePath = Field(description="File whose first line is the client's secret.")
    address: Address = Field(description="The address for which it opens.")


class IdentityKeys(Keys):
    """Somebody else's OpenID Connect issuer, believed for its own domains alone."""

    name: Text = Field(description="What people read.")
    issuer: IssuerUrl = Field(description="The issuer's identifier, exactly as its tokens say it.")
    client_id: Text = Field(description="Our id at the issuer: tokens must be for it, or for our key server.")
    client_secret_file: FilePath | None = optional("File whose first line is our secret at the issuer.")
    domains: list[DomainName] = Field(description="Whose addresses it may vouch for.", min_length=1)


class ProtectionKeys(Keys):
    """Protected mail and files: where they are kept, who holds the keys, which labels there are."""

    store: Store = optional("`sqlite:` and a folder.", "sqlite:var/vault")
    root_keys: list[RootKeyKeys] = optional("The organisation's keys; `mta keys root create` makes them.", [])
    signing_key: FilePath = optional("Signs policies and the log; made when it is first needed.", "certs/policy.key")
    log: LogWitnessKeys = optional("The log of every use of keys.", LogWitnessKeys())
    labels: dict[str, LabelKeys] = optional("Labels by their names.", {})
    identities: list[IdentityKeys] = optional("Other organisations' issuers, each for its own domains.", [])
    triggers: list[TriggerKeys] = optional("Marks of mail that is to be protected; the first that matches decides.", [])
    sms: SmsKeys | None = optional("The gateway that carries codes to telephones.")
    clients: list[ClientKeys] = optional("Programs that open for one address.", [])
    backup_window: Duration = optional("How long a backup of the shares can be used.", 7 * 86_400.0)
    retention: Duration = optional("How long after sealing everything ends, whatever its label says; 0: never.", 0.0)
    foreign: Literal["pass", "hold", "refuse"] = optional("Mail under others' rights management.", "pass")
    super_user: Switch = optional("Two persons may let one of them open everything for a while.", False)
    auditor: Address | None = optional("Who is told of every use of the super user; default: server.postmaster.")


class PortalKeys(Keys):
    """Where the key server and the pages are served."""

    address: ListenAddress = Field(description='IP address and port, like "127.0.0.1:8443".')
    url: Url = Field(description="What readers see, like https://portal.example.")
    certificate: KeyPairKeys | None = optional("Our certificate for it; without one a proxy in front has it.")
    proxy: list[NetworkText] = optional("Proxies whose X-Forwarded-For is believed.", [])


def build_protection(
    keys: ProtectionKeys, files: Files, postmaster: str, witnesses: Mapping[str, WitnessKeys | None]
) -> Protection:
    """The `protection` object; files that cannot be used are problems. `witnesses` are those of the connectors."""
    return Protection(
        store=files.resolve(keys.store.removeprefix("sqlite:")),
        root_keys=tuple(_root_key(one, files) for one in keys.root_keys),
        signing_key=files.resolve(keys.signing_key),
        witnesses=build_witnesses(keys.log.witnesses, witnesses, files),
        witnessed_logs=tuple(keys.log.cosign),
        labels={id: _label(id, one) for id, one in keys.labels.items()},
        triggers=tuple(map(build_trigger, keys.triggers)),
        clients=tuple(_client(n, one, files) for n, one in enumerate(keys.clients)),
        identities=tuple(_identity(n, one, files) for n, one in enumerate(keys.identities)),
        sms=build_sms(keys.sms, files),
        backup_window=keys.backup_window,
        retention=keys.retention,
        foreign=keys.foreign,
        super_user=keys.super_user,
        auditor=str(keys.auditor) if keys.auditor else postmaster,
    )


def _root_key(keys: RootKeyKeys, files: Files) -> RootKeyPlace:
    return RootKeyPlace(keys.id, keys.key if keys.key.startswith(TOKEN) else files.resolve(keys.key))


def _identity(place: int, keys: IdentityKeys, files: Files) -> Issuer:
    path: Path = ("protection", "identities", place, "client_secret_file")
    secret = files.password(keys.client_secret_file, path) if keys.client_secret_file else ""
    return Issuer(keys.name, keys.issuer, keys.client_id, tuple(keys.domains), secret)


def _client(place: int, keys: ClientKeys, files: Files) -> Client:
    secret = files.password(keys.secret_file, ("protection", "clients", place, "secret_file"))
    return Client(keys.id, secret, reader_name(str(keys.address)))


def _label(id: str, keys: LabelKeys) -> Label:
    return Label(
        id=id,
        names=keys.name,
        rank=keys.rank,
        rights=keys.rights,
        readers=keys.readers,
        expires=keys.expires,
        second_channel=keys.second_channel,
        channels=tuple(dict.fromkeys(keys.channels)),
        marking=Marking(keys.marking.header, keys.marking.footer, keys.marking.watermark),
        demands_dpop=keys.require_pop,
        tell_owner=keys.tell_owner,
        show_subject=keys.show_subject,
        language=keys.language,
    )


def build_portal(keys: PortalKeys, files: Files) -> Portal:
    """`server.portal`."""
    pair = None
    if keys.certificate:
        built = files.key_pair(keys.certificate.chain, keys.certificate.key, ("server", "portal", "certificate"))
        pair = (built.chain, built.key)
    return Portal(keys.address.host, keys.address.port, keys.url, pair, tuple(keys.proxy))


def check_protection(keys: ProtectionKeys, server: Server, report: Report) -> None:
    """Report what cannot be meant: names given twice, keys in tokens nobody reaches, labels that contradict."""
    _check_root_keys(keys, server, report)
    check_triggers(keys.triggers, keys.labels, report)
    _check_labels(keys, report)
    check_sms(keys.sms, report)
    seen: set[str] = set()
    for n, client in enumerate(keys.clients):
        if client.id in seen:
            report.problem(("protection", "clients", n, "id"), f"the client {client.id} is given twice")
        seen.add(client.id)


def _check_labels(keys: ProtectionKeys, report: Report) -> None:
    """Warn of labels that promise more than they keep."""
    if keys.labels and not keys.root_keys:
        report.warning(("protection", "labels"), "there are labels, and no root key to seal with", "write root_keys")
    ranks: dict[int, str] = {}
    for id, label in keys.labels.items():
        path: Path = ("protection", "labels", id)
        if Right.EXPORT in label.rights and label.expires:
            message = "its readers may have it in clear (EXPORT): what they took out does not expire"
            report.warning((*path, "expires"), message, "encrypt-only and do-not-forward are without EXPORT")
        check_channels(_label(id, label), keys.sms, path, report)
        if Right.OWNER in label.rights:
            message = "each of its readers owns it (OWNER): may let others read it, and shred it"
            report.warning((*path, "rights"), message, "co-author does everything else")
        if label.rank and label.rank in ranks:
            message = f"the rank {label.rank} is that of {ranks[label.rank]}, too: neither is more confidential"
            report.warning((*path, "rank"), message, "give each a rank of its own")
        ranks.setdefault(label.rank, id)


def _check_root_keys(keys: ProtectionKeys, server: Server, report: Report) -> None:
    seen: set[str] = set()
    for n, key in enumerate(keys.root_keys):
        path: Path = ("protection", "root_keys", n)
        if key.id in seen:
            report.problem((*path, "id"), f"the root key {key.id} is given twice", "an id stays with one key for ever")
        if not key.id.isascii() or any(c in key.id for c in " +/\\"):
            report.problem((*path, "id"), f"{shown(key.id)} cannot be the id of a key", "letters, digits, - and _")
        seen.add(key.id)
        if key.key.startswith(TOKEN) and server.pkcs11 is None and report.intact(("server", "pkcs11")):
            report.problem((*path, "key"), "a key in a token, and nothing reaches tokens", "write server.pkcs11")


def check_portal(portal: Portal, report: Report) -> None:
    """Report a portal that would speak in clear to the world, and a URL that does not fit."""
    path: Path = ("server", "portal")
    secure = portal.url.startswith("https://")
    if portal.certificate and not secure:
        report.problem((*path, "url"), "there is a certificate, and the URL says http", "write https://")
    loopback = portal.address.startswith(_LOOPBACK)
    if not portal.certificate and not loopback and not portal.proxies:
        message = f"{HostPort(portal.address, portal.port)} would serve keys in clear"
        report.problem((*path, "address"), message, "write certificate, or proxy, or listen on loopback")
