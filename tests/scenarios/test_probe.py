"""Before mail has to go there: `mta probe` says whether it would arrive, and what breaks next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.dns_server import SERVFAIL, dns_server
from tests.support.outgoing import hosts_on_one_port
from tests.support.pki import NOW, Authority, Issued
from tests.support.postfix import postfix
from tests.support.programs import needs
from tests.support.running_mta import free_port, mta
from tests.support.smtp_peer import PeerTls, Script, SmtpPeer, smtp_peer

NAME = "mail.fabrikam.example"
FABRIKAM = Authority("Fabrikam Root")
GOOD = FABRIKAM.issue(dns_names=[NAME])
TLS = f"{{names: [{NAME}], ca: fabrikam-ca.pem}}"

HOSTS = {  # who answers, and the word of what is wrong
    "good": (GOOD, ""),
    "soon": (FABRIKAM.issue(dns_names=[NAME], not_after=NOW + timedelta(days=10)), ""),
    "expired": (FABRIKAM.issue_expired(dns_names=[NAME]), "certificate-expired"),
    "wrong-name": (FABRIKAM.issue(dns_names=["x.example"]), "certificate-name"),
    "clear": (None, "starttls-not-offered"),
}


@dataclass
class World:
    config: Path
    peers: dict[str, SmtpPeer]

    def probe(self, *words: str) -> tuple[int, dict[str, Any]]:
        done = mta("probe", *words, "--json", "--config", str(self.config))
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)


def script(folder: Path, issued: Issued | None, name: str) -> Script:
    if issued is None:
        return Script()
    chain, key = issued.write(folder, name)
    return Script(tls=PeerTls(str(chain), str(key)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("probe")
    FABRIKAM.write(folder / "fabrikam-ca.pem")
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(smtp_peer(script(folder, issued, name))) for name, (issued, _) in HOSTS.items()
        }
        lines = [connector(name, f'{{hosts: ["127.0.0.1:{peer.port}"]}}', TLS) for name, peer in peers.items()]
        gone = f'{{hosts: ["127.0.0.1:{free_port()}"]}}'
        lines.append(connector("gone", gone, TLS))
        lines.append(connector("watched", f'{{hosts: ["127.0.0.1:{peers["clear"].port}"]}}', TLS, "mode: audit, "))
        config = folder / "connectors.yaml"
        config.write_text("server: {hostname: mx.contoso.example}\nconnectors:\n" + "".join(lines))
        yield World(config, peers)


def connector(name: str, route: str, tls: str, more: str = "") -> str:
    return (
        f"  {name}: {{{more}domains: [{name}.example], inbound: {{identity: none}}, "
        f"outbound: {{route: {route}, tls: {tls}}}}}\n"
    )


@pytest.mark.parametrize("name", HOSTS)
def test_the_verdict_is_that_of_delivery_and_nothing_of_a_message_is_said(world: World, name: str) -> None:
    word = HOSTS[name][1]
    code, document = world.probe(name)
    [probe] = document["probes"]
    [host] = probe["hosts"]
    assert (probe["connector"], probe["domain"], document["ok"]) == (name, f"{name}.example", name == "good")
    assert code == (0 if name == "good" else 1)
    assert host["judgement"] == ("bad" if word else {"good": "good", "soon": "soon"}[name])
    assert host.get("failure", {"reason": ""})["reason"].partition(":")[0] == word
    assert host["requirement"] == f"verified:{NAME}"
    assert not [command for command in world.peers[name].commands if command.startswith("MAIL")]
    if name == "good":
        assert (host["days_left"], host["first_to_expire"]["days_left"]) == (89, 89)
        assert "PIPELINING" in host["extensions"]


def test_what_ends_soon_is_good_enough_for_whoever_says_so(world: World) -> None:
    code, document = world.probe("soon", "--days", "9")
    assert (code, document["probes"][0]["hosts"][0]["days_left"]) == (0, 9)


def test_a_domain_leads_to_its_connector_and_a_host_that_is_gone_is_said(world: World) -> None:
    code, document = world.probe("gone.example")
    [host] = document["probes"][0]["hosts"]
    assert (code, document["probes"][0]["connector"]) == (1, "gone")
    assert host["failure"]["reason"].startswith("connect: ")


def test_an_audited_contract_is_told_as_it_would_be_enforced(world: World) -> None:
    code, document = world.probe("watched")
    assert (code, document["probes"][0]["mode"]) == (1, "audit")


def test_all_of_them_in_one_run_and_in_words(world: World) -> None:
    done = mta("probe", "--all", "--config", str(world.config))
    assert done.returncode == 1
    text = done.stdout
    for name in (*HOSTS, "gone", "watched"):
        assert name in text
    assert "mail would go, 89 days left" in text
    assert f"mail would go today; CN={NAME} has 9 days left" in text
    assert text.count("mail would wait") == 5


def test_a_test_message_goes_the_way_of_mail(world: World) -> None:
    code, document = world.probe("good", "--send", "bob@good.example")
    [message] = world.peers["good"].wait_for(1)
    assert (code, document["sent"]["ok"], document["sent"]["reply"]) == (0, True, "250 2.0.0 taken")
    assert message.recipients == ("bob@good.example",)
    assert message.tls == "TLSv1.3"
    assert b"Subject: Test message" in message.data
    code, document = world.probe("expired", "--send", "bob@expired.example")
    assert (code, world.peers["expired"].messages) == (1, [])
    assert "certificate-expired" in document["sent"]["reason"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "name a connector or a domain, or give --all"),
        (("good", "--all"), "name one connector or domain"),
        (("default",), "leads to no host by itself"),
        (("no such",), "no connector is called 'no such'"),
        (("good", "--send", "bob@expired.example"), "does not go that way, but by expired"),
        (("good", "--send", "bob"), "--send"),
    ],
)
def test_what_cannot_be_meant_is_said(world: World, words: tuple[str, ...], complaint: str) -> None:
    done = mta("probe", *words, "--config", str(world.config))
    assert done.returncode == 2
    assert complaint in done.stderr


def test_every_host_of_a_domain_is_asked_and_a_name_server_in_trouble_is_told(tmp_path: Path) -> None:
    FABRIKAM.write(tmp_path / "fabrikam-ca.pem")
    good, clear = script(tmp_path, GOOD, "good"), Script()
    zone = {
        ("fabrikam.example", "MX"): ["10 mx1.fabrikam.example.", "20 mx2.fabrikam.example."],
        ("mx1.fabrikam.example", "A"): ["127.0.0.1"],
        ("mx1.fabrikam.example", "AAAA"): ["::1"],  # where nobody listens
        ("mx2.fabrikam.example", "A"): ["127.0.0.2"],
        ("bogus.example", "MX"): SERVFAIL,
    }
    with hosts_on_one_port(("127.0.0.1", good), ("127.0.0.2", clear)) as peers, dns_server(zone) as dns:
        config = tmp_path / "connectors.yaml"
        config.write_text(
            f'server: {{hostname: mx.contoso.example, dns: {{nameservers: ["{dns.host}:{dns.port}"]}}}}\nconnectors:\n'
            f"  fabrikam: {{domains: [fabrikam.example, bogus.example], inbound: {{identity: none}},"
            f" outbound: {{tls: {TLS}, port: {peers[0].port}}}}}\n"
        )
        code, document = World(config, {}).probe("fabrikam")
        first, second = document["probes"]
        assert [(host["host"], host["address"], host["judgement"]) for host in first["hosts"]] == [
            ("mx1.fabrikam.example", "::1", "spare"),
            ("mx1.fabrikam.example", "127.0.0.1", "good"),
            ("mx2.fabrikam.example", "127.0.0.2", "bad"),
        ]
        assert (code, first["ok"], second["hosts"]) == (1, False, [])
        assert second["failure"].startswith("dns: ")


@pytest.mark.peer
@needs("postfix", root=True)
def test_a_postfix_that_has_rolled_its_key_over_satisfies_whoever_agreed_on_both(tmp_path: Path) -> None:
    old, new = FABRIKAM.issue(dns_names=[NAME]), FABRIKAM.issue(dns_names=[NAME])
    chain, key = new.write(tmp_path, "new")
    settings = {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": str(chain),
        "smtpd_tls_key_file": str(key),
    }
    with postfix(settings, domains=["fabrikam.example"]) as partner:
        route = f'{{hosts: ["127.0.0.1:{partner.port}"]}}'
        config = tmp_path / "connectors.yaml"
        for pins, expected in (([old, new], (0, "tls=pinned")), ([old], (1, "tls=encrypted!pinned"))):
            agreed = ", ".join(f'"{each.spki_pin}"' for each in pins)
            lines = connector("fabrikam", route, f"{{pins: [{agreed}]}}")
            config.write_text(f"server: {{hostname: mx.contoso.example}}\nconnectors:\n{lines}")
            code, document = World(config, {}).probe("fabrikam")
            assert (code, document["probes"][0]["hosts"][0]["verdict"]) == expected
