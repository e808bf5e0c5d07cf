"""What main.cf says besides contracts: networks, limits, and everything that has no counterpart here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mta.config.values import ValueFault, network
from mta.contract.values import Network
from mta.importers.draft import Draft
from mta.importers.postfix.files import words

LIMITS = {
    "message_size_limit": "message_size",
    "smtpd_recipient_limit": "recipients",
    "header_size_limit": "header_size",
    "maximal_queue_lifetime": "lifetime",
    "bounce_queue_lifetime": "bounce_lifetime",
    "minimal_backoff_time": "retry_min",
    "maximal_backoff_time": "retry_max",
}
_SAME_HERE = frozenset({"permit_mynetworks", "reject_unauth_destination", "defer_unauth_destination"})
_READ = frozenset(
    words(
        "myhostname mydestination relay_domains virtual_mailbox_domains mynetworks relayhost transport_maps "
        "smtp_tls_security_level smtp_tls_policy_maps smtp_tls_CAfile smtp_tls_CApath smtp_tls_cert_file "
        "smtp_tls_key_file smtp_tls_mandatory_protocols smtp_tls_protocols smtp_tls_fingerprint_digest "
        "smtp_tls_fingerprint_cert_match smtp_tls_verify_cert_match smtp_tls_secure_cert_match tls_append_default_CA "
        "default_transport relay_transport local_transport virtual_transport smtpd_tls_mandatory_protocols "
        "smtpd_tls_protocols smtpd_tls_security_level smtpd_tls_cert_file smtpd_tls_key_file smtp_use_tls "
        "smtp_enforce_tls smtpd_use_tls smtpd_enforce_tls"
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
_GUARDS = re.compile(  # settings that keep mail, or people, out; without them more gets through
    r"smtpd_\w*_restrictions|\w*_checks|\w*milters|content_filter|smtpd_\w*policy\w*|\w*_recipient_maps|\w*ccert\w*"
    r"|smtpd_sender_login_maps|smtp_tls_per_site|sender_dependent_\w+|smtpd_reject_\w+|smtpd_command_filter"
    r"|smtpd_tls_auth_only|relay_clientcerts|postscreen_\w+|smtpd_client_\w+_limit|smtp_tls_enforce_peername"
    r"|smtp_requiretls_policy|smtp_tls_dane_insecure_mx_policy|smtpd_helo_required|strict_rfc821_envelopes"
    r"|smtp_tls_scert_verifydepth|authorized_\w+|smtpd_forbid_\w+"
)
_ONLY_MORE = ("permit_mynetworks", "permit_sasl_authenticated", "permit")  # let somebody in: nobody less is kept out


def networks_of(written: Sequence[str], draft: Draft) -> list[str]:
    """`mynetworks`: the first that matches counts, `!` takes out. The same addresses, without exceptions."""
    found: list[Network] = []
    out: list[Network] = []
    for word in written:
        try:
            one = network(word.lstrip("!").replace("[", "").replace("]", ""))
        except ValueFault:
            out_of = word.startswith("!")
            text = f"{word} is no network here" + (": what it takes out is not taken out" if out_of else "")
            draft.differs("mynetworks", text, "internal", weaker=out_of)
            continue
        (out if word.startswith("!") else found).extend([one] if word.startswith("!") else _without(one, out))
    return list(dict.fromkeys(map(str, found)))


def _without(whole: Network, out: Sequence[Network]) -> list[Network]:
    """A network less others, as networks."""
    left = [whole]
    for hole in out:
        left = [piece for one in left for piece in _less(one, hole)]
    return left


def _less(one: Network, hole: Network) -> list[Network]:
    if one.version != hole.version or not one.overlaps(hole):
        return [one]
    if one.subnet_of(hole):  # type: ignore[arg-type]
        return []
    return sorted(one.address_exclude(hole))  # type: ignore[arg-type]


def report_rest(settings: Mapping[str, str], draft: Draft) -> None:
    """Everything that was written and has no counterpart."""
    known = {*_READ, *_NO_MATTER, *LIMITS, "delay_warning_time"}
    for name, value in settings.items():
        if name in known or not value:
            continue
        if name in ("smtpd_relay_restrictions", "smtpd_recipient_restrictions"):
            value = ", ".join(word for word in words(value) if word not in _SAME_HERE)
            if not value:
                continue
        shown = "(not shown)" if "password" in name else value
        if name == "smtp_sasl_password_maps":
            shown = "write auth: {user, password_file} at the connector of that host; it needs level verified or more"
        draft.differs(name, f"is not carried over: {shown}", weaker=_guards(name, value))


def _guards(name: str, value: str) -> bool:
    if not _GUARDS.fullmatch(name) or value in ("no", "0"):
        return False
    return not name.endswith("_restrictions") or any(word not in _ONLY_MORE for word in words(value))
