"""A partner's name is worth nothing from anybody else, whether it stands in MAIL FROM or in the header From."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.client import Sent, client, send
from tests.support.contoso import Company, contoso

PARTNER, OTHER, FORWARDER, RELAY = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"
STRANGER = "127.0.0.1"
NUMBER = count()  # tells senders apart in the log
TO = ["bob@contoso.example"]

CONNECTORS = f"""
fabrikam:
  domains: [fabrikam.example, "*.fabrikam.example"]
  inbound: {{networks: [{PARTNER}/32]}}
fabrikam-lab:
  domains: [lab.fabrikam.example, "*.lab.fabrikam.example"]
  inbound: {{networks: [{OTHER}/32]}}
envelope-only:
  domains: [envelope.example]
  inbound: {{claims: [mail_from], networks: [{PARTNER}/32]}}
header-only:
  domains: [header.example]
  inbound: {{claims: [header_from], networks: [{PARTNER}/32]}}
trusted-with-our-name:
  relay: true
  inbound: {{networks: [{RELAY}/32]}}
newsletter:
  inbound: {{networks: [{FORWARDER}/32], allow_own_sender: true}}
watched:
  mode: audit
  domains: [watched.example]
  inbound: {{networks: [{PARTNER}/32]}}
"""
DOMAINS = """
open.contoso.example: {deliver_to: ["127.0.0.1:{mailboxes}"], connector: inside, allow_own_sender: true}
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with contoso(tmp_path_factory.mktemp("contoso"), CONNECTORS, domains=DOMAINS) as running:
        yield running


def write(company: Company, sender: str, *from_: str, source: str = STRANGER) -> Sent:
    """A message with these From fields."""
    header = "".join(f"From: {value}\r\n" for value in from_)
    data = f"{header}Subject: claims\r\n\r\nhello\r\n".encode()
    return send(company.port, sender, TO, data, source=source)


def refused_at_the_end(company: Company, sent: Sent, word: str, connector: str = "fabrikam") -> str:
    """Check that the content was refused with this reason in the log; the reply."""
    assert sent.rcpts[0].startswith("250")
    assert not sent.accepted, sent
    line = company.relay.wait_for("mail.refused", reply=sent.data, stage="DATA", connector=connector)
    assert line["reasons"][0].startswith(f"{word}: ")
    return sent.data


def test_a_stranger_may_not_write_as_the_partner_in_from(company: Company) -> None:
    sent = write(company, "me@stranger.example", "Alice <alice@fabrikam.example>")
    reply = refused_at_the_end(company, sent, "network")
    assert reply == "550 5.7.1 mail from fabrikam.example is not accepted from this address"


def test_nor_in_the_envelope(company: Company) -> None:
    sent = write(company, "alice@fabrikam.example", "me@stranger.example")
    assert sent.mail == "550 5.7.1 mail from fabrikam.example is not accepted from this address"


def test_the_partner_itself_may(company: Company) -> None:
    for sender, author in [
        ("alice@fabrikam.example", "alice@fabrikam.example"),
        ("", "alice@fabrikam.example"),
        ("alice@fabrikam.example", "someone@stranger.example"),
        ("bounces@stranger.example", "Alice <ALICE@FABRIKAM.EXAMPLE>"),
    ]:
        assert write(company, sender, author, source=PARTNER).accepted, (sender, author)


def test_one_partner_may_not_write_as_another(company: Company) -> None:
    assert write(company, "a@fabrikam.example", "a@lab.fabrikam.example", source=PARTNER).data.startswith("550 5.7.1")
    assert write(company, "a@lab.fabrikam.example", "a@fabrikam.example", source=OTHER).data.startswith("550 5.7.1")


@pytest.mark.parametrize(
    ("domain", "owner"),
    [
        ("fabrikam.example", PARTNER),
        ("mail.fabrikam.example", PARTNER),
        ("a.b.fabrikam.example", PARTNER),
        ("lab.fabrikam.example", OTHER),
        ("x.lab.fabrikam.example", OTHER),
        ("y.x.lab.fabrikam.example", OTHER),
    ],
)
def test_the_longest_match_says_whose_a_name_is(company: Company, domain: str, owner: str) -> None:
    for source in (PARTNER, OTHER, STRANGER):
        in_header = write(company, "", f"a@{domain}", source=source)
        in_envelope = write(company, f"a@{domain}", "x@stranger.example", source=source)
        assert in_header.accepted == (source == owner), (source, in_header)
        assert in_envelope.accepted == (source == owner), (source, in_envelope)


@pytest.mark.parametrize("domain", ["notfabrikam.example", "fabrikam.example.evil.example", "fabrikam.test"])
def test_a_name_that_only_looks_alike_is_not_the_partners(company: Company, domain: str) -> None:
    assert write(company, f"a@{domain}", f"a@{domain}").accepted


@pytest.mark.parametrize("domain", ["fabrikam.example.", "FABRIKAM.Example"])
def test_other_spellings_of_the_partners_name_are_the_partners(company: Company, domain: str) -> None:
    assert not write(company, "", f"a@{domain}").accepted


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("a@stranger.example", "a@fabrikam.example"), id="two From fields"),
        pytest.param(("a@fabrikam.example", "a@stranger.example"), id="two From fields, the other way round"),
        pytest.param(("a@stranger.example, b@fabrikam.example",), id="two authors"),
        pytest.param(("team: a@stranger.example, b@fabrikam.example;",), id="a group"),
        pytest.param(("<a@fabrikam.example",), id="an angle that is not closed"),
        pytest.param(("a@fabrikam.example <b@stranger.example>",), id="an address where a name should be"),
        pytest.param(('"a@fabrikam.example <b@stranger.example>',), id="a quote that is not closed"),
        pytest.param(("a@fabrikam.example b@stranger.example",), id="no comma"),
        pytest.param(("a@@stranger.example",), id="two at signs"),
        pytest.param(("nobody at all",), id="no address"),
        pytest.param(("",), id="an empty From"),
    ],
)
def test_a_from_that_could_mean_the_partner_is_refused(company: Company, fields: tuple[str, ...]) -> None:
    sender = f"{next(NUMBER)}@stranger.example"
    sent = write(company, sender, *fields)
    assert sent.data == "550 5.7.1 the From header field must name exactly one author"
    line = company.relay.wait_for("mail.refused", sender=sender, stage="DATA")
    assert line["reasons"][0].startswith("ambiguous-from: ")


def test_several_authors_of_whom_none_is_a_partners_are_nobodys_business(company: Company) -> None:
    assert write(company, "me@stranger.example", "a@one.example, b@two.example").accepted


def test_a_name_in_quotes_or_a_comment_claims_nothing(company: Company) -> None:
    for author in ('"alice@fabrikam.example" <a@stranger.example>', "a@stranger.example (alice@fabrikam.example)"):
        assert write(company, "me@stranger.example", author).accepted


def test_a_message_without_from_could_claim_anything(company: Company) -> None:
    refused_at_the_end(company, write(company, "me@stranger.example"), "ambiguous-from")
    assert write(company, "me@contoso.example", source=RELAY).accepted


@pytest.mark.parametrize("name", ["From\x0b", "From\x0c", "From\r\n ", "\xa0From", "\ufeffFrom", "Fr\xfeom", "Sender"])
def test_a_name_is_as_good_as_from_where_a_reader_takes_it_for_one(company: Company, name: str) -> None:
    data = f"Subject: claims\r\n{name}: bob@fabrikam.example\r\n\r\nhello\r\n".encode(
        "latin-1" if name[0] != "\ufeff" else "utf-8"
    )
    reason = "ambiguous-from" if name == "Sender" else "network"
    refused_at_the_end(company, send(company.port, "me@stranger.example", TO, data), reason)
    both = data.replace(b"Subject", b"From: me@stranger.example\r\nSubject")
    if name != "Sender":
        refused_at_the_end(company, send(company.port, "me@stranger.example", TO, both), "ambiguous-from")


def test_a_bounce_claims_by_its_from_alone(company: Company) -> None:
    sent = write(company, "", "MAILER-DAEMON@fabrikam.example")
    refused_at_the_end(company, sent, "network")
    assert write(company, "", "MAILER-DAEMON@fabrikam.example", source=PARTNER).accepted
    assert write(company, "", "MAILER-DAEMON@stranger.example").accepted


def test_our_own_systems_may_forward_the_partners_mail_but_not_take_its_return_path(company: Company) -> None:
    assert write(company, "list@contoso.example", "alice@fabrikam.example", source=RELAY).accepted
    assert write(company, "", "alice@fabrikam.example", source=RELAY).accepted
    assert write(company, "x@stranger.example", "a@fabrikam.example, b@stranger.example", source=RELAY).accepted
    assert write(company, "alice@fabrikam.example", "alice@fabrikam.example", source=RELAY).mail.startswith("550 5.7.1")


def test_our_own_name_as_sender_is_for_our_own_systems(company: Company) -> None:
    ours = "carol@contoso.example"
    refused = write(company, ours, ours)
    assert refused.mail == "550 5.7.1 mail from contoso.example is accepted from its own systems only"
    line = company.relay.wait_for("mail.refused", sender=ours)
    assert line["reasons"][0].startswith("own-sender: ")
    assert write(company, ours, ours, source=PARTNER).mail == refused.mail
    assert write(company, ours, ours, source=RELAY).accepted


def test_unless_it_is_allowed_for_a_peer_or_a_domain(company: Company) -> None:
    assert write(company, "news@contoso.example", "news@contoso.example", source=FORWARDER).accepted
    assert write(company, "anyone@open.contoso.example", "anyone@open.contoso.example").accepted


def test_a_contract_may_look_at_the_envelope_alone_or_the_header_alone(company: Company) -> None:
    assert write(company, "x@stranger.example", "a@envelope.example").accepted
    assert write(company, "a@envelope.example", "x@stranger.example").mail.startswith("550 5.7.1")
    assert write(company, "a@header.example", "x@stranger.example").accepted
    assert write(company, "x@stranger.example", "a@header.example").data.startswith("550 5.7.1")


def test_after_a_refused_message_the_session_goes_on(company: Company) -> None:
    with client(company.port) as session:
        wrong = session.send("x@stranger.example", TO, b"From: a@fabrikam.example\r\n\r\nx\r\n")
        assert wrong.data.startswith("550")
        assert session.send("x@stranger.example", TO, b"From: x@stranger.example\r\n\r\nx\r\n").accepted


def test_an_audit_of_from_lets_pass_and_tells(company: Company) -> None:
    sent = write(company, "x@stranger.example", "a@watched.example")
    assert sent.accepted
    line = company.relay.wait_for("mail.would-refuse", message=sent.id, connector="watched")
    assert line["reply"] == "550 5.7.1 mail from watched.example is not accepted from this address"
    assert company.trace(sent.id)["accepted"]["would"]["decision"] == "refuse"
