"""A partner that runs Postfix sends us mail under the contract, and reads in its own log what we think of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.contoso import Company, contoso
from tests.support.pki import Authority, Issued
from tests.support.postfix import Postfix, postfix
from tests.support.programs import needs
from tests.support.running_mta import until

pytestmark = [pytest.mark.peer, needs("postfix", root=True)]

FABRIKAM = Authority("Fabrikam Root")
NAME = "mail.fabrikam.example"
GOOD = FABRIKAM.intermediate("Fabrikam Mail CA").issue(dns_names=[NAME])
CONNECTORS = f"""
fabrikam:
  domains: [fabrikam.example]
  inbound: {{tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem}}}}}}
modern:
  domains: [modern.example]
  inbound: {{identity: none, tls: {{min_version: "1.3"}}}}
"""
PLAIN = b"From: alice@fabrikam.example\r\nSubject: from Postfix\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder: Path = tmp_path_factory.mktemp("contoso")
    FABRIKAM.write(folder / "fabrikam-ca.pem")
    with contoso(folder, CONNECTORS, listen={"implicit": "tls: implicit"}) as running:
        yield running


@contextlib.contextmanager
def partner(company: Company, folder: Path, shown: Issued | None = None, **settings: Any) -> Iterator[Postfix]:
    """The partner's Postfix: everything goes to us, by TLS with this certificate; what bounces lands in its mailbox."""
    if shown:
        chain, key = shown.write(folder, "partner")
        settings["smtp_tls_chain_files"] = f"{key}, {chain}"
    usual = {
        "myhostname": NAME,
        "relayhost": f"[127.0.0.1]:{company.port}",
        "smtp_tls_security_level": "encrypt",
        "transport_maps": "inline:{{fabrikam.example=virtual:}}",
    }
    with postfix({**usual, **settings}, domains=["fabrikam.example"]) as running:
        yield running


@pytest.fixture(scope="module")
def good(company: Company, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postfix]:
    with partner(company, tmp_path_factory.mktemp("partner"), GOOD) as running:
        yield running


def arrived(company: Company, recipient: str) -> Any:
    """The message for this recipient at the mailbox host."""
    return until(
        lambda: next((one for one in company.mailboxes.messages if recipient in one.recipients), None),
        describe=f"mail for {recipient}; the relay says:\n{company.relay.story()}",
    )


def test_mail_of_the_partner_arrives_under_its_contract(company: Company, good: Postfix) -> None:
    good.send("alice@fabrikam.example", ["first@contoso.example"], PLAIN)
    id_ = good.wait_for_log(r"to=<first@contoso.example>.*status=sent \(250 2\.0\.0 Queued as (\S+)\)")[1]
    accepted = company.trace(id_)["accepted"]
    assert (accepted["connector"], accepted["helo"]) == ("fabrikam", NAME)
    assert accepted["tls"]["version"] == "1.3"
    assert accepted["tls"]["chain"][0]["names"] == [NAME]
    message = arrived(company, "first@contoso.example")
    assert message.sender == "alice@fabrikam.example"
    assert b"From: alice@fabrikam.example\r\nSubject: from Postfix\r\n" in message.data
    assert message.data.endswith(b"\r\n\r\nhello\r\n")
    received = [line for line in message.data.split(b"\r\n") if line.startswith(b"Received: ")]
    assert len(received) == 2, "Postfix's stamp and ours"


def test_a_message_for_many_arrives_in_one_transaction(company: Company, good: Postfix) -> None:
    to = [f"many{number}@contoso.example" for number in range(40)]
    good.send("alice@fabrikam.example", to, PLAIN)
    assert sorted(arrived(company, to[0]).recipients) == sorted(to)
    logged = re.compile(r"to=<many\d+@contoso\.example>.*Queued as (\S+)\)")
    until(lambda: len(logged.findall(good.log())) == len(to), describe="Postfix logs every recipient")
    assert len(set(logged.findall(good.log()))) == 1


def test_eight_bit_mail_arrives_as_it_is(company: Company, good: Postfix) -> None:
    body = "Grüße aus Köln, 日本語".encode()
    data = b"From: alice@fabrikam.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    data += b"Content-Transfer-Encoding: 8bit\r\n\r\n" + body + b"\r\n"
    good.send("alice@fabrikam.example", ["eight@contoso.example"], data, mail=["BODY=8BITMIME"])
    message = arrived(company, "eight@contoso.example")
    assert message.data.endswith(b"\r\n\r\n" + body + b"\r\n")
    assert "BODY=8BITMIME" in message.mail


def test_addresses_in_any_script_arrive(company: Company, good: Postfix) -> None:
    data = "From: Ålice <ålice@fabrikam.example>\r\nSubject: Grüße\r\n\r\nhej\r\n".encode()
    good.send("ålice@fabrikam.example", ["björn@contoso.example"], data, mail=["SMTPUTF8"])
    message = arrived(company, "björn@contoso.example")
    assert message.sender == "ålice@fabrikam.example"
    assert "SMTPUTF8" in message.mail
    assert "Subject: Grüße\r\n".encode() in message.data


def test_delivery_status_wishes_travel_along(company: Company, good: Postfix) -> None:
    good.send(
        "alice@fabrikam.example",
        ["dsn@contoso.example"],
        PLAIN,
        mail=["RET=HDRS", "ENVID=order+2B1"],
        rcpt=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;dsn@contoso.example"],
    )
    message = arrived(company, "dsn@contoso.example")
    assert {"RET=HDRS", "ENVID=order+2B1"} <= set(message.mail.split())
    assert {"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;dsn@contoso.example"} <= set(message.rcpts[0].split())


def test_a_large_message_arrives_whole(company: Company, good: Postfix) -> None:
    line = b"0123456789" * 7 + b"\r\n"
    data = PLAIN + line * 20_000 + b".a line that begins with a dot\r\n"
    good.send("alice@fabrikam.example", ["large@contoso.example"], data)
    message = arrived(company, "large@contoso.example")
    assert message.data.endswith(line * 20_000 + b".a line that begins with a dot\r\n")


def test_another_senders_mail_of_the_same_host_goes_by_its_own_rules(company: Company, good: Postfix) -> None:
    good.send("someone@stranger.example", ["other@contoso.example"], b"From: x@stranger.example\r\n\r\nhi\r\n")
    assert arrived(company, "other@contoso.example").sender == "someone@stranger.example"
    good.send("someone@stranger.example", ["x@elsewhere.example"], b"From: x@stranger.example\r\n\r\nhi\r\n")
    good.wait_for_log(r"to=<x@elsewhere\.example>.*status=bounced .*550 5\.7\.1 Relaying denied")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (
            FABRIKAM.issue(dns_names=["mail.evil.example"]),
            "550 5.7.1 the client certificate does not name a host of fabrikam.example",
        ),
        (FABRIKAM.issue_expired(dns_names=[NAME]), "550 5.7.1 the client certificate presented for"),
        (None, "550 5.7.1 fabrikam.example requires a client certificate of that organisation"),
    ],
    ids=["wrong name", "expired", "none"],
)
def test_the_wrong_certificate_makes_postfix_bounce_with_our_words(
    company: Company, tmp_path: Path, shown: Issued | None, text: str
) -> None:
    with partner(company, tmp_path, shown) as sender:
        sender.send("alice@fabrikam.example", ["bounced@contoso.example"], PLAIN)
        found = sender.wait_for_log(r"to=<bounced@contoso\.example>.*dsn=5\.7\.1, status=bounced \((.*)\)")
        assert text in found[1]
        assert "in reply to MAIL FROM command" in found[1]
        [bounce] = sender.wait_for_mail(1)
        assert b"Status: 5.7.1" in bounce
        assert text.encode() in b" ".join(bounce.split())
        assert sender.queue() == []


def test_a_postfix_without_tls_is_told_what_is_missing(company: Company, tmp_path: Path) -> None:
    with partner(company, tmp_path, GOOD, smtp_tls_security_level="none") as sender:
        sender.send("alice@fabrikam.example", ["clear@contoso.example"], PLAIN)
        found = sender.wait_for_log(r"to=<clear@contoso\.example>.*status=bounced \((.*)\)")
        assert "530 5.7.0 Must issue a STARTTLS command first" in found[1]


def test_postfix_with_old_tls_is_refused_where_new_is_agreed(company: Company, tmp_path: Path) -> None:
    with partner(company, tmp_path, GOOD, smtp_tls_mandatory_protocols="<=TLSv1.2") as sender:
        sender.send("alice@modern.example", ["old@contoso.example"], PLAIN.replace(b"fabrikam", b"modern"))
        sender.wait_for_log(r"status=bounced .*550 5\.7\.10 mail from modern\.example requires a newer version of TLS")


def test_postfix_speaks_tls_from_the_first_byte(company: Company, tmp_path: Path) -> None:
    implicit = {"relayhost": f"[127.0.0.1]:{company.ports['implicit']}", "smtp_tls_wrappermode": "yes"}
    with partner(company, tmp_path, GOOD, **implicit) as sender:
        sender.send("alice@fabrikam.example", ["wrapped@contoso.example"], PLAIN)
        assert arrived(company, "wrapped@contoso.example").sender == "alice@fabrikam.example"
