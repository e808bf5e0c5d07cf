"""REQUIRETLS: who demands protection has it on the whole way, or comes back. `TLS-Required: No` is the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_forced_tls_out import nothing_was_said, secure
from tests.support.client import Tls, client
from tests.support.dns_server import Answer, dns_server
from tests.support.outgoing import ALICE, Outgoing, hosts_on_one_port, outgoing
from tests.support.pki import authority, self_signed
from tests.support.smtp_peer import EXTENSIONS, Script, SmtpPeer

CA = authority("Web CA")
OURS = authority("Contoso Root").issue(dns_names=["mx.contoso.example"])
SECRET = b"Subject: harmless\r\n\r\nThe body is the secret.\r\n"
PUBLIC = b"TLS-Required: No\r\n" + SECRET
OTHER = ["3 1 1 " + "ab" * 32]

# domain label -> names of the host's certificate (None: no TLS), whether it offers REQUIRETLS, its TLSA records, and
# whether signed MX records name it
HOSTS: dict[str, tuple[str | None, bool, list[str] | None, bool]] = {
    "good": ("mx.good.example", True, None, True),
    "unnamed": ("mx.unnamed.example", True, None, False),
    "deaf": ("mx.deaf.example", False, None, True),
    "bare": (None, False, None, True),
    "wrong": ("mx.elsewhere.example", True, None, True),
    "partner": ("mail.partner.example", True, None, False),
    "inner": (None, False, None, False),
    "mismatch": ("mx.mismatch.example", False, OTHER, True),
    "plain": (None, False, OTHER, True),
    "strict": (None, False, OTHER, True),
}


@dataclass
class World:
    ours: Outgoing
    peers: dict[str, SmtpPeer]

    def send(self, label: str, *, options: str = " REQUIRETLS", data: bytes = SECRET) -> str:
        """Inside TLS, from our own system; the id."""
        with client(self.ours.relay.port, tls=Tls()) as session:
            sent = session.send(ALICE, [f"bob@{label}.example"], data, options)
            return sent.id


def zone(places: dict[str, str], port: int) -> dict[tuple[str, str], Any]:
    records: dict[tuple[str, str], Any] = {}
    for label, address in places.items():
        _, _, tlsa, signed = HOSTS[label]
        records[f"{label}.example", "MX"] = Answer((f"10 mx.{label}.example.",), secure=signed)
        records[f"mx.{label}.example", "A"] = [address]
        if tlsa:
            records[f"_{port}._tcp.mx.{label}.example", "TLSA"] = tlsa
    return records


def connectors(port: int) -> str:
    return f"""
partner:
  domains: [partner.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{names: [mail.partner.example], ca: web-ca.pem}}}}
inner:
  domains: [inner.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{level: none, requiretls: opportunistic}}}}
strict:
  domains: [strict.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{level: encrypted}}}}
default: {{outbound: {{port: {port}, tls: {{level: opportunistic}}}}}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("requiretls")
    chain, key = OURS.write(folder, "ours")
    trusted = CA.write(folder / "web-ca.pem")
    scripts = {}
    for label, (name, offers, _, _) in HOSTS.items():
        script = secure(folder, CA.issue(dns_names=[name])) if name else Script()
        scripts[label] = Script((*EXTENSIONS, "REQUIRETLS") if offers else EXTENSIONS, tls=script.tls)
    places = {label: f"127.0.3.{number}" for number, label in enumerate(scripts, 1)}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(trusted))  # the relay's system store
        running = stack.enter_context(hosts_on_one_port(*((places[label], scripts[label]) for label in scripts)))
        dns = stack.enter_context(dns_server(zone(places, running[0].port), secure=True))
        server = f"""
certificate: {{chain: {chain}, key: {key}}}
dns: {{nameservers: ["{dns.host}:{dns.port}"], trust_ad: true}}"""
        ours = stack.enter_context(outgoing(folder, connectors(running[0].port), server=server))
        yield World(ours, dict(zip(scripts, running, strict=True)))


def test_it_is_offered_and_taken_inside_tls_only(world: World) -> None:
    port = world.ours.relay.port
    with client(port) as clear:
        assert not clear.smtp.has_extn("requiretls")
        assert clear.say(f"MAIL FROM:<{ALICE}> REQUIRETLS").startswith("555 5.5.4")
    with client(port, tls=Tls()) as session:
        assert session.smtp.has_extn("requiretls")
        assert session.say(f"MAIL FROM:<{ALICE}> REQUIRETLS=yes").startswith("501")
        assert session.say(f"MAIL FROM:<{ALICE}> REQUIRETLS").startswith("250")


@pytest.mark.parametrize(("label", "verdict"), [("good", "tls=verified"), ("partner", "tls=verified")])
def test_it_goes_on_to_verified_hosts_that_offer_it(world: World, label: str, verdict: str) -> None:
    id_ = world.send(label)
    assert world.ours.ends(id_) == {f"bob@{label}.example": "delivered"}
    peer = world.peers[label]
    assert [line for line in peer.commands if line.startswith("MAIL")][-1].endswith(" REQUIRETLS")
    [attempt] = world.ours.attempts(id_)
    assert attempt["verdict"] == verdict
    assert attempt["requirement"].endswith(",requiretls")
    assert world.ours.trace(id_)["accepted"]["tls_wish"] == "required"
    assert nothing_was_said(peer.clear_bytes)


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("unnamed", "requiretls: nothing vouches for the name"),
        ("deaf", "requiretls: the host does not offer REQUIRETLS"),
        ("bare", "starttls-not-offered: "),
        ("wrong", "certificate-name: "),
    ],
)
def test_where_no_host_can_protect_it_it_comes_back_without_its_content(world: World, label: str, word: str) -> None:
    before = len(world.ours.home.messages)
    id_ = world.send(label)
    assert world.ours.ends(id_) == {f"bob@{label}.example": "failed"}
    [attempt] = world.ours.attempts(id_)
    assert attempt["failure"]["reason"].startswith(word)
    assert attempt["failure"]["reply"] == "550 5.7.30 REQUIRETLS support required"
    peer = world.peers[label]
    assert not any(line.startswith("MAIL") for line in peer.commands)
    report = world.ours.home.wait_for(before + 1)[-1].data
    assert b"Status: 5.7.30" in report
    assert b"Subject: harmless" in report
    assert b"the secret" not in report


def test_a_report_that_may_not_be_protected_still_comes(world: World) -> None:
    """The host of our own mailboxes speaks no TLS: what was redacted is not lost for that (RFC 8689 §5)."""
    before = len(world.ours.home.messages)
    world.ours.ends(world.send("deaf"))
    [*_, report] = world.ours.home.wait_for(before + 1)
    assert report.mail.startswith("<>")


def test_systems_of_our_own_may_be_excepted(world: World) -> None:
    assert world.ours.ends(world.send("inner")) == {"bob@inner.example": "delivered"}
    assert world.peers["inner"].messages[-1].tls == ""


def test_without_the_demand_the_same_host_is_good_enough(world: World) -> None:
    id_ = world.send("deaf", options="")
    assert world.ours.ends(id_) == {"bob@deaf.example": "delivered"}
    assert "tls_wish" not in world.ours.trace(id_)["accepted"]


@pytest.mark.parametrize(("label", "verdict"), [("mismatch", "tls=encrypted"), ("plain", "tls=none")])
def test_who_says_no_is_not_kept_waiting_by_dane(world: World, label: str, verdict: str) -> None:
    id_ = world.send(label, options="")
    world.ours.waits(id_)
    id_ = world.send(label, options="", data=PUBLIC)
    assert world.ours.ends(id_) == {f"bob@{label}.example": "delivered"}
    assert world.ours.attempts(id_)[-1]["verdict"] == verdict
    assert world.ours.trace(id_)["accepted"]["tls_wish"] == "optional"


def test_who_says_no_relaxes_no_connector(world: World) -> None:
    [attempt] = world.ours.waits(world.send("strict", options="", data=PUBLIC))["attempts"]
    assert attempt["failure"]["reason"].startswith("starttls-not-offered: ")
    assert attempt["requirement"] == "encrypted"
    assert nothing_was_said(world.peers["strict"].clear_bytes)


def test_the_demand_outlives_a_restart_and_beats_the_header(tmp_path: Path) -> None:
    chain, key = OURS.write(tmp_path, "ours")
    later = Script(replies={"GREETING": "421 4.3.2 not now"})
    rule = "partner: {domains: [partner.example], inbound: {identity: none}, outbound: {port: PORT}}"
    with ExitStack() as stack:
        [peer] = stack.enter_context(hosts_on_one_port(("127.0.3.1", later)))
        answer = Answer(("10 mx.partner.example.",), secure=True)
        records = {("partner.example", "MX"): answer, ("mx.partner.example", "A"): ["127.0.3.1"]}
        dns = stack.enter_context(dns_server(records, secure=True))
        server = f"""
certificate: {{chain: {chain}, key: {key}}}
dns: {{nameservers: ["{dns.host}:{dns.port}"], trust_ad: true}}"""
        rules = rule.replace("PORT", str(peer.port))
        with outgoing(tmp_path, rules, server=server) as ours:
            id_ = World(ours, {}).send("partner", data=PUBLIC)
            ours.waits(id_)
        peer.script = Script(tls=secure(tmp_path, self_signed(dns_names=["mx.partner.example"])).tls)
        with outgoing(tmp_path, rules, server=server) as ours:
            ours.retry(id_)
            assert ours.ends(id_) == {"bob@partner.example": "failed"}
            assert ours.attempts(id_)[-1]["failure"]["reason"].startswith("certificate-untrusted: ")
            assert not any(line.startswith("MAIL") for line in peer.commands)
