"""The `server` object: the keys of this server, and small objects of its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mta.config.dkim import SealKeys, build_sealing_key
from mta.config.limits import LimitsModel, build_limits, check_limits
from mta.config.listen import DEFAULT_LISTEN, ListenKeys, build_listeners
from mta.config.pkcs11 import Pkcs11Keys, build_pkcs11
from mta.config.problems import Report
from mta.config.protection import PortalKeys, build_portal
from mta.config.queue import QueueKeys, build_queue, check_queue
from mta.config.reports import ReportsKeys, build_reports
from mta.config.words import (
    Address,
    AuthservId,
    DomainName,
    Duration,
    DurationOrOff,
    FilePath,
    KeyPairKeys,
    Keys,
    ListenAddress,
    NameServer,
    Pause,
    Port,
    Share,
    Switch,
    Text,
    Workers,
    optional,
)
from mta.config.workshop import Workshop
from mta.contract.reports import Reports
from mta.contract.server import Probing, Server, StsFetching

_OFTEN = 3600.0  # seconds between two looks at a partner's hosts


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
    state: FilePath | None = optional(
        "Folder of what is not mail: sockets, reports, policies, the directory, what was seen; default: the queue's."
    )
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


def build_server(keys: ServerKeys, shop: Workshop) -> Server:
    """The `server` object; files that cannot be used are problems."""
    pair = keys.certificate
    queue, shared = build_queue(keys.queue, shop.files)
    return Server(
        hostname=keys.hostname,
        postmaster=str(keys.postmaster) if keys.postmaster else f"postmaster@{keys.hostname}",
        authserv_id=keys.authserv_id or keys.hostname,
        listen=build_listeners(keys.listen),
        certificate=shop.files.key_pair(pair.chain, pair.key, ("server", "certificate")) if pair else None,
        user=keys.user or "",
        queue=queue,
        shared=shared,
        state=shop.files.resolve(keys.state) if keys.state else "",
        workers=max(1, shop.cpus) if isinstance(keys.workers, str) else keys.workers,
        nameservers=tuple(keys.dns.nameservers),
        trust_ad=keys.dns.trust_ad,
        mta_sts=StsFetching(shop.anchors(keys.mta_sts.ca, ("server", "mta_sts", "ca")), keys.mta_sts.port),
        trace_keep=keys.trace.keep,
        received_spf=keys.received_spf,
        second_opinion=keys.second_opinion,
        arc=build_sealing_key(keys.arc, shop.files, (shop.report, ("server", "arc"))) if keys.arc else None,
        log_format=keys.log.format,
        pkcs11=build_pkcs11(keys.pkcs11, shop.files, (shop.report, ("server", "pkcs11"))) if keys.pkcs11 else None,
        watch=0.0 if keys.watch == "off" else keys.watch,
        metrics=keys.metrics.address if keys.metrics else None,
        probing=Probing(keys.probe.every, keys.probe.warn) if keys.probe else None,
        portal=build_portal(keys.portal, shop.files) if keys.portal else None,
        reports=build_reports(keys.reports, keys.hostname, keys.postmaster) if keys.reports else Reports(),
        limits=build_limits(keys.limits),
    )


def check_server(server: Server, report: Report) -> None:
    """Report limits that contradict each other, and partners looked at too often."""
    check_limits(server.limits, report)
    check_queue(server, report)
    if server.probing and server.probing.every < _OFTEN:
        message = f"every partner's hosts are dialled every {server.probing.every:g} seconds"
        report.warning(
            ("server", "probe", "every"), message, "once a day is enough; partners may take this for an attack"
        )
