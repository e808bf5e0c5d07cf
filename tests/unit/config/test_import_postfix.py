"""Postfix's settings as contracts: the same meaning, and every difference said."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.draft import Draft, render
from mta.config.import_postfix import import_postfix
from mta.config.postfix_files import parse_main, parse_table
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
        ("secure match=nexthop", {"level": "verified", **UNCHECKED}, ""),
        ("secure match=mail.p.example", {"level": "verified", "names": ["mail.p.example"], **UNCHECKED}, ""),
        ("secure match=.p.example", {"level": "verified", "names": ["*.p.example"], **UNCHECKED}, "one label here"),
        ("secure match=nexthop:x.example", {"level": "verified", "names": ["x.example"], **UNCHECKED}, "`nexthop`"),
        ("verify", {"level": "verified", **UNCHECKED}, "unsigned DNS"),
        ("verify tafile=/nowhere.pem", {"level": "verified", **UNCHECKED}, "/nowhere.pem cannot be read"),
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
