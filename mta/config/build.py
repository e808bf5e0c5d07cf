"""From validated settings to the contract's dataclasses: files read, names resolved, every default filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mta.config import schema
from mta.config.dkim import build_keys, build_sealing_key, in_force
from mta.config.files import SYSTEM, Files
from mta.config.problems import Path, Report
from mta.config.protection import build_portal
from mta.config.schema_authentication import AuthenticationKeys
from mta.config.schema_limits import limits
from mta.config.smime import build_own, build_pkcs11, build_smime
from mta.config.triggers import build_protect
from mta.config.values import ValueFault, domain_name
from mta.contract.authentication import Authentication
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.dkim import DkimKey
from mta.contract.domains import ANY_RECIPIENT, VERIFY_RECIPIENT, Domain
from mta.contract.inbound import ClientCertificate, Inbound, InboundTls
from mta.contract.outbound import Auth, Outbound, OutboundTls
from mta.contract.reports import Reports
from mta.contract.server import Listener, Probing, Server, StsFetching
from mta.model.address import Mailbox
from mta.model.tls import HARD, OFF, SOFT, Revocation, TlsLevel, TrustAnchors
from mta.ports.access import AccessGrant


@dataclass(frozen=True, slots=True)
class Workshop:
    """What building needs beside the settings."""

    report: Report
    files: Files
    cpus: int


def build_server(keys: schema.ServerKeys, shop: Workshop) -> Server:
    """The `server` object."""
    pair = keys.certificate
    store = keys.queue.store.removeprefix("sqlite:")
    return Server(
        hostname=keys.hostname,
        postmaster=str(keys.postmaster) if keys.postmaster else f"postmaster@{keys.hostname}",
        authserv_id=keys.authserv_id or keys.hostname,
        listen=tuple(Listener(one.address, one.tls, tuple(one.proxy)) for one in keys.listen),
        certificate=shop.files.key_pair(pair.chain, pair.key, ("server", "certificate")) if pair else None,
        user=keys.user or "",
        queue=f"sqlite:{shop.files.resolve(store)}",
        workers=max(1, shop.cpus) if isinstance(keys.workers, str) else keys.workers,
        nameservers=tuple(keys.dns.nameservers),
        trust_ad=keys.dns.trust_ad,
        mta_sts=StsFetching(_anchors(keys.mta_sts.ca, shop, ("server", "mta_sts", "ca")), keys.mta_sts.port),
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
        reports=_reports(keys),
        limits=limits(keys.limits),
    )


def _reports(keys: schema.ServerKeys) -> Reports:
    wanted = keys.reports
    if wanted is None:
        return Reports()
    from_ = wanted.from_ or keys.postmaster
    return Reports(
        from_=from_.in_ascii if from_ else f"postmaster@{keys.hostname}",
        organization=wanted.organization or (from_.ascii_domain if from_ else keys.hostname),
        dmarc=wanted.dmarc,
        tls=wanted.tls,
        send=wanted.send,
        connector=wanted.connector,
        private_collectors=wanted.private_collectors,
        receive=frozenset(address.key for address in wanted.receive),
        keep=wanted.keep,
    )


def build_domains(settings: schema.Settings, shop: Workshop) -> dict[str, Domain]:
    """Our own domains by normalised name; two spellings of one domain are a problem."""
    names: dict[str, str] = {}
    for written in settings.domains:
        path: Path = ("domains", written)
        try:
            name = domain_name(written)
        except ValueFault as fault:
            shop.report.problem(path, str(fault), fault.hint, key=True)
            continue
        if name in names:
            line = shop.report.line(("domains", names[name]))
            shop.report.problem(path, f"{name} is given twice", f"first in line {line}", key=True)
            continue
        names[name] = written
    return {name: _domain(name, settings.domains[names[name]], frozenset(names), shop, names[name]) for name in names}


def _domain(name: str, keys: schema.DomainKeys, ours: frozenset[str], shop: Workshop, written: str) -> Domain:
    return Domain(
        name=name,
        deliver_to=tuple(keys.deliver_to),
        connector=keys.connector,
        recipients=_recipients(name, keys, ours, shop, ("domains", written, "recipients")),
        allow_own_sender=keys.allow_own_sender,
        dkim=_dkim(name, keys, shop, ("domains", written, "dkim")),
        smime=build_own(keys.smime, shop.files, (shop.report, ("domains", written, "smime"))) if keys.smime else None,
    )


def _dkim(name: str, keys: schema.DomainKeys, shop: Workshop, path: Path) -> tuple[DkimKey, ...]:
    found = build_keys(name, keys.dkim, shop.files, (shop.report, path))
    if keys.dkim and not in_force(found, shop.files.now):
        shop.report.warning(path, f"no key is in force today: mail of {name} leaves unsigned", "see `from` and `until`")
    return found


def _recipients(
    name: str, keys: schema.DomainKeys, ours: frozenset[str], shop: Workshop, path: Path
) -> str | frozenset[str]:
    file = keys.recipients
    if file in (ANY_RECIPIENT, VERIFY_RECIPIENT):
        return file
    before = len(shop.report.problems)
    lines = shop.files.addresses(file, path)
    found: set[str] = set()
    for number, entry in lines:
        if isinstance(entry, Mailbox) and entry.ascii_domain not in ours:
            entry = ValueFault(f"{entry} is in none of our domains", "`domains` lists ours")
        if isinstance(entry, ValueFault):
            shop.files.list_problem(file, number, f"domains.{name}.recipients", entry)
        elif isinstance(entry, Mailbox) and entry.ascii_domain == name:
            found.add(entry.key)
    if not found and len(shop.report.problems) == before:
        shop.report.warning(path, f"{file} lists no address of {name}", "all mail for this domain will be refused")
    return frozenset(found)


def build_connectors(settings: schema.Settings, shop: Workshop) -> dict[str, Connector]:
    """All connectors in file order, `default` among them whether it was written or not."""
    default = _connector(DEFAULT, settings.connectors.get(DEFAULT, schema.ConnectorKeys()), None, shop)
    found = {
        name: default if name == DEFAULT else _connector(name, keys, default, shop)
        for name, keys in settings.connectors.items()
    }
    return found if DEFAULT in found else found | {DEFAULT: default}


def _connector(name: str, keys: schema.ConnectorKeys, default: Connector | None, shop: Workshop) -> Connector:
    path: Path = ("connectors", name)
    connector = Connector(
        name=name,
        mode=keys.mode if isinstance(keys.mode, str) else keys.mode.inbound,
        mode_out=keys.mode if isinstance(keys.mode, str) else keys.mode.outbound,
        domains=tuple(dict.fromkeys(keys.domains)),
        relay=keys.relay,
        inbound=default.inbound if default else Inbound(),
        outbound=default.outbound if default else Outbound(),
        own_inbound=keys.inbound is not None,
        own_outbound=keys.outbound is not None,
        line=shop.report.line(path) if path in shop.report.marks.keys else 0,
        probed=keys.probe,
    )
    if keys.inbound:
        connector = replace(connector, inbound=_inbound(name, keys.inbound, default, shop, (*path, "inbound")))
    if keys.outbound:
        connector = replace(connector, outbound=_outbound(keys.outbound, shop, (*path, "outbound")))
    return connector


def _inbound(name: str, keys: schema.InboundKeys, default: Connector | None, shop: Workshop, path: Path) -> Inbound:
    usual = default.inbound.authentication if default else Authentication()
    return Inbound(
        claims=frozenset(keys.claims),
        tls=_inbound_tls(keys.tls, shop, (*path, "tls")),
        networks=tuple(dict.fromkeys(keys.networks)),
        combine=keys.combine,
        identity=keys.identity,
        allow_own_sender=keys.allow_own_sender,
        authentication=_authentication(name, keys.authentication) if keys.authentication else usual,
        header_from=keys.header_from,
        trusted_hops=tuple(dict.fromkeys(keys.trusted_hops)),
    )


def _authentication(name: str, keys: AuthenticationKeys) -> Authentication:
    found = Authentication(
        checked=True,
        dkim=keys.dkim,
        min_rsa_bits=keys.min_rsa_bits,
        spf=keys.spf,
        dmarc=keys.dmarc,
        require=keys.require,
        trusted_sealers=tuple(dict.fromkeys(keys.arc.trusted_sealers)),
    )
    usual = "refuse" if found.demands and name != DEFAULT else "tag"
    # RFC 7505 §4.2: such senders should be refused; the whole world is only told of
    null_mx = keys.null_mx or ("report" if name == DEFAULT else "refuse")
    return replace(found, on_failure=keys.on_failure or usual, null_mx=null_mx)


def _inbound_tls(
    keys: Literal["optional", "required"] | schema.InboundTlsKeys, shop: Workshop, path: Path
) -> InboundTls:
    if isinstance(keys, str):
        return InboundTls(required=keys == "required")
    wanted = keys.client_certificate
    certificate = _client_certificate(wanted, shop, (*path, "client_certificate")) if wanted else None
    return InboundTls(True, keys.min_version, certificate)


def _client_certificate(keys: schema.ClientCertificateKeys, shop: Workshop, path: Path) -> ClientCertificate:
    ca = keys.ca or (SYSTEM if keys.names else None)  # a name proves nothing unless somebody vouches for it
    return ClientCertificate(
        names=tuple(dict.fromkeys(keys.names)),
        ca=_anchors(ca, shop, (*path, "ca")),
        pins=tuple(dict.fromkeys(keys.pins)),
        eku=keys.eku,
        revocation=_revocation(keys, ca is not None, OFF, (shop, path)),
    )


def _revocation(
    keys: schema.ClientCertificateKeys | schema.OutboundTlsKeys, judged: bool, usual: str, place: tuple[Workshop, Path]
) -> Revocation:
    """`judged`: whether the chain is led to a CA at all, whose word on revocation could be asked for."""
    shop, path = place
    lists = tuple(
        one for n, name in enumerate(keys.crl) for one in shop.files.revocation_lists(name, (*path, "crl", n))
    )
    if not judged:
        for key in ("crl", "revocation"):
            if getattr(keys, key) and getattr(keys, key) != OFF:
                hint = "write `ca` or `names`; pins alone are renewed by hand"
                shop.report.problem(
                    (*path, key), "only what an authority has issued can be revoked by it", hint, key=True
                )
        return Revocation()
    mode = keys.revocation or (HARD if keys.crl else usual)
    if usual == OFF and mode != OFF and not keys.crl:
        hint = "clients staple no OCSP response: name the lists of their CAs in `crl`"
        shop.report.problem((*path, "revocation"), f"{mode} needs lists to look into", hint)
    return Revocation(mode, lists if mode != OFF else ())


def _anchors(name: str | None, shop: Workshop, path: Path) -> TrustAnchors | None:
    return shop.files.anchors(name, path) if name else None


def _outbound(keys: schema.OutboundKeys, shop: Workshop, path: Path) -> Outbound:
    tls, pair = keys.tls, keys.client_certificate
    level = TlsLevel[tls.level.upper()] if tls.level else implied_level(tls)
    judged = level is TlsLevel.VERIFIED or (level is TlsLevel.PINNED and bool(tls.ca or tls.names))
    return Outbound(
        hosts=() if isinstance(keys.route, str) else tuple(keys.route.hosts),
        tls=OutboundTls(
            level=level,
            names=tuple(dict.fromkeys(tls.names)),
            ca=_anchors(tls.ca, shop, (*path, "tls", "ca")),
            pins=tuple(dict.fromkeys(tls.pins)),
            min_version=tls.min_version,
            revocation=_revocation(tls, judged, SOFT, (shop, (*path, "tls"))),
            dane=tls.dane,
            mta_sts=tls.mta_sts,
            requiretls=tls.requiretls,
        ),
        client_certificate=shop.files.key_pair(pair.chain, pair.key, (*path, "client_certificate")) if pair else None,
        auth=_auth(keys.auth, shop, (*path, "auth")) if keys.auth else None,
        port=keys.port,
        dkim=keys.dkim,
        arc=keys.arc,
        smime=build_smime(keys.smime, (shop.report, (*path, "smime"))),
        protect=build_protect(keys.protect),
    )


def _auth(keys: schema.AuthKeys, shop: Workshop, path: Path) -> Auth:
    def secret(file: str | None, *place: str) -> str:
        return shop.files.password(file, (*path, *place)) if file else ""

    oauth = keys.oauth
    if oauth is None:
        return Auth(keys.user, secret(keys.password_file, "password_file"))
    grant = AccessGrant(
        url=oauth.token_url,
        client_id=oauth.client_id,
        client_secret=secret(oauth.client_secret_file, "oauth", "client_secret_file"),
        scope=oauth.scope or "",
        refresh_token=secret(oauth.refresh_token_file, "oauth", "refresh_token_file"),
        ca=_anchors(oauth.ca, shop, (*path, "oauth", "ca")),
    )
    return Auth(keys.user, oauth=grant, mechanism=oauth.mechanism)


def implied_level(tls: schema.OutboundTlsKeys) -> TlsLevel:
    """The strictest level that the written keys imply."""
    if tls.pins:
        return TlsLevel.PINNED
    return TlsLevel.VERIFIED if tls.names or tls.ca else TlsLevel.ENCRYPTED
