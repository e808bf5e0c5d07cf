"""Who may send to whom: relaying needs proof, our own recipients must exist, and each recipient goes its own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import BODY, Tls, client, send
from tests.support.contoso import Company, contoso
from tests.support.pki import Authority
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import CLOSE, Script, SmtpPeer, smtp_peer

GATEWAY, PARTNER, STRANGER = "127.0.0.5", "127.0.0.2", "127.0.0.1"
CONTOSO = Authority("Contoso Devices")
PRINTER = CONTOSO.issue(dns_names=["printer.contoso.example"])

CONNECTORS = """
gateway:
  relay: true
  inbound: {networks: [127.0.0.5/32]}
devices:
  relay: true
  inbound: {tls: {client_certificate: {names: ["*.contoso.example"], ca: devices-ca.pem}}}
branch:
  relay: true
  domains: [branch.example]
  inbound: {networks: [127.0.0.6/32]}
watched-gateway:
  mode: audit
  relay: true
  inbound: {networks: [127.0.0.7/32]}
newsletter:
  inbound: {networks: [127.0.0.8/32], allow_own_sender: true}
fabrikam:
  domains: [fabrikam.example]
  inbound: {networks: [127.0.0.2/32]}
  outbound: {route: {hosts: ["127.0.0.1:{fabrikam}"]}, tls: {level: none}}
northwind:
  domains: [northwind.example]
  inbound: {identity: none}
  outbound: {route: {hosts: ["127.0.0.1:{northwind}"]}, tls: {level: none}}
"""
DOMAINS = """
list.example: {deliver_to: ["127.0.0.1:{mailboxes}"], connector: inside, recipients: users.txt}
asked.example: {deliver_to: ["127.0.0.1:{asked}"], connector: inside, recipients: verify}
silent.example: {deliver_to: ["127.0.0.1:{nobody}"], connector: inside, recipients: verify}
"""
USERS = "# who works here\nbob@list.example\nJosé@list.example\n"


@dataclass
class World:
    company: Company
    fabrikam: SmtpPeer
    northwind: SmtpPeer
    asked: SmtpPeer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("contoso")
    CONTOSO.write(folder / "devices-ca.pem")
    (folder / "users.txt").write_text(USERS, "utf-8")
    gone, later, cut = "gone@asked.example", "later@asked.example", "cut@asked.example"
    script = Script(recipients={gone: "550 5.1.1 no such user", later: "451 4.3.0 not now", cut: CLOSE})
    with smtp_peer() as fabrikam, smtp_peer() as northwind, smtp_peer(script) as asked:
        ports = {"fabrikam": fabrikam.port, "northwind": northwind.port, "asked": asked.port, "nobody": free_port()}
        connectors, domains = CONNECTORS, DOMAINS
        for name, port in ports.items():
            connectors = connectors.replace(f"{{{name}}}", str(port))
            domains = domains.replace(f"{{{name}}}", str(port))
        with contoso(folder, connectors, domains=domains) as company:
            yield World(company, fabrikam, northwind, asked)


DENIED = "550 5.7.1 Relaying denied"


@pytest.mark.parametrize("to", ["x@elsewhere.example", "x@fabrikam.example", "x@[192.0.2.7]"])
@pytest.mark.parametrize("sender", ["a@stranger.example", ""])
def test_a_stranger_may_not_relay(world: World, sender: str, to: str) -> None:
    assert send(world.company.port, sender, [to]).rcpts == (DENIED,)


@pytest.mark.parametrize(
    "to",
    [
        '"x@fabrikam.example"@elsewhere.example',
        "x%fabrikam.example@elsewhere.example",
        "contoso.example!x@elsewhere.example",
        "@contoso.example:x@elsewhere.example",
    ],
)
def test_no_trick_of_writing_makes_a_stranger_relay(world: World, to: str) -> None:
    assert send(world.company.port, "a@stranger.example", [to]).rcpts == (DENIED,)


@pytest.mark.parametrize("form", ["x%fabrikam.example@{}", "fabrikam.example!x@{}", '"x@fabrikam.example"@{}'])
def test_a_route_in_the_local_part_at_our_own_domain_is_for_relays_alone(world: World, form: str) -> None:
    """The mailbox host behind us might send it on for whomever."""
    to = form.format("contoso.example")
    assert send(world.company.port, "a@stranger.example", [to]).rcpts == (DENIED,)
    assert send(world.company.port, "route@fabrikam.example", [to], source=PARTNER).rcpts == (DENIED,)
    sent = send(world.company.port, "a@contoso.example", [to], source=GATEWAY)
    assert sent.accepted
    world.company.relay.wait_for("delivery.delivered", message=sent.id)
    assert to in {one for message in world.company.mailboxes.messages for one in message.recipients}


def test_a_claim_gives_no_right_to_relay(world: World) -> None:
    port = world.company.port
    as_branch = send(port, "a@branch.example", ["x@northwind.example"])
    assert as_branch.mail.startswith("550 5.7.1 mail from branch.example")
    as_ourselves = send(port, "a@contoso.example", ["x@northwind.example"])
    assert as_ourselves.mail.startswith("550 5.7.1")
    with client(port, helo="gateway.contoso.example") as session:
        assert session.send("a@stranger.example", ["x@northwind.example"]).rcpts == (DENIED,)


def test_a_partner_that_proved_itself_is_no_relay_either(world: World) -> None:
    sent = send(world.company.port, "a@fabrikam.example", ["x@northwind.example"], source=PARTNER)
    assert sent.rcpts == (DENIED,)
    line = world.company.relay.wait_for("mail.refused", sender="a@fabrikam.example", stage="RCPT")
    assert line["recipient"] == "x@northwind.example"
    assert line["reasons"][0].startswith("relay-denied: northwind.example is not ours")


def test_nor_is_a_system_of_ours_that_may_only_use_our_name(world: World) -> None:
    sent = send(
        world.company.port, "news@contoso.example", ["x@northwind.example", "bob@contoso.example"], source="127.0.0.8"
    )
    assert sent.rcpts[0] == DENIED
    assert world.company.trace(sent.id)["inbound"] == "newsletter"


def test_our_systems_relay_by_network(world: World) -> None:
    sent = send(world.company.port, "a@contoso.example", ["by-network@northwind.example"], source=GATEWAY)
    assert sent.accepted
    until(lambda: any("by-network@northwind.example" in one.recipients for one in world.northwind.messages))


def test_and_by_certificate_and_by_nothing_less(world: World) -> None:
    port, to = world.company.port, ["by-certificate@northwind.example"]
    assert send(port, "a@contoso.example", to, tls=Tls(PRINTER)).accepted
    until(lambda: any("by-certificate@northwind.example" in one.recipients for one in world.northwind.messages))
    expired = CONTOSO.issue_expired(dns_names=["printer.contoso.example"])
    foreign = Authority("Contoso Devices").issue(dns_names=["printer.contoso.example"])
    for shown in (None, expired, foreign):
        assert send(port, "a@stranger.example", to, tls=Tls(shown)).rcpts == (DENIED,)


def test_a_relay_with_domains_of_its_own_needs_its_proof(world: World) -> None:
    port = world.company.port
    assert send(port, "a@branch.example", ["x@northwind.example"], source="127.0.0.6").accepted
    assert send(port, "a@any.example", ["x@northwind.example"], source="127.0.0.6").accepted


def test_a_relay_in_audit_mode_relays_nothing(world: World) -> None:
    sent = send(world.company.port, "a@any.example", ["x@northwind.example"], source="127.0.0.7")
    assert sent.rcpts == (DENIED,)


def test_unknown_recipients_of_a_list_are_refused(world: World) -> None:
    port = world.company.port
    sent = send(port, "a@stranger.example", ["nobody@list.example", "BOB@List.Example", "bob@contoso.example"])
    assert sent.rcpts[0] == "550 5.1.1 No such mailbox here"
    assert [reply[:9] for reply in sent.rcpts[1:]] == ["250 2.1.5", "250 2.1.5"]
    assert sent.accepted
    assert send(port, "a@contoso.example", ["nobody@list.example"], source=GATEWAY).rcpts[0].startswith("550 5.1.1")


def test_postmaster_always_exists(world: World) -> None:
    for to in ("postmaster", "PostMaster", "postmaster@list.example", "postmaster@mx.contoso.example"):
        sent = send(world.company.port, "a@stranger.example", [to])
        assert sent.accepted, (to, sent)
        [recipient] = world.company.trace(sent.id)["recipients"]
        assert recipient["address"] == "postmaster@contoso.example"
    assert send(world.company.port, "a@stranger.example", ["bob"]).rcpts[0].startswith("501 5.1.3")
    assert send(world.company.port, "a@stranger.example", ["postmaster@elsewhere.example"]).rcpts == (DENIED,)


def test_the_host_behind_is_asked_whether_a_mailbox_exists(world: World) -> None:
    port, asked = world.company.port, world.asked
    sent = send(port, "a@stranger.example", ["bob@asked.example", "gone@asked.example"])
    assert sent.rcpts[0].startswith("250 ")
    assert sent.rcpts[1] == "550 5.1.1 No such mailbox here"
    assert sent.accepted
    asked.wait_for(1)
    assert asked.commands.count("RCPT TO:<gone@asked.example>") == 1
    assert "MAIL FROM:<>" in [command.partition(" SIZE")[0] for command in asked.commands]
    for _ in range(3):
        assert send(port, "a@stranger.example", ["gone@asked.example"]).rcpts[0].startswith("550 5.1.1")
    assert asked.commands.count("RCPT TO:<gone@asked.example>") == 1, "the answer is remembered"


@pytest.mark.parametrize("to", ["later@asked.example", "cut@asked.example", "anyone@silent.example"])
def test_where_nobody_says_whether_a_mailbox_exists_the_client_comes_again(world: World, to: str) -> None:
    sent = send(world.company.port, "a@stranger.example", [to])
    assert sent.rcpts == ("450 4.2.1 Recipient cannot be verified now, try again later",)
    line = world.company.relay.wait_for("mail.refused", recipient=to)
    assert line["decision"] == "defer"
    assert line["reasons"][0].startswith("callout-unknown: ")


def test_each_recipient_of_one_message_goes_its_own_way(world: World) -> None:
    to = ["one@contoso.example", "two@fabrikam.example", "three@northwind.example", "nobody@list.example"]
    sent = send(world.company.port, "a@contoso.example", to, source=GATEWAY)
    assert [reply[:3] for reply in sent.rcpts] == ["250", "250", "250", "550"]
    assert sent.accepted
    for peer, recipient in (
        (world.company.mailboxes, to[0]),
        (world.fabrikam, to[1]),
        (world.northwind, to[2]),
    ):
        until(lambda p=peer, r=recipient: any(r in one.recipients for one in p.messages))
        [message] = [one for one in peer.messages if recipient in one.recipients]
        assert message.recipients == (recipient,), "nobody learns of the others"
        assert message.data.endswith(BODY)
    until(lambda: all(one["state"] == "delivered" for one in world.company.trace(sent.id)["recipients"]))
    ways = {one["address"]: one["connector"] for one in world.company.trace(sent.id)["recipients"]}
    assert ways == dict(zip(to[:3], ("inside", "fabrikam", "northwind"), strict=True))
