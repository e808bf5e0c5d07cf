"""Mail to a partner leaves only over the TLS that the contract demands: else it waits, and not a word of it is said."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mta.adapters.pki import Issued
from tests.support.dns_server import dns_server
from tests.support.outgoing import Outgoing, hosts_on_one_port, outgoing
from tests.support.pki import Authority, authority, self_signed
from tests.support.postfix import postfix
from tests.support.programs import needs
from tests.support.smtp_peer import CLOSE, EXTENSIONS, STALL, Pause, PeerTls, Script, SmtpPeer, smtp_peer
from tests.support.tampering import Tampering, tampering

NAME = "mail.fabrikam.example"
FABRIKAM = Authority("Fabrikam Root")
GOOD = FABRIKAM.intermediate("Fabrikam Mail CA").issue(dns_names=[NAME])
OURS = authority("Contoso Root").issue(dns_names=["mx.contoso.example"])
OFFERING = (*EXTENSIONS, "STARTTLS")

# What is wrong with the host before its TLS has shown who it is, and the word the trace has for it.
LINES = {
    "no-starttls": (Script(), "starttls-not-offered"),
    "starttls-454": (
        Script(extensions=OFFERING, replies={"STARTTLS": "454 4.7.0 TLS not available"}),
        "starttls-refused",
    ),
    "garbage-after-220": (
        Script(extensions=OFFERING, replies={"STARTTLS": ("220 go", Pause(0.1), b"\x00\x01nonsense\xff" * 9, STALL)}),
        "tls-failed",
    ),
    "broken-handshake": (Script(extensions=OFFERING, replies={"STARTTLS": ("220 go", CLOSE)}), "tls-failed"),
    "stalled-handshake": (Script(extensions=OFFERING, replies={"STARTTLS": ("220 go", STALL)}), "tls-failed"),
    "injected": (
        Script(extensions=OFFERING, replies={"STARTTLS": (b"220 go\r\n250 evil.example\r\n", STALL)}),
        "conversation",
    ),
}
# Whose certificate is not the agreed one, and the word for that.
CERTIFICATES = {
    "wrong-name": (FABRIKAM.issue(dns_names=["mail.northwind.example"]), "certificate-name"),
    "only-common-name": (FABRIKAM.issue(common_name=NAME, dns_names=["x.example"]), "certificate-name"),
    "wrong-ca": (Authority("Evil Root").issue(dns_names=[NAME]), "certificate-untrusted"),
    "expired": (FABRIKAM.issue_expired(dns_names=[NAME]), "certificate-expired"),
    "early": (FABRIKAM.issue_early(dns_names=[NAME]), "certificate-not-yet-valid"),
    "self-signed": (self_signed(dns_names=[NAME]), "certificate-untrusted"),
}
LEVELS = {
    "encrypted": "level: encrypted",
    "verified": f"level: verified, names: [{NAME}], ca: fabrikam-ca.pem",
    "pinned": f'level: pinned, pins: ["{GOOD.spki_pin}"]',
}


def secure(folder: Path, issued: Issued, **more: object) -> Script:
    """A faithful host with this certificate."""
    name = issued.spki_pin[12:20].replace("/", "_")
    chain, key = issued.write(folder, name)
    return Script(tls=PeerTls(str(chain), str(key), **more))  # type: ignore[arg-type]


@dataclass
class World:
    """A relay with a connector for each fault and level; `peers` by the connector's name."""

    ours: Outgoing
    peers: dict[str, SmtpPeer]
    thief: Tampering
    mended: Script


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("forced-tls")
    FABRIKAM.write(folder / "fabrikam-ca.pem")
    good = secure(folder, GOOD)
    scripts = {f"{fault}-{level}": script for fault, (script, _) in LINES.items() for level in LEVELS}
    scripts |= {f"{fault}-verified": secure(folder, issued) for fault, (issued, _) in CERTIFICATES.items()}
    scripts["other-key-pinned"] = secure(folder, FABRIKAM.issue(dns_names=[NAME]))
    scripts["stripped-encrypted"] = good
    with ExitStack() as stack:
        peers = {name: stack.enter_context(smtp_peer(script)) for name, script in scripts.items()}
        thief = stack.enter_context(tampering(peers["stripped-encrypted"].port))
        ports = {name: peer.port for name, peer in peers.items()} | {"stripped-encrypted": thief.port}
        connectors = "".join(connector(name, ports[name], LEVELS[name.rpartition("-")[2]]) for name in scripts)
        ours = stack.enter_context(outgoing(folder, connectors, limits="tls_timeout: 1"))
        yield World(ours, peers, thief, good)


def connector(name: str, port: int, tls: str, more: str = "") -> str:
    return f"""
{name}:
  domains: [{name}.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {{{tls}}}{more}}}
"""


def nothing_was_said(heard: bytes) -> bool:
    """Whether neither an address nor content travelled in clear."""
    return not any(word in heard.upper() for word in (b"MAIL", b"RCPT", b"DATA", b"BEGINS", b"BOB"))


def check_it_waits_and_goes_out_once_mended(world: World, name: str, word: str) -> None:
    peer = world.peers[name]
    id_ = world.ours.send(f"bob@{name}.example")
    event = world.ours.waits(id_)
    assert nothing_was_said(peer.clear_bytes)
    assert not any(command.startswith(("MAIL", "RCPT", "DATA")) for command in peer.commands)
    [attempt] = event["attempts"]
    level = name.rpartition("-")[2]
    assert attempt["requirement"].partition(":")[0] == level
    assert attempt["failure"]["reason"].startswith(f"{word}: "), attempt["failure"]
    assert world.ours.states(id_) == {f"bob@{name}.example": "queued"}

    world.thief.stripping = name != "stripped-encrypted"
    peer.script = world.mended
    world.ours.retry(id_)
    [message] = peer.wait_for(1)
    assert message.tls.startswith("TLS")
    assert world.ours.ends(id_) == {f"bob@{name}.example": "delivered"}
    assert world.ours.attempts(id_)[-1]["verdict"] == f"tls={level}"
    assert nothing_was_said(peer.clear_bytes)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("fault", LINES)
def test_without_sound_tls_the_mail_waits(world: World, fault: str, level: str) -> None:
    check_it_waits_and_goes_out_once_mended(world, f"{fault}-{level}", LINES[fault][1])


@pytest.mark.parametrize("fault", CERTIFICATES)
def test_a_host_that_is_not_who_the_contract_says_gets_nothing(world: World, fault: str) -> None:
    check_it_waits_and_goes_out_once_mended(world, f"{fault}-verified", CERTIFICATES[fault][1])


def test_a_certificate_of_the_right_authority_is_not_the_pinned_one(world: World) -> None:
    check_it_waits_and_goes_out_once_mended(world, "other-key-pinned", "certificate-pin")


def test_a_man_in_the_middle_who_takes_starttls_away_gets_nothing(world: World) -> None:
    check_it_waits_and_goes_out_once_mended(world, "stripped-encrypted", "starttls-not-offered")
    assert world.thief.stripped == 1
    assert nothing_was_said(bytes(world.thief.clear))


def test_a_host_of_an_older_tls_than_agreed_gets_nothing(tmp_path: Path) -> None:
    old = secure(tmp_path, GOOD, maximum=ssl.TLSVersion.TLSv1_2)
    with smtp_peer(old) as peer:
        connectors = connector("modern", peer.port, 'level: encrypted, min_version: "1.3"')
        with outgoing(tmp_path, connectors) as ours:
            id_ = ours.send("bob@modern.example")
            [attempt] = ours.waits(id_)["attempts"]
            assert attempt["failure"]["reason"].startswith(("tls-failed", "tls-version"))
            assert peer.commands[:2] == ["EHLO mx.contoso.example", "STARTTLS"]
            assert nothing_was_said(peer.clear_bytes)
            peer.script = secure(tmp_path, GOOD)
            ours.retry(id_)
            assert peer.wait_for(1)[0].tls == "TLSv1.3"


def test_our_certificate_is_shown_to_the_right_host(tmp_path: Path) -> None:
    FABRIKAM.write(tmp_path / "fabrikam-ca.pem")
    chain, key = OURS.write(tmp_path, "ours")
    root = authority("Contoso Root").write(tmp_path / "contoso-ca.pem")
    with smtp_peer(secure(tmp_path, GOOD, client_ca=str(root))) as peer:
        shown = f", client_certificate: {{chain: {chain}, key: {key}}}"
        with outgoing(tmp_path, connector("fabrikam", peer.port, LEVELS["verified"], shown)) as ours:
            id_ = ours.send("bob@fabrikam.example")
            [message] = peer.wait_for(1)
            assert message.client_certificate == OURS.der
            ours.ends(id_)
            [attempt] = ours.attempts(id_)
            assert attempt["verdict"] == "tls=verified"
            assert attempt["requirement"] == f"verified:{NAME}"
            assert attempt["tls"]["chain"][0]["names"] == [NAME]
            assert len(attempt["tls"]["chain"]) == 2


@pytest.mark.parametrize("fault", ["no-starttls", "starttls-454", "broken-handshake", "garbage-after-220"])
def test_opportunistic_goes_in_clear_where_tls_cannot_be_had(tmp_path: Path, fault: str) -> None:
    with smtp_peer(LINES[fault][0]) as peer:
        connectors = connector("easy", peer.port, "level: opportunistic")
        with outgoing(tmp_path, connectors) as ours:
            id_ = ours.send("bob@easy.example")
            assert peer.wait_for(1)[0].tls == ""
            ours.ends(id_)
            assert ours.attempts(id_)[-1]["verdict"] == "tls=none"


def test_opportunistic_takes_any_tls_and_none_takes_none(tmp_path: Path) -> None:
    anyone = secure(tmp_path, self_signed(dns_names=["who.knows.example"]))
    with smtp_peer(anyone) as easy, smtp_peer(anyone) as clear:
        connectors = connector("easy", easy.port, "level: opportunistic")
        connectors += connector("clear", clear.port, "level: none")
        with outgoing(tmp_path, connectors) as ours:
            first, second = ours.send("bob@easy.example"), ours.send("bob@clear.example")
            assert easy.wait_for(1)[0].tls == "TLSv1.3"
            assert clear.wait_for(1)[0].tls == ""
            ours.ends(first)
            ours.ends(second)
            assert ours.attempts(first)[0]["verdict"] == "tls=encrypted"
            assert ours.attempts(second)[0]["verdict"] == "tls=none"
            assert "STARTTLS" not in clear.commands


def test_a_partner_rolls_its_key_over_without_an_appointment(tmp_path: Path) -> None:
    after, stranger = (self_signed(dns_names=[NAME]) for _ in range(2))
    with smtp_peer(secure(tmp_path, GOOD)) as peer:
        connectors = connector("pinned", peer.port, f'pins: ["{GOOD.spki_pin}", "{after.cert_pin}"]')
        with outgoing(tmp_path, connectors, limits="idle_timeout: 0") as ours:
            for count, issued in enumerate((GOOD, after), 1):
                peer.script = secure(tmp_path, issued)
                id_ = ours.send("bob@pinned.example")
                peer.wait_for(count)
                ours.ends(id_)
                assert ours.attempts(id_)[0]["verdict"] == "tls=pinned"
            peer.script = secure(tmp_path, stranger)
            id_ = ours.send("bob@pinned.example")
            assert ours.waits(id_)["attempts"][0]["failure"]["reason"].startswith("certificate-pin: ")
            assert len(peer.messages) == 2


def test_every_mx_and_every_retry_meets_the_same_requirement(tmp_path: Path) -> None:
    FABRIKAM.write(tmp_path / "fabrikam-ca.pem")
    wrong = secure(tmp_path, CERTIFICATES["wrong-ca"][0])
    zone = {
        ("fabrikam.example", "MX"): ["10 a.fabrikam.example.", "20 b.fabrikam.example."],
        ("a.fabrikam.example", "A"): ["127.0.0.1"],
        ("b.fabrikam.example", "A"): ["127.0.0.2"],
    }
    with hosts_on_one_port(("127.0.0.1", Script()), ("127.0.0.2", wrong)) as (first, second), dns_server(zone) as dns:
        connectors = f"""
            fabrikam:
              domains: [fabrikam.example]
              inbound: {{identity: none}}
              outbound: {{route: mx, port: {first.port}, tls: {{{LEVELS["verified"]}}}}}
        """
        with outgoing(tmp_path, connectors, dns=dns) as ours:
            id_ = ours.send("bob@fabrikam.example")
            for times in (1, 2):
                bad, worse = ours.waits(id_, times)["attempts"]
                assert bad["requirement"] == worse["requirement"] == f"verified:{NAME}"
                assert bad["failure"]["reason"].startswith("starttls-not-offered: ")
                assert worse["failure"]["reason"].startswith("certificate-untrusted: ")
                if times == 1:
                    ours.retry(id_)
            assert nothing_was_said(first.clear_bytes + second.clear_bytes)
            assert not any(command.startswith("MAIL") for command in first.commands + second.commands)
            second.script = secure(tmp_path, GOOD)
            ours.retry(id_)
            assert second.wait_for(1)[0].tls == "TLSv1.3"
            assert first.messages == []


def test_a_kept_connection_serves_no_stricter_contract(tmp_path: Path) -> None:
    """Two connectors lead to one host; what one of them has opened is not good enough for the other."""
    FABRIKAM.write(tmp_path / "fabrikam-ca.pem")
    with smtp_peer(secure(tmp_path, CERTIFICATES["wrong-ca"][0])) as peer:
        connectors = connector("easy", peer.port, "level: encrypted")
        strict = (
            f"level: verified, names: [{NAME}, mx.fabrikam.example], ca: fabrikam-ca.pem"  # two: the same SNI as above
        )
        connectors += connector("strict", peer.port, strict)
        with outgoing(tmp_path, connectors, limits="idle_timeout: 60") as ours:
            ours.ends(ours.send("bob@easy.example"))
            event = ours.waits(ours.send("bob@strict.example"))
            assert event["attempts"][0]["failure"]["reason"].startswith("certificate-untrusted: ")
            assert len(peer.messages) == 1


@pytest.mark.peer
@needs("postfix", root=True)
def test_a_postfix_that_admits_only_our_certificate_takes_the_mail(tmp_path: Path) -> None:
    FABRIKAM.write(tmp_path / "fabrikam-ca.pem")
    chain, key = OURS.write(tmp_path, "ours")
    root = authority("Contoso Root").write(tmp_path / "contoso-ca.pem")
    theirs, their_key = GOOD.write(tmp_path, "theirs")
    fingerprint = ":".join(f"{octet:02X}" for octet in bytes.fromhex(OURS.cert_pin.partition(":")[2]))
    settings = {
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_chain_files": f"{their_key}, {theirs}",
        "smtpd_tls_CAfile": root,
        "smtpd_tls_req_ccert": "yes",
        "smtpd_tls_fingerprint_digest": "sha256",
        "relay_clientcerts": f"inline:{{ {{ {fingerprint} = contoso }} }}",
        "smtpd_relay_restrictions": "permit_tls_clientcerts, reject",
        "smtpd_recipient_restrictions": "permit_tls_clientcerts, reject",
    }
    with postfix(settings, domains=["fabrikam.example", "nameless.example"]) as partner:
        shown = f", client_certificate: {{chain: {chain}, key: {key}}}"
        connectors = connector("fabrikam", partner.port, LEVELS["verified"], shown)
        connectors += connector("nameless", partner.port, LEVELS["verified"])
        with outgoing(tmp_path, connectors) as ours:
            id_ = ours.send("bob@fabrikam.example")
            [message] = partner.wait_for_mail(1)
            assert b"It begins." in message
            ours.ends(id_)
            assert ours.attempts(id_)[0]["verdict"] == "tls=verified"
            partner.wait_for_log(r"Trusted TLS connection established from .*127\.0\.0\.1")

            shy = ours.send("bob@nameless.example")  # we show nothing: their contract is not met, and the mail waits
            event = ours.waits(shy)
            assert event["attempts"][0]["failure"], event
            assert len(partner.mail()) == 1
            assert ours.states(shy) == {"bob@nameless.example": "queued"}
