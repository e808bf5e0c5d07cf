"""From Postfix's main.cf, tls_policy and transport to contracts that mean the same, and what does not.

Equivalence first: DANE, MTA-STS and revocation are off where Postfix does not look at them, so that mail goes as it
went before. What could be stricter is the reader's to decide. docs/migration.md has the whole table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mta.config.values import ValueFault, domain_name
from mta.importers.draft import UNNAMED_HOST, Draft
from mta.importers.postfix.files import logical_lines, parse_main, parse_table, table_of, words
from mta.importers.postfix.levels import LEVELS, TlsReader, least_version, rank
from mta.importers.postfix.names import Target
from mta.importers.postfix.rest import LIMITS, networks_of, report_rest
from mta.importers.postfix.routes import NOBODY, Route, looked_up, read_route

Reader = Callable[[str], str | None]  # the text of a file, None where it is not here

_SECONDS = {"maximal_queue_lifetime": "d", "bounce_queue_lifetime": "d", "delay_warning_time": "h"}  # unit without one
_OWN = {  # our own domains, and the transport of those without one of their own
    "mydestination": "local_transport",
    "virtual_mailbox_domains": "virtual_transport",
    "relay_domains": "relay_transport",
}


@dataclass(slots=True)
class _Import:
    settings: dict[str, str]
    policy: list[tuple[str, str]]
    transport: list[tuple[str, str]]
    read: Reader
    own: set[str] = field(default_factory=set)  # domains that Postfix takes mail for
    hops: set[str] = field(default_factory=set)  # next hops that mail goes to
    draft: Draft = field(default_factory=Draft)

    @property
    def tls(self) -> TlsReader:
        return TlsReader(self.settings, self.draft, lambda path: self.read(path) is not None)


def import_postfix(files: Iterable[tuple[str, str]], read: Reader) -> Draft:
    """The contracts of these files, (name, text) each: main.cf, and tables, told apart by what stands in them.

    `read` gives the tables that main.cf names.
    """
    work = _Import({}, [], [], read)
    for name, text in files:
        if name.endswith("main.cf") or _is_main(text):
            work.settings |= parse_main(text)
        else:
            _sort_in(parse_table(text), work)
    for setting, table in (("smtp_tls_policy_maps", work.policy), ("transport_maps", work.transport)):
        if not table:
            table.extend(_tables(setting, work))
        table[:] = _first_of_each(table, work.draft)
    _server(work)
    _own_domains(work)
    _internal(work)
    _partners(work)
    _default(work)
    _resolver(work)
    report_rest(work.settings, work.draft)
    return work.draft


def _is_main(text: str) -> bool:
    return any(re.match(r"[A-Za-z_]\w*\s*=", line) for line in logical_lines(text)[:1])


def _sort_in(table: list[tuple[str, str]], work: _Import) -> None:
    """Whether a table is a TLS policy or of transports shows in its words."""
    is_policy = any(value.split()[:1] and value.split()[0].lower() in LEVELS for _, value in table)
    (work.policy if is_policy else work.transport).extend(table)


def _first_of_each(table: list[tuple[str, str]], draft: Draft) -> list[tuple[str, str]]:
    """postmap(1) keeps the first entry of a key, and of several tables the first that has one answers."""
    found: dict[str, str] = {}
    for key, value in table:
        if found.setdefault(key, value) != value:
            draft.differs(key, f"stands there twice: `{found[key]}` comes first and counts, `{value}` does not")
    return list(found.items())


def _tables(setting: str, work: _Import) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for value in words(work.settings.get(setting, "")):
        path = table_of(value)
        text = work.read(path) if path else None
        if text is None:
            text = f"{value} is no table in a file that is here: its entries are not carried over"
            work.draft.differs(setting, text, weaker=True)
        else:
            found += parse_table(text)
    return found


def _server(work: _Import) -> None:
    draft, settings = work.draft, work.settings
    try:
        draft.server["hostname"] = domain_name(settings.get("myhostname", ""))
    except ValueFault:
        draft.server["hostname"] = UNNAMED_HOST
        draft.differs("myhostname", f"is not known: write the server's name in the place of {UNNAMED_HOST}")
    pair = work.tls.key_pair("smtpd_tls_cert_file", "smtpd_tls_key_file")
    if pair:
        draft.server["certificate"] = pair
    limits: dict[str, Any] = {}
    for theirs, ours in LIMITS.items():
        if theirs in settings:
            limits[ours] = _limit(theirs, settings[theirs])
    if "delay_warning_time" in settings:
        limits["delay_warning"] = _limit("delay_warning_time", settings["delay_warning_time"])
    if limits:
        draft.server["limits"] = limits


def _limit(name: str, value: str) -> int | str:
    if not value.isdigit():
        return value
    unit = _SECONDS.get(name, "s" if name.endswith(("_time", "_lifetime")) else "")
    return f"{value}{unit}" if unit else int(value)


def _own_domains(work: _Import) -> None:
    """What Postfix takes mail for; it needs a next hop here, for nothing is delivered on this machine."""
    hops = dict(work.transport)
    for setting, transport in _OWN.items():
        for name in words(work.settings.get(setting, "")):
            if not _is_domain(name):
                if name.startswith(("hash:", "/", "$", "lmdb:", "texthash:", "btree:", "proxy:")):
                    work.draft.differs(setting, f"{name} is not carried over: list the domains under `domains`")
                continue
            work.own.add(name)
            written = looked_up(hops, name)
            route = read_route(work.settings.get(transport, "") if written is None else written)
            if route.hosts and route.hosts != (NOBODY,):
                work.draft.domains[name] = {"deliver_to": list(route.hosts)}
            else:
                text = f"{name} is ours, but which host takes its mail is not said: write it under `domains`"
                work.draft.differs(setting, f"{text} ({route.text.partition(';')[0]})" if route.text else text)


def _is_domain(name: str) -> bool:
    try:
        return domain_name(name) == name and "." in name
    except ValueFault:
        return False


def _internal(work: _Import) -> None:
    """Who may send to anyone: `permit_mynetworks`."""
    found = networks_of(words(work.settings.get("mynetworks", "")), work.draft)
    if found:
        work.draft.connectors["internal"] = {"relay": True, "inbound": {"networks": found}}
    elif work.settings:
        work.draft.differs(
            "mynetworks", "is not written: who may send to anyone must be, as a connector with relay: true"
        )


def _partners(work: _Import) -> None:
    """One connector for each domain with a policy or a transport of its own."""
    for key in dict.fromkeys(key for table in (work.policy, work.transport) for key, _ in table):
        hop = "[" in key or ":" in key
        if key == "*" or hop or key in work.own:
            if key in work.own and any(key == one for one, _ in work.policy):
                work.draft.differs(key, "is ours: its policy is not carried over, mail for it goes to `deliver_to`")
        elif not _is_domain(key.lstrip(".")):
            text = "is no domain: this entry is not carried over, and mail for it goes like other mail of its domain"
            work.draft.differs(key, text, weaker=True)
        else:
            _partner(key, work)
    for key, value in work.policy:
        if ("[" in key or ":" in key) and key not in work.hops:
            work.draft.differs(key, f"no domain goes there by transport: `{value}` is not carried over")


def _partner(key: str, work: _Import) -> None:
    draft = work.draft
    name = draft.name(key.lstrip("."))
    pattern = f"*{key}" if key.startswith(".") else key
    domains = draft.claim(name, [pattern], key)
    if not domains:
        return
    route = _route(key, work)
    target = Target(route.name if route.hosts else "" if key.startswith(".") else key, bool(route.hosts))
    outbound = _outbound(key, name, route, target, work)
    pair = work.tls.key_pair("smtp_tls_cert_file", "smtp_tls_key_file")
    if pair and outbound["tls"].get("level") != "none":
        outbound["client_certificate"] = pair
    draft.connectors[name] = {"domains": domains, "outbound": outbound}


def _route(key: str, work: _Import) -> Route:
    """The way of a domain: its transport, that of everybody, or the relay host."""
    hops = dict(work.transport)
    transport = looked_up(hops, key)
    if transport is None:
        transport = hops.get("*")
    if transport is not None:
        kind, _, place = transport.partition(":")
        if place or kind.lower() not in ("", "smtp", "relay"):
            return read_route(transport)
    return _everyones(work)


def _everyones(work: _Import) -> Route:
    """`relayhost`, or `default_transport` where that says more than smtp."""
    usual = work.settings.get("default_transport", "")
    if usual and usual not in ("smtp", "smtp:", "relay", "relay:"):
        return read_route(usual)
    return read_route(f"smtp:{work.settings.get('relayhost', '')}")


def _outbound(key: str, name: str, route: Route, target: Target, work: _Import) -> dict[str, Any]:
    """The route and what TLS must be on it. Postfix asks the policy table for the next hop, not for the domain."""
    outbound: dict[str, Any] = {"route": {"hosts": list(route.hosts)}} if route.hosts else {}
    if route.text:
        work.draft.differs(key or "relayhost", route.text, name, weaker=route.weaker)
    table = dict(work.policy)
    work.hops.update(route.nexthops)
    asked = [(hop, value) for hop in route.nexthops if (value := looked_up(table, hop)) is not None]
    own = looked_up(table, key) if key else None
    if own is not None and route.nexthops:
        usual = max((value for _, value in asked), key=rank, default=work.tls.usual_level(name))
        if rank(own) < rank(usual):
            text = f"Postfix asks the policy table for {route.nexthops[0]}: `{own}` means nothing there, nor here"
            work.draft.differs(key, text, name)
            own = None
    candidates = [*asked, *([(key, own)] if own is not None else [])]
    if not candidates:
        return outbound | {"tls": work.tls.usual(name, target)}
    source, policy = max(candidates, key=lambda one: rank(one[1]))
    return outbound | {"tls": work.tls.policy(policy, source, name, target)}


def _default(work: _Import) -> None:
    settings, draft = work.settings, work.draft
    if not settings:
        text = "without main.cf nothing is known of everyone else: here their mail goes encrypted or waits"
        draft.differs("", f"{text}; nor of which CAs are believed where no tafile is named: here those of this system")
        return
    level = settings.get("smtpd_tls_security_level") or _old_level(settings, "smtpd")
    if level == "encrypt":
        draft.differs("smtpd_tls_security_level", "RFC 3207 §4 warns: hosts without TLS cannot write to you", "default")
    inbound: dict[str, Any] = {"tls": "required" if level == "encrypt" else "optional"}
    if level == "encrypt" and least_version(settings.get("smtpd_tls_mandatory_protocols", "")) == "1.3":
        inbound = {"tls": {"min_version": "1.3"}}
    if level in ("", "none") and "certificate" in draft.server:
        draft.differs(
            "smtpd_tls_security_level", "Postfix offers no TLS; here the certificate makes it offered", "default"
        )
    hops = dict(work.transport)
    route = read_route(hops["*"]) if "*" in hops else _everyones(work)
    outbound = _outbound("", "default", route, Target(route.name, bool(route.hosts)), work)
    draft.connectors["default"] = {"inbound": inbound, "outbound": outbound}


def _old_level(settings: dict[str, str], side: str) -> str:
    if settings.get(f"{side}_enforce_tls") == "yes":
        return "encrypt"
    return "may" if settings.get(f"{side}_use_tls") == "yes" else ""


def _resolver(work: _Import) -> None:
    """DANE counts with a resolver that validates and is named."""
    tls = [keys.get("outbound", {}).get("tls", {}) for keys in work.draft.connectors.values()]
    if any(one.get("dane") in ("opportunistic", "mandatory") for one in tls):
        work.draft.server["dns"] = {"nameservers": ["127.0.0.1:53"], "trust_ad": True}
        text = "Postfix believes the system's resolver; here a validating one is named: is it at 127.0.0.1?"
        work.draft.differs("dane", text)
        for name, keys in work.draft.connectors.items():
            out = keys.get("outbound", {})
            if out.get("tls", {}).get("level") == "verified" and not {"names", "route"} & {*out, *out["tls"]}:
                work.draft.differs("dane", "an MX name that signed DNS gave counts as the domain's own, too", name)
