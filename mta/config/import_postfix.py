"""From Postfix's main.cf, tls_policy and transport to contracts that mean the same, and what does not.

Equivalence first: DANE, MTA-STS and revocation are off where Postfix does not look at them, so that mail goes as it
went before. What could be stricter is the reader's to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mta.config.draft import UNNAMED_HOST, Draft
from mta.config.postfix_files import logical_lines, parse_main, parse_table, table_of, words
from mta.config.postfix_levels import LEVELS, TlsReader
from mta.config.values import ValueFault, domain_name, host_port, network

Reader = Callable[[str], str | None]  # the text of a file, None where it is not here

_LIMITS = {
    "message_size_limit": "message_size",
    "smtpd_recipient_limit": "recipients",
    "header_size_limit": "header_size",
    "maximal_queue_lifetime": "lifetime",
    "bounce_queue_lifetime": "bounce_lifetime",
    "minimal_backoff_time": "retry_min",
    "maximal_backoff_time": "retry_max",
}
_SECONDS = {"maximal_queue_lifetime": "d", "bounce_queue_lifetime": "d", "delay_warning_time": "h"}  # unit without one
_SAME_HERE = frozenset({"permit_mynetworks", "reject_unauth_destination", "defer_unauth_destination"})
_READ = frozenset(
    words(
        "myhostname mydestination relay_domains virtual_mailbox_domains mynetworks relayhost transport_maps "
        "smtp_tls_security_level smtp_tls_policy_maps smtp_tls_CAfile smtp_tls_CApath smtp_tls_cert_file "
        "smtp_tls_key_file smtp_tls_mandatory_protocols smtp_tls_protocols smtp_tls_fingerprint_digest "
        "smtpd_tls_security_level smtpd_tls_cert_file smtpd_tls_key_file smtp_use_tls smtp_enforce_tls "
        "smtpd_use_tls smtpd_enforce_tls"
    )
)
_NO_MATTER = frozenset(  # of how Postfix runs, not of what it does with mail
    words(
        "compatibility_level queue_directory command_directory daemon_directory data_directory mail_owner "
        "setgid_group mydomain myorigin sendmail_path newaliases_path mailq_path html_directory manpage_directory "
        "sample_directory readme_directory shlib_directory meta_directory debug_peer_level debugger_command "
        "inet_interfaces inet_protocols unknown_local_recipient_reject_code biff append_dot_mydomain smtpd_banner "
        "alias_maps alias_database smtp_tls_session_cache_database smtpd_tls_session_cache_database "
        "smtp_tls_loglevel smtpd_tls_loglevel smtpd_tls_received_header maillog_file recipient_delimiter "
        "mailbox_size_limit smtp_dns_support_level smtp_tls_note_starttls_offer mail_name "
        "parent_domain_matches_subdomains"
    )
)


@dataclass(slots=True)
class _Import:
    settings: dict[str, str]
    policy: list[tuple[str, str]]
    transport: list[tuple[str, str]]
    read: Reader
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
    _server(work)
    _own_domains(work)
    _internal(work)
    _partners(work)
    _default(work)
    _resolver(work)
    _rest(work)
    return work.draft


def _is_main(text: str) -> bool:
    return any(re.match(r"[A-Za-z_]\w*\s*=", line) for line in logical_lines(text)[:1])


def _sort_in(table: list[tuple[str, str]], work: _Import) -> None:
    """Whether a table is a TLS policy or of transports shows in its words."""
    is_policy = any(value.split()[:1] and value.split()[0].lower() in LEVELS for _, value in table)
    (work.policy if is_policy else work.transport).extend(table)


def _tables(setting: str, work: _Import) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for value in words(work.settings.get(setting, "")):
        path = table_of(value)
        text = work.read(path) if path else None
        if text is None:
            work.draft.differs(setting, f"{value} is no table in a file that is here: its entries are not carried over")
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
    for theirs, ours in _LIMITS.items():
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
    for setting in ("mydestination", "virtual_mailbox_domains", "relay_domains"):
        for name in words(work.settings.get(setting, "")):
            if not _is_domain(name):
                if name.startswith(("hash:", "/", "$", "lmdb:", "texthash:", "btree:", "proxy:")):
                    work.draft.differs(setting, f"{name} is not carried over: list the domains under `domains`")
                continue
            place = _next_hop(hops.get(name, "")) if setting == "relay_domains" else ""
            if place:
                work.draft.domains[name] = {"deliver_to": [place]}
            else:
                text = f"{name} is ours, but which host takes its mail is not said: write it under `domains`"
                work.draft.differs(setting, text)


def _is_domain(name: str) -> bool:
    try:
        return domain_name(name) == name and "." in name
    except ValueFault:
        return False


def _next_hop(transport: str) -> str:
    """`host:port` of `smtp:[host]:port`; empty where it is no fixed host."""
    kind, _, place = transport.partition(":")
    if kind not in ("smtp", "relay") or not place:
        return ""
    return _place(place)


def _place(text: str) -> str:
    try:
        return str(host_port(text.replace("[", "").replace("]", "") if text.count(":") < 2 else text, 25))
    except ValueFault:
        return ""


def _internal(work: _Import) -> None:
    """Who may send to anyone: `permit_mynetworks`."""
    found: list[str] = []
    for word in words(work.settings.get("mynetworks", "")):
        try:
            found.append(str(network(word.replace("[", "").replace("]", ""))))
        except ValueFault:
            work.draft.differs("mynetworks", f"{word} is no network here", "internal")
    if found:
        work.draft.connectors["internal"] = {"relay": True, "inbound": {"networks": list(dict.fromkeys(found))}}
    elif work.settings:
        work.draft.differs(
            "mynetworks", "is not written: who may send to anyone must be, as a connector with relay: true"
        )


def _partners(work: _Import) -> None:
    """One connector for each domain with a policy or a transport of its own."""
    hops = {key: value for key, value in work.transport if key.lstrip(".") not in work.draft.domains}
    policies = {key: value for key, value in work.policy if not key.startswith("[") and ":" not in key}
    for key, value in work.policy:
        if key.startswith("[") or ":" in key:
            _by_hop(key, value, hops, policies, work)
    for key in dict.fromkeys((*policies, *hops)):
        if key == "*" or not _is_domain(key.lstrip(".")):
            work.draft.differs(key, "is no domain: this entry is not carried over")
            continue
        _partner(key, policies.get(key), hops.get(key), work)


def _by_hop(key: str, value: str, hops: dict[str, str], policies: dict[str, str], work: _Import) -> None:
    """A policy for a next hop is a policy for the domains that go there."""
    domains = [domain for domain, transport in hops.items() if transport.partition(":")[2] == key]
    for domain in domains:
        policies[domain] = value
    if work.settings.get("relayhost", "").lower() == key:
        work.settings["relayhost_policy"] = value
    elif not domains:
        work.draft.differs(key, f"no domain goes there by transport: `{value}` is not carried over")


def _partner(key: str, policy: str | None, transport: str | None, work: _Import) -> None:
    draft = work.draft
    name = draft.name(key.lstrip("."))
    pattern = f"*{key}" if key.startswith(".") else key
    domains = draft.claim(name, [pattern], key)
    if not domains:
        return
    outbound: dict[str, Any] = {}
    if transport is not None:
        place = _next_hop(transport)
        if place:
            outbound["route"] = {"hosts": [place]}
            if "[" not in transport:
                draft.differs(key, f"Postfix looks up the MX records of {place}; here it is the host itself", name)
        elif transport not in ("smtp:", "relay:", ":"):
            draft.differs(key, f"the transport `{transport}` is none of ours: mail goes by MX", name)
    fixed = "route" in outbound
    outbound["tls"] = work.tls.policy(policy, key, name, fixed) if policy is not None else work.tls.usual(name, fixed)
    pair = work.tls.key_pair("smtp_tls_cert_file", "smtp_tls_key_file")
    if pair and outbound["tls"].get("level") != "none":
        outbound["client_certificate"] = pair
    draft.connectors[name] = {"domains": domains, "outbound": outbound}


def _default(work: _Import) -> None:
    settings, draft = work.settings, work.draft
    if not settings:
        draft.differs("", "without main.cf nothing is known of everyone else: here their mail goes encrypted or waits")
        return
    level = settings.get("smtpd_tls_security_level") or _old_level(settings, "smtpd")
    if level == "encrypt":
        draft.differs("smtpd_tls_security_level", "RFC 3207 §4 warns: hosts without TLS cannot write to you", "default")
    inbound = {"tls": "required" if level == "encrypt" else "optional"}
    if level in ("", "none") and "certificate" in draft.server:
        draft.differs(
            "smtpd_tls_security_level", "Postfix offers no TLS; here the certificate makes it offered", "default"
        )
    outbound: dict[str, Any] = {}
    if relayhost := settings.get("relayhost", ""):
        place = _place(relayhost)
        if place:
            outbound["route"] = {"hosts": [place]}
        if not place or "[" not in relayhost:
            draft.differs(
                "relayhost", f"Postfix looks up the MX records of {relayhost}; here it is the host", "default"
            )
    policy = settings.get("relayhost_policy")
    fixed = "route" in outbound
    tls = work.tls
    outbound["tls"] = tls.policy(policy, "relayhost", "default", fixed) if policy else tls.usual("default", fixed)
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


def _rest(work: _Import) -> None:
    """Everything that was written and has no counterpart."""
    known = {*_READ, *_NO_MATTER, *_LIMITS, "delay_warning_time", "relayhost_policy"}
    for name, value in work.settings.items():
        if name in known or not value:
            continue
        if name in ("smtpd_relay_restrictions", "smtpd_recipient_restrictions"):
            value = ", ".join(word for word in words(value) if word not in _SAME_HERE)
            if not value:
                continue
        shown = "(not shown)" if "password" in name else value
        if name == "smtp_sasl_password_maps":
            shown = "write auth: {user, password_file} at the connector of that host; it needs level verified or more"
        work.draft.differs(name, f"is not carried over: {shown}")
