"""A partner's mail comes in only over the TLS and with the certificate that its contract names."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import BODY, Tls, client, has_ipv6, send
from tests.support.contoso import Company, contoso
from tests.support.patience import patient
from tests.support.pki import Authority, Issued, authority, cert_pin, make_key, self_signed
from tests.support.programs import needs

FABRIKAM = Authority("Fabrikam Root")
NAME = "mail.fabrikam.example"
GOOD = FABRIKAM.intermediate("Fabrikam Mail CA").issue(dns_names=[NAME])
LATER = FABRIKAM.issue(dns_names=[NAME])  # what the partner will use one day
SERVER_ONLY = FABRIKAM.issue(dns_names=[NAME], eku=["serverAuth"])
NORTHWIND = FABRIKAM.issue(dns_names=["mail.northwind.example"])  # another partner of the same authority

NUMBER = count()  # tells senders apart in the log

CONNECTORS = f"""
fabrikam:
  domains: [fabrikam.example]
  inbound: {{tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem}}}}}}
northwind:
  domains: [northwind.example]
  inbound: {{tls: {{client_certificate: {{names: [mail.northwind.example], ca: fabrikam-ca.pem}}}}}}
modern:
  domains: [modern.example]
  inbound: {{identity: none, tls: {{min_version: "1.3"}}}}
forced:
  domains: [forced.example]
  inbound: {{identity: none, tls: required}}
pinned-key:
  domains: [key.example]
  inbound: {{tls: {{client_certificate: {{pins: ["{GOOD.spki_pin}", "{LATER.spki_pin}"]}}}}}}
pinned-certificate:
  domains: [certificate.example]
  inbound: {{tls: {{client_certificate: {{pins: ["{cert_pin(GOOD.certificate)}"]}}}}}}
client-usage:
  domains: [usage.example]
  inbound: {{tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem, eku: client}}}}}}
both:
  domains: [both.example]
  inbound:
    networks: [127.0.0.2/32]
    tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem}}}}
either:
  domains: [either.example]
  inbound:
    combine: any
    networks: [127.0.0.2/32]
    tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem}}}}
sixth:
  domains: [sixth.example]
  inbound: {{networks: ["::1/128"]}}
watched:
  mode: audit
  domains: [watched.example]
  inbound: {{tls: {{client_certificate: {{names: [mail.watched.example], ca: fabrikam-ca.pem}}}}}}
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("contoso")
    FABRIKAM.write(folder / "fabrikam-ca.pem")
    listen = {"implicit": "tls: implicit"} | ({"ipv6": "tls: starttls"} if has_ipv6() else {})
    with contoso(folder, CONNECTORS, listen=listen) as running:
        yield running


def refused(company: Company, sender: str, tls: Tls | None, **how: Any) -> tuple[str, list[str]]:
    """The reply at MAIL FROM and the words of the reasons in the log."""
    sender = f"{next(NUMBER)}.{sender}"
    sent = send(company.port, sender, ["bob@contoso.example"], tls=tls, **how)
    assert sent.mail[0] != "2", "it should have been refused at the first command that names the partner"
    line = company.relay.wait_for("mail.refused", sender=sender)
    assert line["stage"] == "MAIL"
    assert line["reply"] == sent.mail
    return sent.mail, [reason.split(":")[0] for reason in line["reasons"]]


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_the_partners_own_certificate_opens_the_door(company: Company, implicit: bool, maximum: ssl.TLSVersion) -> None:
    port = company.ports["implicit"] if implicit else company.port
    tls = Tls(GOOD, implicit=implicit, maximum=maximum)
    sent = send(port, "alice@fabrikam.example", ["bob@contoso.example"], tls=tls)
    assert sent.accepted
    accepted = company.trace(sent.id)["accepted"]
    assert (accepted["connector"], accepted["mode"]) == ("fabrikam", "enforce")
    assert accepted["tls"]["version"] == maximum.name[4:].replace("_", ".").removeprefix("v")
    assert accepted["tls"]["chain"][0]["names"] == [NAME]


@pytest.mark.parametrize(
    ("shown", "text", "words"),
    [
        pytest.param(
            None,
            "550 5.7.1 fabrikam.example requires a client certificate of that organisation",
            ["no-certificate"],
            id="none",
        ),
        pytest.param(
            FABRIKAM.issue(dns_names=["mail.evil.example"]),
            "550 5.7.1 the client certificate does not name a host of fabrikam.example",
            ["certificate-name"],
            id="a name that was not agreed",
        ),
        pytest.param(
            NORTHWIND,
            "550 5.7.1 the client certificate does not name a host of fabrikam.example",
            ["certificate-name"],
            id="another partner of the same authority",
        ),
        pytest.param(
            authority("Someone Else").issue(dns_names=[NAME]),
            "550 5.7.1 the client certificate is not issued by an authority accepted for fabrikam.example",
            ["certificate-untrusted"],
            id="another authority",
        ),
        pytest.param(
            self_signed(dns_names=[NAME]),
            "550 5.7.1 the client certificate is not issued by an authority accepted for fabrikam.example",
            ["certificate-untrusted"],
            id="self-signed",
        ),
        pytest.param(
            FABRIKAM.issue_expired(dns_names=[NAME]),
            "550 5.7.1 the client certificate presented for fabrikam.example has expired",
            ["certificate-expired"],
            id="expired",
        ),
        pytest.param(
            FABRIKAM.issue_early(dns_names=[NAME]),
            "550 5.7.1 the client certificate presented for fabrikam.example is not valid yet",
            ["certificate-not-yet-valid"],
            id="not valid yet",
        ),
        pytest.param(
            authority("Someone Else").issue_expired(dns_names=["mail.evil.example"]),
            "550 5.7.1 the client certificate presented for fabrikam.example has expired",
            ["certificate-expired", "certificate-untrusted", "certificate-name"],
            id="nothing about it is right",
        ),
    ],
)
def test_any_other_certificate_is_refused_with_what_is_wrong(
    company: Company, shown: Issued | None, text: str, words: list[str]
) -> None:
    assert refused(company, "alice@fabrikam.example", Tls(shown)) == (text, words)


def test_a_forgotten_intermediate_is_told_by_where_the_chain_ends(company: Company) -> None:
    alone = Issued(GOOD.certificate, GOOD.key)
    assert refused(company, "alice@fabrikam.example", Tls(alone))[1] == ["certificate-untrusted"]
    [reason] = company.refusals()[-1]["reasons"]
    assert "fabrikam-ca.pem (it ends at issuer CN=Fabrikam Mail CA)" in reason


def test_strangers_with_odd_certificates_are_served_where_nobody_asks_who_they_are(company: Company) -> None:
    odd = (self_signed(dns_names=["x"]), FABRIKAM.issue_expired(dns_names=["y"]), SERVER_ONLY)
    for shown in odd:
        assert send(company.port, "who@stranger.example", ["bob@contoso.example"], tls=Tls(shown)).accepted


def test_one_connection_may_be_right_for_one_partner_and_wrong_for_another(company: Company) -> None:
    with client(company.port, tls=Tls(NORTHWIND)) as session:
        assert session.send("a@fabrikam.example", ["bob@contoso.example"]).mail.startswith("550 5.7.1")
        assert session.send("a@northwind.example", ["bob@contoso.example"]).accepted
        assert session.send("a@stranger.example", ["bob@contoso.example"]).accepted


def test_in_clear_the_client_is_told_to_start_tls_and_may_then_go_on(company: Company) -> None:
    reply, words = refused(company, "alice@fabrikam.example", None)
    assert (reply, words[0]) == ("530 5.7.0 Must issue a STARTTLS command first", "no-tls")
    with client(company.port) as session:
        assert session.say("MAIL FROM:<alice@fabrikam.example>").startswith("530 5.7.0")
        session.smtp.starttls(context=Tls(GOOD).context())
        session.smtp.ehlo()
        assert session.send("alice@fabrikam.example", ["bob@contoso.example"]).accepted


def test_forced_tls_without_identity_asks_for_tls_alone(company: Company) -> None:
    assert refused(company, "a@forced.example", None)[0].startswith("530 5.7.0 ")
    assert send(company.port, "a@forced.example", ["bob@contoso.example"], tls=Tls()).accepted


def test_tls_older_than_agreed_is_refused(company: Company) -> None:
    old = refused(company, "a@modern.example", Tls(maximum=ssl.TLSVersion.TLSv1_2))
    assert old == ("550 5.7.10 mail from modern.example requires a newer version of TLS", ["tls-version"])
    assert send(company.port, "a@modern.example", ["bob@contoso.example"], tls=Tls()).accepted


def test_a_pinned_key_survives_a_new_certificate_and_two_pins_a_new_key(company: Company) -> None:
    renewed = FABRIKAM.issue(dns_names=["other.example"], key=GOOD.key)
    unvouched = self_signed(dns_names=["any.example"], key=GOOD.key)
    for shown in (GOOD, LATER, renewed, unvouched):
        assert send(company.port, "a@key.example", ["bob@contoso.example"], tls=Tls(shown)).accepted
    foreign = FABRIKAM.issue(dns_names=[NAME], key=make_key())
    text = "550 5.7.1 the client certificate is not the one agreed with key.example"
    assert refused(company, "a@key.example", Tls(foreign)) == (text, ["certificate-pin"])


def test_a_pinned_certificate_is_that_certificate_alone(company: Company) -> None:
    assert send(company.port, "a@certificate.example", ["bob@contoso.example"], tls=Tls(GOOD)).accepted
    renewed = FABRIKAM.issue(dns_names=[NAME], key=GOOD.key)
    assert refused(company, "a@certificate.example", Tls(renewed))[1] == ["certificate-pin"]


def test_a_pin_does_not_excuse_an_expired_certificate(company: Company) -> None:
    expired = FABRIKAM.issue_expired(dns_names=[NAME], key=GOOD.key)
    assert refused(company, "a@key.example", Tls(expired))[1] == ["certificate-expired"]


def test_a_servers_certificate_is_enough_unless_the_contract_says_client(company: Company) -> None:
    assert send(company.port, "a@fabrikam.example", ["bob@contoso.example"], tls=Tls(SERVER_ONLY)).accepted
    assert refused(company, "a@usage.example", Tls(SERVER_ONLY))[1] == ["certificate-eku"]
    assert send(company.port, "a@usage.example", ["bob@contoso.example"], tls=Tls(GOOD)).accepted


@pytest.mark.parametrize(
    ("partner", "shown", "source", "words"),
    [
        ("both", GOOD, "127.0.0.2", []),
        ("both", GOOD, "127.0.0.1", ["network"]),
        ("both", None, "127.0.0.2", ["no-certificate"]),
        ("both", None, "127.0.0.1", ["no-certificate", "network"]),
        ("either", GOOD, "127.0.0.2", []),
        ("either", GOOD, "127.0.0.1", []),
        ("either", None, "127.0.0.2", []),
        ("either", None, "127.0.0.1", ["no-certificate", "network"]),
        ("either", NORTHWIND, "127.0.0.1", ["certificate-name", "network"]),
    ],
)
def test_network_and_certificate_together_or_one_of_them(
    company: Company, partner: str, shown: Issued | None, source: str, words: list[str]
) -> None:
    sender = f"a@{partner}.example"
    if words:
        assert refused(company, sender, Tls(shown), source=source)[1] == words
    else:
        assert send(company.port, sender, ["bob@contoso.example"], tls=Tls(shown), source=source).accepted


def test_the_right_network_does_not_excuse_from_tls(company: Company) -> None:
    reply, words = refused(company, "a@either.example", None, source="127.0.0.2")
    assert (reply[:9], words) == ("530 5.7.0", ["no-tls"])


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_a_partner_may_come_by_ipv6(company: Company) -> None:
    v6 = company.ports["ipv6"]
    assert send(v6, "a@sixth.example", ["bob@contoso.example"], host="::1").accepted
    assert send(v6, "a@fabrikam.example", ["bob@contoso.example"], host="::1", tls=Tls(GOOD)).accepted
    assert refused(company, "a@sixth.example", None)[1] == ["network"]


def test_an_audit_lets_everything_pass_and_tells_what_it_would_have_done(company: Company) -> None:
    sent = send(company.port, "a@watched.example", ["bob@contoso.example"], tls=Tls(GOOD))
    assert sent.accepted
    line = company.relay.wait_for("mail.would-refuse", message=sent.id)
    assert (line["connector"], line["decision"]) == ("watched", "refuse")
    assert line["reply"] == "550 5.7.1 the client certificate does not name a host of watched.example"
    assert [reason.split(":")[0] for reason in line["reasons"]] == ["certificate-name"]
    accepted = company.trace(sent.id)["accepted"]
    assert accepted["mode"] == "audit"
    assert accepted["would"] == {key: line[key] for key in ("decision", "reply", "reasons")}
    told = company.relay.command("trace", sent.id).stdout
    assert "audit: nothing is enforced" in told
    assert "enforced, it would have been: refuse" in told


def test_an_audit_of_mail_that_fits_has_nothing_to_tell(company: Company) -> None:
    good = FABRIKAM.issue(dns_names=["mail.watched.example"])
    sent = send(company.port, "a@watched.example", ["bob@contoso.example"], tls=Tls(good))
    company.relay.wait_for("message.accepted", message=sent.id)
    assert company.relay.seen("mail.would-refuse", message=sent.id) == []
    assert company.trace(sent.id)["accepted"]["would"]["decision"] == "accept"


def test_what_was_let_in_arrives(company: Company) -> None:
    sent = send(company.port, "arrives@fabrikam.example", ["bob@contoso.example"], tls=Tls(GOOD))
    company.relay.wait_for("delivery.delivered", message=sent.id)
    [message] = [one for one in company.mailboxes.messages if one.sender == "arrives@fabrikam.example"]
    assert message.data.endswith(BODY)
    assert message.recipients == ("bob@contoso.example",)


# --- the same with other people's programs -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("partner")
    return {
        "good": GOOD.write(folder, "good"),
        "later": LATER.write(folder, "later"),
        "northwind": NORTHWIND.write(folder, "northwind"),
    }


@pytest.mark.peer
@needs("swaks")
@pytest.mark.parametrize("way", ["--tls", "--tls-on-connect"])
@pytest.mark.parametrize(
    ("which", "expect"), [("later", "250 2.0.0 Queued as"), ("northwind", "550 5.7.1 "), ("", "550")]
)
def test_swaks_with_and_without_the_certificate(
    company: Company, files: dict[str, tuple[Path, Path]], way: str, which: str, expect: str
) -> None:
    port = company.port if way == "--tls" else company.ports["implicit"]
    shown = ["--tls-cert", str(files[which][0]), "--tls-key", str(files[which][1])] if which else []
    envelope = ["--from", "a@fabrikam.example", "--to", "bob@contoso.example"]
    command = ["swaks", "--server", "127.0.0.1", "--port", str(port), way, *shown, *envelope]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(30))
    assert expect in done.stdout, done.stdout + done.stderr
    assert (done.returncode == 0) == (which == "later")


@pytest.mark.peer
@needs("openssl")
@pytest.mark.parametrize("way", ["starttls", "implicit"])
@pytest.mark.parametrize(("which", "expect"), [("good", "250 2.1.0"), ("northwind", "550 5.7.1"), ("", "550 5.7.1")])
def test_openssl_s_client_with_and_without_the_certificate(
    company: Company, files: dict[str, tuple[Path, Path]], way: str, which: str, expect: str
) -> None:
    port = company.port if way == "starttls" else company.ports["implicit"]
    shown = ["-cert", str(files[which][0]), "-cert_chain", str(files[which][0])] if which else []
    shown += ["-key", str(files[which][1])] if which else []
    more = ["-starttls", "smtp"] if way == "starttls" else []
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-crlf", *more, *shown]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as typing:
        if way == "implicit":
            assert reply_to(typing, "").startswith("220 ")
        assert reply_to(typing, "EHLO client.example").startswith("250 ")
        assert reply_to(typing, "MAIL FROM:<a@fabrikam.example>").startswith(expect)
        assert reply_to(typing, "QUIT").startswith("221 2.0.0")


def reply_to(typing: subprocess.Popen[bytes], line: str) -> str:
    """Type a line, as a person who waits for the answer; its last line."""
    assert typing.stdin is not None
    assert typing.stdout is not None
    if line:
        typing.stdin.write(line.encode() + b"\n")
        typing.stdin.flush()
    while (heard := typing.stdout.readline().decode())[3:4] == "-":
        pass
    return heard
