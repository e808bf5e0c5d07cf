"""Postfix's settings as contracts: the same meaning, and every difference said."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mta.importers.draft import Draft, render
from mta.importers.postfix.convert import import_postfix
from mta.importers.postfix.files import parse_main, parse_table
from mta.importers.postfix.levels import least_version
from tests.unit.config.support import examined

OFF = {"dane": "off", "mta_sts": "off"}
UNCHECKED = {"revocation": "off", **OFF}
HEX = "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899"
COLONS = ":".join(HEX[i : i + 2].upper() for i in range(0, 64, 2))


def imported(main: str = "", policy: str = "", transport: str = "", **files: str) -> Draft:
    given_files = [("main.cf", main)] if main else []
    given_files += [(name, text) for name, text in (("tls_policy", policy), ("transport", transport)) if text]
    return import_postfix(given_files, lambda path: files.get(path.rpartition("/")[2].replace(".", "_")))


def usable(draft: Draft) -> dict[str, Any]:
    """The YAML, once `mta check` has found nothing in it."""
    text = render(draft, "made of a test")
    assert [str(problem) for problem in examined(text).problems] == [], text
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def told(draft: Draft, connector: str = "") -> str:
    return "\n".join(str(found) for found in draft.differences if found.connector == connector)


@pytest.mark.parametrize(
    ("policy", "tls", "difference"),
    [
        ("none", {"level": "none", **OFF}, ""),
        ("may", {"level": "opportunistic", **OFF}, ""),
        ("encrypt", {"level": "encrypted", **OFF}, ""),
        ("encrypt protocols=>=TLSv1.3", {"level": "encrypted", **OFF, "min_version": "1.3"}, ""),
        ("encrypt protocols=!SSLv2,!SSLv3,!TLSv1,!TLSv1.1", {"level": "encrypted", **OFF}, ""),
        ("encrypt protocols=!SSLv2:!SSLv3", {"level": "encrypted", **OFF}, "allows TLS 1.0"),
        ("encrypt ciphers=high exclude=aNULL", {"level": "encrypted", **OFF}, "ciphers are those of OpenSSL"),
        ("encrypt servername=x.example", {"level": "encrypted", **OFF}, "servername=x.example has no counterpart"),
        ("dane", {"level": "opportunistic", "dane": "opportunistic", "mta_sts": "off"}, ""),
        ("dane-only", {"level": "encrypted", "dane": "mandatory", "mta_sts": "off"}, ""),
        ("secure", {"level": "verified", **UNCHECKED}, ""),
        ("secure match=nexthop", {"level": "verified", "names": ["p.example"], **UNCHECKED}, ""),
        ("secure match=dot-nexthop", {"level": "verified", "names": ["*.p.example"], **UNCHECKED}, "one label here"),
        ("secure match=nexthop:dot-nexthop", {"level": "verified", **UNCHECKED}, ""),
        ("secure match=NextHop:DOT-nexthop", {"level": "verified", **UNCHECKED}, ""),
        (
            "secure match=x.example match=nexthop",
            {"level": "verified", "names": ["x.example", "p.example"], **UNCHECKED},
            "",
        ),
        ("secure match=a..b", {"level": "verified", **UNCHECKED}, "none of the names can be carried over"),
        ("encrypt match=p.example", {"level": "encrypted", **OFF}, "keeps mail back for it"),
        ("may nonsense", {"level": "opportunistic", **OFF}, "keeps mail back for it"),
        ("encrypt protocols=>=0304", {"level": "encrypted", **OFF, "min_version": "1.3"}, ""),
        ("secure match=mail.p.example", {"level": "verified", "names": ["mail.p.example"], **UNCHECKED}, ""),
        ("secure match=.p.example", {"level": "verified", "names": ["*.p.example"], **UNCHECKED}, "one label here"),
        ("secure match=nexthop:x.example", {"level": "verified", "names": ["x.example", "p.example"], **UNCHECKED}, ""),
        ("verify", {"level": "verified", **UNCHECKED}, "unsigned DNS"),
        ("fingerprint match=md5:aa", {"level": "verified", **UNCHECKED}, "no SHA-256 digest"),
        ("paranoid", {"level": "encrypted", **OFF}, "is not known"),
    ],
)
def test_a_policy_means_the_same_here(policy: str, tls: dict[str, Any], difference: str) -> None:
    draft = imported(policy=f"p.example {policy}\nother.example may\n")
    assert usable(draft)["connectors"]["p.example"] == {"domains": ["p.example"], "outbound": {"tls": tls}}
    assert difference in told(draft, "p.example")
    assert bool(difference) is bool(told(draft, "p.example"))


def test_a_fingerprint_is_that_of_the_certificate_or_of_its_key() -> None:
    found = usable(imported(policy=f"p.example fingerprint match={COLONS}"))["connectors"]["p.example"]
    pins = found["outbound"]["tls"]["pins"]
    assert pins == [f"cert-sha256:{HEX}", "spki-sha256:qrvM3e7/ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJk="]


def test_a_dot_in_front_means_the_subdomains() -> None:
    found = usable(imported(policy=".p.example encrypt\np.example may\n"))["connectors"]
    assert {name: keys["domains"] for name, keys in found.items()} == {
        "p.example": ["*.p.example"],
        "p.example-2": ["p.example"],
    }


MAIN = """
# the relay
myhostname = mail.contoso.example
mydomain = contoso.example
mynetworks = 127.0.0.0/8, [::1]/128
   10.1.0.0/16 /etc/postfix/more
relay_domains = $mydomain, branch.contoso.example
transport_maps = hash:/etc/postfix/transport
smtp_tls_policy_maps = lmdb:/etc/postfix/tls_policy
relayhost = [smtp.cloud.example]:587
smtp_tls_security_level = encrypt
smtpd_tls_security_level = may
smtp_sasl_password_maps = hash:/etc/postfix/sasl
message_size_limit = 10240000
maximal_queue_lifetime = 3
minimal_backoff_time = 300s
header_checks = regexp:/etc/postfix/header_checks
"""


def test_a_whole_main_cf() -> None:
    transport = "contoso.example smtp:[10.1.0.9]\nlists.example smtp:lists.example:2525\nlocal.example local:\n"
    policy = "[smtp.cloud.example]:587 verify\nlists.example encrypt\n"
    draft = imported(MAIN, transport=transport, tls_policy=policy)
    found = usable(draft)
    assert found["server"] == {
        "hostname": "mail.contoso.example",
        "limits": {"message_size": 10240000, "lifetime": "3d", "retry_min": "300s"},
    }
    assert found["domains"] == {"contoso.example": {"deliver_to": ["10.1.0.9:25"]}}
    assert found["connectors"]["internal"] == {
        "relay": True,
        "inbound": {"networks": ["127.0.0.0/8", "::1/128", "10.1.0.0/16"]},
    }
    assert found["connectors"]["lists.example"]["outbound"] == {
        "route": {"hosts": ["lists.example:2525"]},
        "tls": {"level": "encrypted", **OFF},
    }
    assert found["connectors"]["default"] == {
        "inbound": {"tls": "optional"},
        "outbound": {"route": {"hosts": ["smtp.cloud.example:587"]}, "tls": {"level": "verified", **UNCHECKED}},
    }
    assert "branch.contoso.example is ours, but which host takes its mail is not said" in told(draft)
    assert "header_checks: is not carried over" in told(draft)
    assert "smtp_sasl_password_maps: is not carried over: write auth:" in told(draft)
    assert "/etc/postfix/more is no network" in told(draft, "internal")
    assert "MX records of lists.example:2525" in told(draft, "lists.example")
    assert "`local:` is none of ours" in told(draft, "local.example")


def test_what_is_not_written_is_said() -> None:
    draft = imported("myhostname = localhost.localdomain\nsmtpd_tls_security_level = encrypt\n")
    found = usable(draft)
    assert found["connectors"]["default"]["outbound"]["tls"]["level"] == "none"
    assert found["connectors"]["default"]["inbound"] == {"tls": "required"}
    assert "speaks no TLS" in told(draft, "default")
    assert "who may send to anyone must be" in told(draft)


def test_an_entry_that_nobody_goes_by_and_tables_elsewhere_are_said() -> None:
    draft = imported("myhostname = a.example\nsmtp_tls_policy_maps = mysql:/etc/x\n", policy="[gone.example] secure\n")
    assert "[gone.example]: no domain goes there by transport" in told(draft)
    draft = imported("myhostname = a.example\nsmtp_tls_policy_maps = mysql:/etc/x\n")
    assert "mysql:/etc/x is no table in a file that is here" in told(draft)


def test_files_are_read_as_postfix_reads_them() -> None:
    assert parse_main("a = $b\n  and more\n# no\nb = ${c}x\nc=1\nd = $d\n")["a"] == "1x and more"
    assert parse_main("d = $d\n")["d"] == "$d"
    assert parse_table("# no\nA.Example  one\n  two\nb\n") == [("a.example", "one two"), ("b", "")]


WORDS = st.sampled_from(
    (
        "p.example .p.example [h.example]:25 secure verify may none dane-only fingerprint * smtp: match=nexthop:.x "
        f"match={COLONS} protocols=!TLSv1 = smtp:[h.example] myhostname ' {{ é :"
    ).split()
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), max_size=6).map("\n".join))
def test_whatever_stands_there_what_comes_out_can_be_used(text: str) -> None:
    usable(imported(policy=text or "#"))
    usable(imported(main=f"myhostname = mail.a.example\nrelayhost = {text[:20]!r}\n{text}"))


# --- never laxer without a word --------------------------------------------------------------------------------------


def weaker(draft: Draft, connector: str = "") -> str:
    return "\n".join(str(found) for found in draft.differences if found.weaker and found.connector == connector)


RANKS = {"none": 0, "opportunistic": 1, "encrypted": 2, "verified": 3, "pinned": 4}
LEVELS = {"none": 0, "may": 1, "encrypt": 2, "dane": 1, "dane-only": 3, "verify": 3, "secure": 3, "fingerprint": 4}
SHOWN = ("p.example", "a.p.example", "b.a.p.example", "mx.other.example", "x.example", "a.x.example", "b.a.x.example")


def strength(tls: dict[str, Any]) -> int:
    """Where DANE is mandatory, only who proves to be the host that signed DNS names gets the mail."""
    return max(RANKS[tls["level"]], 3 * (tls.get("dane") == "mandatory"))


def believed_by_postfix(level: str, match: list[str], name: str, domain: str) -> bool:
    """smtp_tls_secure_cert_match (postconf(5)). What unsigned DNS names as the host is anybody's choice."""
    words = match or (["hostname"] if level == "verify" else ["nexthop", "dot-nexthop"])
    for word in words:
        if word == "hostname" or (word == "nexthop" and name == domain):
            return True
        if word == "dot-nexthop" and name.endswith(f".{domain}"):
            return True
        if name.endswith(word) if word.startswith(".") else name == word:
            return True
    return False


def believed_here(tls: dict[str, Any], name: str, domain: str) -> bool:
    """Of `verified`: one of the names, else the domain or a name under it (policy/deliver.py)."""
    names = tls.get("names") or [domain, f".{domain}"]
    return any(
        (name.partition(".")[2] == one[2:])
        if one.startswith("*.")
        else (name.endswith(one) if one.startswith(".") else name == one)
        for one in names
    )


MATCHES = st.lists(
    st.sampled_from(["hostname", "nexthop", "dot-nexthop", "x.example", ".x.example", "bad..name"]), max_size=3
)


@settings(max_examples=150, deadline=None)
@example("secure", [], False, "p.example", "smtp:[hub.example]", "dane-only")  # Postfix asks for hub.example: dane-only
@given(
    level=st.sampled_from(sorted(LEVELS)),
    match=MATCHES,
    apart=st.booleans(),
    key=st.sampled_from(["p.example", ".p.example"]),
    transport=st.sampled_from(["", "smtp:", "smtp:[hub.example]", "error:no", "discard:", "lmtp:unix:x", "odd:y"]),
    usual=st.sampled_from(sorted(LEVELS.keys() - {"fingerprint"})),
)
def test_an_imported_contract_is_never_laxer_than_what_it_was_made_of(
    level: str, match: list[str], apart: bool, key: str, transport: str, usual: str
) -> None:
    attributes = (" " + " ".join(f"match={word}" for word in match) if apart else f" match={':'.join(match)}") * bool(
        match
    )
    draft = imported(
        f"myhostname = a.example\nmynetworks = 10.0.0.0/8\nsmtp_tls_security_level = {usual}\n",
        policy=f"{key} {level}{attributes}\nother.example encrypt\n",
        transport=f"{key} {transport}\n" if transport else "",
    )
    [outbound] = [
        keys["outbound"]
        for keys in usable(draft)["connectors"].values()
        if keys.get("domains") == [f"*{key}" if key[0] == "." else key]
    ]
    if weaker(draft, "p.example"):
        return  # a person has to say yes to it
    nowhere = outbound.get("route") == {"hosts": ["nobody.invalid:25"]}
    assert nowhere is (transport not in ("", "smtp:", "smtp:[hub.example]"))
    tls = outbound["tls"]
    assert strength(tls) >= LEVELS[level] or nowhere
    if tls["level"] == "verified" and level in ("verify", "secure") and "route" not in outbound:
        domain = "c.p.example" if key.startswith(".") else "p.example"
        for name in (*SHOWN, domain, f"guest.{domain}"):
            if believed_here(tls, name, domain):
                assert believed_by_postfix(level, match, name, domain), name


@pytest.mark.parametrize(
    ("main", "told_as"),
    [
        ("smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023", "check_policy_service"),
        ("smtpd_client_restrictions = reject_rbl_client zen.example", "reject_rbl_client"),
        ("smtpd_milters = inet:127.0.0.1:8891", "smtpd_milters"),
        ("header_checks = regexp:/etc/postfix/h", "header_checks"),
        ("smtpd_tls_req_ccert = yes", "smtpd_tls_req_ccert"),
        ("smtp_tls_policy_maps = mysql:/etc/x", "its entries are not carried over"),
        ("transport_maps = ldap:/etc/x", "its entries are not carried over"),
        ("smtp_tls_per_site = hash:/etc/x", "smtp_tls_per_site"),
        ("sender_dependent_relayhost_maps = hash:/etc/x", "sender_dependent_relayhost_maps"),
        ("smtp_tls_security_level = paranoid", ""),
    ],
)
def test_what_kept_something_out_and_is_dropped_is_weaker(main: str, told_as: str) -> None:
    draft = imported(f"myhostname = a.example\nmynetworks = 10.0.0.0/8\n{main}\n")
    usable(draft)
    assert told_as in weaker(draft) + weaker(draft, "default")
    assert weaker(draft) + weaker(draft, "default")


@pytest.mark.parametrize(
    "main",
    [
        "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination",
        "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
        "smtpd_tls_req_ccert = no",
        "message_size_limit = 1000000",
        "smtp_fallback_relay = [x.example]",
    ],
)
def test_what_kept_nobody_out_is_not_weaker(main: str) -> None:
    draft = imported(f"myhostname = a.example\nmynetworks = 10.0.0.0/8\nsmtp_tls_security_level = may\n{main}\n")
    assert [str(found) for found in draft.differences if found.weaker] == []


def test_an_exception_of_mynetworks_stays_one() -> None:
    """The first that matches counts: what comes before its exception is not taken out."""
    main = "myhostname = a.example\nmynetworks = !10.0.0.5, !10.0.0.128/25, 10.0.0.0/24, [::1]/128\n"
    networks = usable(imported(main))["connectors"]["internal"]["inbound"]["networks"]
    assert networks == [
        *("10.0.0.0/30", "10.0.0.4/32", "10.0.0.6/31", "10.0.0.8/29", "10.0.0.16/28", "10.0.0.32/27", "10.0.0.64/26"),
        "::1/128",
    ]
    main = "myhostname = a.example\nmynetworks = 10.0.0.0/24, !10.0.0.5\n"
    assert usable(imported(main))["connectors"]["internal"]["inbound"]["networks"] == ["10.0.0.0/24"]
    draft = imported("myhostname = a.example\nmynetworks = !/etc/postfix/out, 10.0.0.0/24\n")
    assert "not taken out" in weaker(draft, "internal")


@pytest.mark.parametrize("setting", ["mydestination", "virtual_mailbox_domains", "relay_domains"])
@pytest.mark.parametrize(
    "transport", ["lmtp:unix:private/dovecot", "lmtp:[10.0.0.2]:24", "virtual:", "smtp:[10.0.0.2]"]
)
def test_a_domain_of_ours_never_becomes_a_partner(setting: str, transport: str) -> None:
    draft = imported(
        f"myhostname = mx.own.example\nmynetworks = 10.0.0.0/8\n{setting} = own.example\n",
        transport=f"own.example {transport}\n",
        policy="own.example encrypt\n",
    )
    found = usable(draft)
    assert set(found["connectors"]) == {"internal", "default"}
    if transport.startswith("smtp"):
        assert found["domains"] == {"own.example": {"deliver_to": ["10.0.0.2:25"]}}
    else:
        assert "own.example is ours" in told(draft)


def test_a_file_of_authorities_that_is_not_here_is_demanded_all_the_same() -> None:
    draft = imported(policy="p.example verify tafile=/nowhere.pem tafile=/second.pem\n")
    assert draft.connectors["p.example"]["outbound"]["tls"]["ca"] == "/nowhere.pem"
    assert "/nowhere.pem cannot be read here" in told(draft, "p.example")
    assert "/second.pem is left out" in told(draft, "p.example")
    folder = imported("myhostname = a.example\nsmtp_tls_security_level = secure\nsmtp_tls_CApath = /etc/postfix/cas\n")
    assert "/etc/postfix/cas" in weaker(folder, "default")


def test_a_policy_that_names_several_fingerprints_keeps_them_all() -> None:
    other = HEX[::-1]
    for written in (f"match={HEX} match={other}", f"match={HEX}|{other}"):
        pins = imported(policy=f"p.example fingerprint {written}").connectors["p.example"]["outbound"]["tls"]["pins"]
        assert [one for one in pins if one.startswith("cert")] == [f"cert-sha256:{HEX}", f"cert-sha256:{other}"]
    draft = imported(
        "myhostname = a.example\nsmtp_tls_fingerprint_digest = sha3-256\n", policy=f"p.example fingerprint match={HEX}"
    )
    assert "no fingerprint could be carried over" in weaker(draft, "p.example")


def test_mail_goes_where_postfix_sends_it_and_under_that_policy() -> None:
    draft = imported(
        "myhostname = a.example\nmynetworks = 10.0.0.0/8\nrelayhost = [out.example]:587\n",
        transport="* smtp:[hub.example]\n.p.example smtp:[in.example]\n",
        policy="a.p.example encrypt\nq.example encrypt\n[in.example] secure\n[hub.example] verify match=hub.example\n",
    )
    found = usable(draft)["connectors"]
    routes = {name: keys["outbound"]["route"]["hosts"] for name, keys in found.items() if "outbound" in keys}
    assert routes == {
        "a.p.example": ["in.example:25"],
        "q.example": ["hub.example:25"],
        "p.example": ["in.example:25"],
        "default": ["hub.example:25"],
    }
    assert found["a.p.example"]["outbound"]["tls"]["level"] == "verified"
    assert found["q.example"]["outbound"]["tls"]["names"] == ["hub.example"]


@pytest.mark.parametrize(
    ("stated", "least"),
    [
        (">=TLSv1.2", "1.2"),
        (">=0303", "1.2"),
        ("!SSLv2, !SSLv3", "1.0"),
        ("!SSLv2:!TLSv1:!TLSv1.1:!TLSv1.2", "1.3"),
        ("TLSv1.3", "1.3"),
        (">=TLSv9", ""),
        ("nonsense", ""),
    ],
)
def test_the_oldest_version(stated: str, least: str) -> None:
    assert least_version(stated) == least


def test_the_first_entry_of_a_key_counts() -> None:
    draft = imported(policy="p.example secure\np.example may\n", transport="p.example error:no\np.example :\n")
    outbound = usable(draft)["connectors"]["p.example"]["outbound"]
    assert (outbound["tls"]["level"], outbound["route"]) == ("verified", {"hosts": ["nobody.invalid:25"]})
    assert "`may` does not" in told(draft)


def test_with_a_validating_resolver_signed_mx_names_are_told() -> None:
    main = "myhostname = a.example\nmynetworks = 10.0.0.0/8\nsmtp_tls_security_level = dane\n"
    draft = imported(main, policy="p.example secure\nq.example secure match=q.example\n")
    usable(draft)
    assert "signed DNS" in told(draft, "p.example")
    assert "signed DNS" not in told(draft, "q.example")
