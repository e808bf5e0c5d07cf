"""What `mta explain` says of a message is what the running relay then does with it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Sent, Tls, client
from tests.support.contoso import Company, contoso
from tests.support.pki import Authority, Issued, authority, self_signed

FABRIKAM = Authority("Fabrikam Root")
NAME = "mail.fabrikam.example"
GOOD = FABRIKAM.intermediate("Fabrikam Mail CA").issue(dns_names=[NAME])
NUMBER = count()

CONNECTORS = f"""
gateway:
  relay: true
  inbound: {{networks: [127.0.0.5/32]}}
devices:
  relay: true
  inbound: {{tls: {{client_certificate: {{names: ["*.contoso.example"], ca: fabrikam-ca.pem}}}}}}
watched-gateway:
  mode: audit
  relay: true
  inbound: {{networks: [127.0.0.7/32]}}
fabrikam:
  domains: [fabrikam.example, "*.fabrikam.example"]
  inbound: {{tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem}}}}}}
  outbound: {{route: {{hosts: ["127.0.0.1:{{mailboxes}}"]}}, tls: {{level: none}}}}
either:
  domains: [either.example]
  inbound:
    combine: any
    networks: [127.0.0.2/32]
    tls: {{client_certificate: {{names: [{NAME}], ca: fabrikam-ca.pem}}}}
modern:
  domains: [modern.example]
  inbound: {{identity: none, tls: {{min_version: "1.3"}}}}
watched:
  mode: audit
  domains: [watched.example]
  inbound: {{networks: [127.0.0.2/32]}}
"""
DOMAINS = """
list.example: {deliver_to: ["127.0.0.1:{mailboxes}"], connector: inside, recipients: users.txt}
"""


@dataclass(frozen=True)
class Case:
    """The facts of one message: explained from these, then sent with them."""

    sender: str
    to: tuple[str, ...] = ("bob@contoso.example",)
    source: str = "127.0.0.1"
    tls: str = ""  # version
    shown: Issued | None = None
    from_: str = ""  # header, default: that of a stranger
    connector: str = field(default="", kw_only=True)  # what a reader of the contract expects
    decision: str = field(default="accept", kw_only=True)

    @property
    def message(self) -> bytes:
        return f"From: {self.from_ or 'someone@stranger.example'}\r\nSubject: explained\r\n\r\nhello\r\n".encode()


STRANGE, PARTNER = "a@stranger.example", "a@fabrikam.example"
CASES = {
    "a stranger": Case(STRANGE, connector="default"),
    "a stranger with TLS and any certificate": Case(STRANGE, tls="1.2", shown=self_signed(), connector="default"),
    "a bounce": Case("", connector="default"),
    "the partner": Case(PARTNER, tls="1.3", shown=GOOD, connector="fabrikam"),
    "the partner with TLS 1.2": Case(PARTNER, tls="1.2", shown=GOOD, from_=PARTNER, connector="fabrikam"),
    "a subdomain of the partner": Case("a@x.fabrikam.example", tls="1.3", shown=GOOD, connector="fabrikam"),
    "the partner in clear": Case(PARTNER, connector="fabrikam", decision="refuse"),
    "the partner without certificate": Case(PARTNER, tls="1.3", connector="fabrikam", decision="refuse"),
    "a wrong name": Case(
        PARTNER, tls="1.3", shown=FABRIKAM.issue(dns_names=["x.example"]), connector="fabrikam", decision="refuse"
    ),
    "everything wrong": Case(
        PARTNER,
        tls="1.3",
        shown=authority("Someone Else").issue_expired(dns_names=["x.example"]),
        connector="fabrikam",
        decision="refuse",
    ),
    "the partner's name in From": Case(STRANGE, from_=PARTNER, connector="fabrikam", decision="refuse"),
    "an ambiguous From": Case(
        STRANGE, from_="a@fabrikam.example, b@stranger.example", connector="fabrikam", decision="refuse"
    ),
    "either, by network": Case("a@either.example", source="127.0.0.2", tls="1.3", connector="either"),
    "either, by certificate": Case("a@either.example", tls="1.3", shown=GOOD, connector="either"),
    "neither": Case("a@either.example", tls="1.3", connector="either", decision="refuse"),
    "TLS that is too old": Case("a@modern.example", tls="1.2", connector="modern", decision="refuse"),
    "our own name": Case("a@contoso.example", connector="default", decision="refuse"),
    "our own system": Case(
        "a@contoso.example",
        ("x@fabrikam.example", "bob@list.example", "nobody@list.example", "postmaster"),
        "127.0.0.5",
        connector="gateway",
    ),
    "our own device by its certificate": Case(
        "scan@contoso.example",
        ("x@elsewhere.example", "bob@contoso.example"),
        tls="1.3",
        shown=FABRIKAM.issue(dns_names=["scanner.contoso.example"]),
        connector="devices",
    ),
    "our own system forwarding": Case(STRANGE, source="127.0.0.5", from_=PARTNER, connector="gateway"),
    "our own system with the partner's return path": Case(
        PARTNER, source="127.0.0.5", connector="fabrikam", decision="refuse"
    ),
    "a stranger who would relay": Case(STRANGE, ("x@elsewhere.example", "bob@contoso.example"), connector="default"),
    "a partner who would relay": Case(
        PARTNER, ("x@elsewhere.example", "bob@contoso.example"), tls="1.3", shown=GOOD, connector="fabrikam"
    ),
    "an audited partner who fits": Case("a@watched.example", source="127.0.0.2", connector="watched"),
    "an audited partner who does not": Case("a@watched.example", connector="watched"),
    "an audited name in From": Case(STRANGE, from_="a@watched.example", connector="watched"),
    "an audited relay": Case(STRANGE, ("x@elsewhere.example", "bob@contoso.example"), "127.0.0.7"),
}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("contoso")
    FABRIKAM.write(folder / "fabrikam-ca.pem")
    (folder / "users.txt").write_text("bob@list.example\n")
    with contoso(folder, CONNECTORS, domains=DOMAINS) as running:
        yield running


def explained(company: Company, case: Case, folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit status and the document."""
    (folder / "message.eml").write_bytes(case.message)
    words = ["--from", case.sender, "--client-ip", case.source, "--message", str(folder / "message.eml")]
    words += ["--helo", "client.example", *(["--tls", case.tls] if case.tls else [])]
    if case.shown:
        words += ["--client-cert", str(case.shown.write(folder, "shown")[0])]
    for recipient in case.to:
        words += ["--to", recipient]
    done = company.relay.command("explain", *words, "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@dataclass(frozen=True)
class Lived:
    """What the running relay did: its replies and its log lines of that session."""

    sent: Sent
    lines: list[dict[str, Any]]

    def line(self, event: str, stage: str = "") -> dict[str, Any] | None:
        fitting = (line for line in self.lines if line["event"] == event and line.get("stage", "") == stage)
        return next(fitting, None)


def lived(company: Company, case: Case) -> Lived:
    """Send it for real and wait for the end of its session in the log."""
    maximum = ssl.TLSVersion.TLSv1_2 if case.tls == "1.2" else ssl.TLSVersion.TLSv1_3
    tls = Tls(case.shown, maximum=maximum) if case.tls else None
    begun = len(company.relay.events)
    with client(company.port, tls=tls, source=case.source) as session:
        sent = session.send(case.sender, case.to, case.message)
        mark = f"end{next(NUMBER)}"
        session.say(mark)  # an unknown command is logged: all that concerns the message stands before it
    company.relay.wait_for("session.error", line=mark.upper())
    return Lived(sent, company.relay.events[begun:])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_explained_is_as_lived(company: Company, case: Case, tmp_path: Path) -> None:
    status, document = explained(company, case, tmp_path)
    real = lived(company, case)
    inbound, recipients = document["inbound"], document["recipients"]
    assert inbound["decision"] == case.decision, inbound
    assert inbound["connector"] == (case.connector or inbound["connector"])
    if inbound["decision"] == "refuse":
        refusal = real.line("mail.refused", "MAIL") or real.line("mail.refused", "DATA")
        assert refusal is not None
        assert inbound["reply"] in (real.sent.mail, real.sent.data)
        assert (inbound["connector"], inbound["reply"]) == (refusal["connector"], refusal["reply"])
        assert set(refusal["reasons"]) <= set(inbound["reasons"])
    else:
        accepted = real.line("message.accepted")
        assert accepted is not None, real
        assert inbound["reply"] is None
        assert inbound["connector"] == accepted["connector"]
        would = real.line("mail.would-refuse")
        assert (inbound["would"] == "refuse") == (would is not None)
        assert would is None or set(would["reasons"]) <= set(inbound["reasons"])
    for recipient, reply in zip(recipients, real.sent.rcpts, strict=False):
        assert recipient["decision"] == ("accept" if reply.startswith("250") else "refuse")
        assert recipient["reply"] == (None if reply.startswith("250") else reply)
    everything = [inbound, *recipients]
    assert status == (0 if all(part["decision"] == "accept" for part in everything) else 1)


def test_recipients_go_the_way_that_was_explained(company: Company, tmp_path: Path) -> None:
    case = CASES["our own system"]
    _, document = explained(company, case, tmp_path)
    sent = lived(company, case).sent
    ways = {one["address"]: one["connector"] for one in company.trace(sent.id)["recipients"]}
    said = {one.get("mailbox", one["address"]): one["connector"] for one in document["recipients"]}
    assert ways == {address: said[address] for address in ways}
    assert set(ways.values()) == {"fabrikam", "inside"}


def test_the_document_has_the_shape_that_scripts_rely_on(company: Company, tmp_path: Path) -> None:
    _, document = explained(company, CASES["our own system"], tmp_path)
    inbound = document["inbound"]
    assert set(document) == {"inbound", "recipients"}
    assert set(inbound) == {"connector", "mode", "decision", "would", "reply", "reasons", "authentication", "losers"}
    names = {"inside", "gateway", "devices", "watched-gateway", "fabrikam", "either", "modern", "watched", "default"}
    assert {loser["connector"] for loser in inbound["losers"]} | {inbound["connector"]} == names
    assert all(loser["reason"] for loser in inbound["losers"])
    for address, recipient in zip(CASES["our own system"].to, document["recipients"], strict=True):
        assert recipient["address"] == address
        assert {"connector", "mode", "route", "tls", "decision", "would", "reply", "losers"} <= set(recipient)
        assert {"level", "names"} <= set(recipient["tls"])
        assert {loser["connector"] for loser in recipient["losers"]} | {recipient["connector"]} == names
    first = document["recipients"][0]
    assert first["route"] == {"hosts": [f"127.0.0.1:{company.mailboxes.port}"]}
    assert first["tls"]["level"] == "none"


def test_in_words_it_says_the_same(company: Company, tmp_path: Path) -> None:
    (tmp_path / "partner.pem").write_bytes(FABRIKAM.issue(dns_names=["x.example"]).chain_pem)
    words = ["--from", PARTNER, "--to", "bob@contoso.example", "--client-cert", str(tmp_path / "partner.pem")]
    done = company.relay.command("explain", *words)
    assert done.returncode == 1
    first, reply, *rest = done.stdout.splitlines()
    assert first == "inbound: refuse by connector fabrikam (enforce)"
    assert reply.split(None, 1)[1] == "550 5.7.1 the client certificate does not name a host of fabrikam.example"
    assert any(f"certificate-name: expected {NAME}, the certificate names x.example" in line for line in rest)
    assert any(line.startswith("to bob@contoso.example: accept") for line in rest)


def test_a_question_that_cannot_be_answered_is_an_error_of_usage(company: Company) -> None:
    for words in (["--from", "no address", "--to", "b@contoso.example"], ["--from", STRANGE, "--to", "@"]):
        done = company.relay.command("explain", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("mta: --")
