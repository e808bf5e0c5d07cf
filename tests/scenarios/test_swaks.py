"""The tool that every postmaster reaches for, in each of its ways of speaking, and what it cannot say by hand."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import count
from typing import Any

import pytest

from tests.support.client import Tls, client
from tests.support.contoso import Company, contoso
from tests.support.patience import patient
from tests.support.programs import needs
from tests.support.running_mta import until

NUMBER = count()
CONNECTORS = """
gateway:
  relay: true
  inbound: {networks: [203.0.113.0/24, "2001:db8::/32"]}
fabrikam:
  domains: [fabrikam.example]
  inbound: {networks: [198.51.100.7/32]}
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    listen = {
        "implicit": "tls: implicit",
        "balanced": "proxy: [127.0.0.1/32]",
        "balanced-implicit": "tls: implicit, proxy: [127.0.0.1/32]",
    }
    with contoso(tmp_path_factory.mktemp("contoso"), CONNECTORS, listen=listen) as running:
        yield running


def swaks(port: int, *words: str, sender: str = "a@stranger.example", to: str = "") -> subprocess.CompletedProcess[str]:
    envelope = ["--from", sender, "--to", to or recipient()]
    command = ["swaks", "--server", "127.0.0.1", "--port", str(port), *envelope, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=patient(30))


def recipient() -> str:
    """One that no other test uses."""
    return f"b{next(NUMBER)}@contoso.example"


def arrived(company: Company, to: str) -> Any:
    return until(
        lambda: next((one for one in company.mailboxes.messages if to in one.recipients), None),
        describe=f"mail for {to}; the relay says:\n{company.relay.story()}",
    )


def stamp(data: bytes) -> str:
    """The relay's Received field, in one line."""
    field = data[: data.index(b"\r\n", data.index(b";"))]
    return " ".join(field.decode().split())


@pytest.mark.peer
@needs("swaks")
@pytest.mark.parametrize(
    ("listener", "words", "protocol"),
    [
        ("plain", ["--protocol", "SMTP"], "SMTP"),
        ("plain", ["--protocol", "ESMTP"], "ESMTP"),
        ("plain", ["--protocol", "ESMTPS"], "ESMTPS"),
        ("plain", ["--tls-optional"], "ESMTPS"),
        ("plain", ["--pipeline"], "ESMTP"),
        ("plain", ["--tls", "--pipeline"], "ESMTPS"),
        ("plain", ["--tls", "--tls-protocol", "tlsv1_2"], "ESMTPS"),
        ("plain", ["--tls", "--tls-protocol", "tlsv1_3"], "ESMTPS"),
        ("implicit", ["--protocol", "SSMTP"], "ESMTPS"),
        ("implicit", ["--tls-on-connect", "--pipeline"], "ESMTPS"),
        ("implicit", ["--protocol", "SMTPS"], "SMTP"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_swaks_in_all_its_ways(company: Company, listener: str, words: list[str], protocol: str) -> None:
    to = recipient()
    done = swaks(company.ports.get(listener, company.port), *words, to=to)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "250 2.0.0 Queued as " in done.stdout
    assert f" with {protocol} " in stamp(arrived(company, to).data)
    assert ("version=TLSv1." in stamp(arrived(company, to).data)) == ("TLS started" in done.stdout)


@pytest.mark.peer
@needs("swaks")
@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (["--auth", "LOGIN", "--auth-user", "u", "--auth-password", "p"], "Host did not advertise authentication"),
        (["--protocol", "LMTP"], "500 5.5.1 Command not recognized"),
        (["--helo", "no host"], "501 5.5.4"),
    ],
)
def test_what_is_not_offered_is_refused_in_order(company: Company, words: list[str], reply: str) -> None:
    done = swaks(company.port, *words)
    assert done.returncode != 0
    assert reply in done.stdout + done.stderr


@pytest.mark.peer
@needs("swaks")
def test_a_body_with_dots_and_an_attachment_arrives(company: Company) -> None:
    to = recipient()
    done = swaks(company.port, "--body", r".\n..\n...\n.", "--attach", "some text", to=to)
    assert done.returncode == 0, done.stdout
    data = arrived(company, to).data
    assert b"\r\n.\r\n..\r\n...\r\n.\r\n" in data
    assert b"some text" in data or b"c29tZSB0ZXh0" in data


def test_mail_in_chunks_arrives_as_it_was(company: Company) -> None:
    """BDAT, which no tool at hand speaks: in chunks that end anywhere, and one that is refused in between."""
    to, body = (
        recipient(),
        b"From: a@stranger.example\r\nSubject: chunks\r\n\r\n.\r\nQUIT\r\n..\r\n" + b"line\r\n" * 60_000,
    )
    with client(company.port) as session:
        offers = session.say("EHLO client.example")
        assert "CHUNKING" in offers
        assert "LIMITS RCPTMAX=1000" in offers
        assert session.chunk(b"MAIL FROM:<evil@fabrikam.example>\r\n").startswith("503 ")
        session.say("MAIL FROM:<a@stranger.example>")
        session.say(f"RCPT TO:<{to}>")
        for place in range(0, len(body), 100_003):
            reply = session.chunk(body[place : place + 100_003], last=place + 100_003 >= len(body))
            assert reply.startswith("250 2.0.0 "), reply
    assert arrived(company, to).data.endswith(b"\r\n\r\n" + body.partition(b"\r\n\r\n")[2])


PROXY = ["--proxy-version", "2", "--proxy-source-port", "4711", "--proxy-dest-port", "25"]


@pytest.mark.peer
@needs("swaks")
@pytest.mark.parametrize(
    ("family", "source", "destination", "to", "reply"),
    [
        ("AF_INET", "203.0.113.9", "192.0.2.1", "x@elsewhere.example", "250 2.0.0 Queued"),
        ("AF_INET6", "2001:db8::9", "2001:db8::1", "x@elsewhere.example", "250 2.0.0 Queued"),
        ("AF_INET", "192.0.2.9", "192.0.2.1", "x@elsewhere.example", "550 5.7.1 Relaying denied"),
        ("AF_INET", "192.0.2.9", "192.0.2.1", "", "250 2.0.0 Queued"),
    ],
)
@pytest.mark.parametrize("listener", ["balanced", "balanced-implicit"])
def test_behind_a_balancer_the_client_is_who_the_balancer_says(
    company: Company, listener: str, family: str, source: str, destination: str, to: str, reply: str
) -> None:
    addresses = ["--proxy-family", family, "--proxy-source", source, "--proxy-dest", destination]
    tls = ["--tls-on-connect"] if listener == "balanced-implicit" else ["--tls"]
    done = swaks(company.ports[listener], *PROXY, *addresses, *tls, to=to)
    assert reply in done.stdout, done.stdout + done.stderr


def proxied(source: str, *, command: int = 0x21) -> bytes:
    """A PROXY version 2 header for a client at `source`."""
    address = ip_address(source)
    there = ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    block = address.packed + there.packed + struct.pack("!HH", 4711, 25)
    family = 0x11 if address.version == 4 else 0x21
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, family, len(block)) + block


def conversation(port: int, opening: bytes, *lines: str, source: str = "127.0.0.1") -> list[str]:
    """What is answered to these lines after `opening`; the greeting first, "" where the connection has ended."""
    replies = []
    with socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0)) as sock:
        sock.sendall(opening)
        stream = sock.makefile("rwb")
        for line in ("", *lines):
            if line:
                stream.write(line.encode() + b"\r\n")
                stream.flush()
            try:
                while (heard := stream.readline())[3:4] == b"-":
                    pass
            except ConnectionResetError:
                heard = b""
            replies.append(heard.decode().rstrip())
            if not heard:
                break
    return replies


MAIL = ("EHLO client.example", "MAIL FROM:<a@fabrikam.example>")


@pytest.mark.parametrize("source", ["198.51.100.7", "::ffff:198.51.100.7"])
def test_a_partner_behind_a_balancer_is_known_by_its_address_mapped_or_not(company: Company, source: str) -> None:
    greeting, _, mail = conversation(company.ports["balanced"], proxied(source), *MAIL)
    assert greeting.startswith("220 ")
    assert mail == "250 2.1.0 Sender ok"


def test_another_address_behind_the_balancer_is_not_the_partner(company: Company) -> None:
    mail = conversation(company.ports["balanced"], proxied("198.51.100.8"), *MAIL)[-1]
    assert mail.startswith("550 5.7.1 ")


def test_a_balancers_health_check_speaks_for_itself(company: Company) -> None:
    replies = conversation(company.ports["balanced"], proxied("198.51.100.7", command=0x20), *MAIL)
    assert replies[0].startswith("220 ")
    assert replies[-1].startswith("550 5.7.1 "), "the address in a LOCAL header means nothing"


def test_a_header_from_anybody_but_the_balancer_is_not_believed(company: Company) -> None:
    from_elsewhere = conversation(company.ports["balanced"], proxied("198.51.100.7"), *MAIL, source="127.0.0.9")
    assert not any(reply.startswith("250 2.1.0") for reply in from_elsewhere)
    on_the_plain_port = conversation(company.port, proxied("198.51.100.7"), *MAIL)
    assert not any(reply.startswith("250 2.1.0") for reply in on_the_plain_port)


def test_a_balancer_that_sends_no_header_gets_no_word(company: Company) -> None:
    assert conversation(company.ports["balanced"], b"EHLO client.example\r\n") == [""]
    company.relay.wait_for("session.refused", reason="PROXY: the PROXY version 2 signature is missing")


def test_addresses_in_any_script_need_smtputf8_and_get_it(company: Company) -> None:
    with client(company.port) as session:
        assert session.say("MAIL FROM:<ålice@stranger.example>").startswith("553 5.6.7")
        sent = session.send("ålice@stranger.example", ["björn@contoso.example"], options=" SMTPUTF8 BODY=8BITMIME")
        assert sent.accepted
    message = arrived(company, "björn@contoso.example")
    assert message.sender == "ålice@stranger.example"
    assert "SMTPUTF8" in message.mail
    assert " with UTF8SMTP " in stamp(message.data)


def test_our_domain_is_ours_in_either_spelling(company: Company, tmp_path_factory: pytest.TempPathFactory) -> None:
    domains = 'bücher.example: {deliver_to: ["127.0.0.1:{mailboxes}"], connector: inside}'
    with (
        contoso(tmp_path_factory.mktemp("idn"), domains=domains) as ours,
        client(ours.port, tls=Tls()) as session,
    ):
        for to, options in (("a@xn--bcher-kva.example", ""), ("a@BÜCHER.example", " SMTPUTF8")):
            assert session.send("x@stranger.example", [to], options=options).accepted


def test_delivery_status_parameters_travel_to_the_next_hop(company: Company) -> None:
    to = recipient()
    with client(company.port) as session:
        assert session.say("MAIL FROM:<a@stranger.example> RET=FULL ENVID=QQ+2B314159").startswith("250 2.1.0")
        assert session.say(f"RCPT TO:<{to}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@example.com").startswith("250")
        assert session.content().startswith("250 2.0.0")
    message = arrived(company, to)
    assert {"RET=FULL", "ENVID=QQ+2B314159"} <= set(message.mail.split())
    assert {"NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob+2Bx@example.com"} <= set(message.rcpts[0].split())


@pytest.mark.parametrize(
    "command",
    [
        "MAIL FROM:<a@stranger.example> RET=SOME",
        "MAIL FROM:<a@stranger.example> ENVID=a=b",
        "MAIL FROM:<a@stranger.example> SIZE=many",
        "MAIL FROM:<a@stranger.example> SIZE=10 SIZE=10",
        "MAIL FROM:<a@stranger.example> BODY=9BIT",
    ],
)
def test_broken_parameters_are_refused_by_syntax(company: Company, command: str) -> None:
    with client(company.port) as session:
        assert session.say(command)[:3] in ("501", "555")
        assert session.send("a@stranger.example", [recipient()]).accepted


def test_a_whole_transaction_in_one_packet_is_answered_in_order(company: Company) -> None:
    to, also = recipient(), recipient()
    batch = f"MAIL FROM:<a@stranger.example>\r\nRCPT TO:<{to}>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<{also}>\r\n"
    with socket.create_connection(("127.0.0.1", company.port), 10) as sock:
        stream = sock.makefile("rwb")
        assert stream.readline().startswith(b"220 ")
        stream.write(b"EHLO client.example\r\n")
        stream.flush()
        while stream.readline()[3:4] == b"-":
            pass
        stream.write(batch.encode() + b"DATA\r\n")
        stream.flush()
        replies = [stream.readline()[:3] for _ in range(5)]
        assert replies == [b"250", b"250", b"550", b"250", b"354"]
        stream.write(b"From: a@stranger.example\r\n\r\nhello\r\n.\r\nRSET\r\nQUIT\r\n")
        stream.flush()
        assert [stream.readline()[:3] for _ in range(3)] == [b"250", b"250", b"221"]
    assert set(arrived(company, to).recipients) == {to, also}


def test_commands_glued_to_starttls_end_the_session(company: Company) -> None:
    replies = conversation(company.port, b"", "EHLO client.example", "STARTTLS\r\nMAIL FROM:<a@stranger.example>")
    assert replies[-1] == "", "not one octet of it is answered"
    company.relay.wait_for("session.closed", reason="bytes behind STARTTLS")
