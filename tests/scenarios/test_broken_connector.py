"""A file of one partner cannot be used: that contract stops and says why, all others work, and it is never laxer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.client import Tls, client, send
from tests.support.outgoing import outgoing
from tests.support.pki import Authority
from tests.support.running_mta import free_port, mta, running_mta, until
from tests.support.smtp_peer import smtp_peer

NOW = datetime.now(UTC).replace(microsecond=0)
OLD = Authority("Old Root", not_before=NOW - timedelta(60), not_after=NOW - timedelta(30))
FABRIKAM = Authority("Fabrikam Root")
NAME = "mail.fabrikam.example"
GOOD = FABRIKAM.issue(dns_names=[NAME])
SERVER = FABRIKAM.issue(dns_names=["mx.contoso.example"])

INBOUND = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  certificate: {{chain: mx.contoso.example.pem, key: mx.contoso.example.key}}
  metrics: {{address: "127.0.0.1:{metrics}"}}
  workers: 1
  watch: 0.2s
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"], connector: inside}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
  inside: {{relay: true, inbound: {{networks: [127.0.0.2/32]}}, outbound: {{tls: {{level: none}}}}}}
  fabrikam:
    domains: [fabrikam.example]
    inbound: {{tls: {{client_certificate: {{names: [{name}], ca: fabrikam-ca.pem}}}}}}
  gateway:
    relay: true
    inbound: {{tls: {{client_certificate: {{names: [{name}], ca: gateway-ca.pem}}}}}}
"""


def test_one_partner_s_expired_ca_stops_that_contract_alone(tmp_path: Path) -> None:
    SERVER.write(tmp_path, "mx.contoso.example")
    chain, _ = GOOD.write(tmp_path, "fabrikam")
    OLD.write(tmp_path / "fabrikam-ca.pem")
    OLD.write(tmp_path / "gateway-ca.pem")
    partner, metrics = Tls(GOOD), free_port()
    with (
        smtp_peer() as peer,
        running_mta(tmp_path, INBOUND.format(metrics=metrics, peer=peer.port, name=NAME)) as relay,
    ):
        line = relay.wait_for("connector.broken", connector="fabrikam")
        assert line["direction"] == "inbound"
        assert "inbound.tls.client_certificate.ca: no CA in" in line["text"]
        page = urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=20).read().decode()
        assert 'mta_connector_broken{connector="fabrikam",direction="inbound"' in page

        assert send(relay.port, "eve@tailspin.example", ["a@contoso.example"]).accepted, "all others work"
        with client(relay.port, tls=partner) as session:
            said = session.say("MAIL FROM:<bob@fabrikam.example>")
        assert said.startswith("451 4.3.5 mail from fabrikam.example cannot be checked now"), (
            "whoever has a certificate"
        )
        with client(relay.port) as session:
            assert session.say("MAIL FROM:<bob@fabrikam.example>").startswith("530"), "what is wrong anyway stays wrong"
        with client(relay.port, tls=partner) as session:  # it may be the gateway, which may relay: that cannot be told
            session.say("MAIL FROM:<eve@tailspin.example>")
            assert session.say("RCPT TO:<eve@far.example>").startswith("451")

        done = relay.command("check")
        assert done.returncode == 2
        assert "connectors.fabrikam.inbound.tls.client_certificate.ca: no CA in" in done.stderr
        document = json.loads(relay.command("check", "--json").stdout)
        assert (document["ok"], len(document["problems"])) == (False, 2)
        words = ("--from", "bob@fabrikam.example", "--to", "a@contoso.example", "--tls", "1.3", "--client-cert", chain)
        told = json.loads(relay.command("explain", *map(str, words), "--json").stdout)["inbound"]
        assert (told["connector"], told["decision"]) == ("fabrikam", "defer")
        assert told["reasons"][0].startswith("contract-broken: inbound.tls.client_certificate.ca: no CA in")

        FABRIKAM.write(tmp_path / "fabrikam-ca.pem")  # mended: taken over by itself
        relay.wait_for("connector.mended", connector="fabrikam", direction="inbound")
        until(lambda: relay.seen("server.reloaded", worker=0))
        assert send(relay.port, "bob@fabrikam.example", ["a@contoso.example"], tls=partner).accepted
        assert relay.seen("connector.broken", connector="gateway")
        (tmp_path / "fabrikam-ca.pem").write_text("half of a fi")  # and broken while it runs
        until(lambda: len(relay.seen("server.reloaded", worker=0)) == 2)
        with client(relay.port, tls=partner) as session:
            assert session.say("MAIL FROM:<bob@fabrikam.example>").startswith("451 4.3.5")
        assert not relay.seen("server.reload-refused")


BROKEN_OUT = {
    "an expired CA": ("tls: {ca: old-ca.pem}", "tls.ca: no CA in"),
    "a CA that is not there": ("tls: {ca: none.pem}", "tls.ca: "),
    "a list that is none": ("tls: {ca: good-ca.pem, crl: [good-ca.pem]}", "tls.crl[0]: "),
    "a key of another certificate": (
        "client_certificate: {chain: one.pem, key: two.key}, tls: {level: opportunistic}",
        "client_certificate.key: the key does not belong",
    ),
    "no password": ("tls: {level: verified}, auth: {user: u, password_file: none}", "auth.password_file: "),
    "certificates of people": (
        "tls: {level: none}, smime: {encrypt: required, certificates: [none.pem]}",
        "smime.certificates[0]: ",
    ),
}


@pytest.mark.parametrize("keys", BROKEN_OUT)
def test_mail_waits_for_what_is_broken_and_for_nothing_else(tmp_path: Path, keys: str) -> None:
    OLD.write(tmp_path / "old-ca.pem")
    FABRIKAM.write(tmp_path / "good-ca.pem")
    GOOD.write(tmp_path, "one")
    SERVER.write(tmp_path, "two")
    text, reason = BROKEN_OUT[keys]
    with smtp_peer() as broken, smtp_peer() as sound:
        connectors = f"""
broken:
  domains: [broken.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{broken.port}"]}}, {text}}}
sound:
  domains: [sound.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{sound.port}"]}}, tls: {{level: none}}}}
"""
        with outgoing(tmp_path, connectors) as ours:
            first, second = ours.send("a@sound.example"), ours.send("b@broken.example")
            assert ours.ends(first) == {"a@sound.example": "delivered"}
            waiting = ours.waits(second)
            assert waiting["reason"].startswith(f"contract-broken: outbound.{reason}"), waiting
            assert broken.connections == 0, "nobody is asked under a contract of which something is missing"
            words = (
                "--from",
                "alice@contoso.example",
                "--to",
                "b@broken.example",
                "--client-ip",
                "127.0.0.1",
                "--json",
            )
            [recipient] = json.loads(ours.relay.command("explain", *words).stdout)["recipients"]
            assert f"mail would wait: contract-broken: outbound.{reason}" in "\n".join(recipient["reasons"])


def test_what_concerns_everybody_stops_the_whole(tmp_path: Path) -> None:
    SERVER.write(tmp_path, "mx.contoso.example")
    OLD.write(tmp_path / "fabrikam-ca.pem")
    path = tmp_path / "connectors.yaml"
    text = INBOUND.format(metrics=1, peer=1, name=NAME).replace("{port}", "1")
    path.write_text(text.replace("tls: optional", "tls: optinal"))
    done = mta("serve", "--config", str(path))
    assert done.returncode == 2
    assert "optional or required" in done.stderr
    assert "no CA in" in done.stderr, "all in one run"
