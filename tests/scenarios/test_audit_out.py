"""A contract in audit mode: mail goes where it says, nothing is refused that everyone else may do, and it is told."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.scenarios.test_auth_out import BOB, CLOUD, GOOD, NAME, connector, host, nobody_read_it, plain
from tests.support.outgoing import outgoing
from tests.support.smtp_peer import smtp_peer

STRANGE = CLOUD.issue(dns_names=["other.example"])
PASSWORD = "correct horse battery staple"
MODES = ["audit", "{inbound: enforce, outbound: audit}"]


def audited(text: str, mode: str = "audit") -> str:
    return text.replace("  domains:", f"  mode: {mode}\n  domains:", 1)


def without_auth(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "auth:" not in line) + "\n"


@pytest.mark.parametrize("mode", MODES)
def test_mail_takes_the_contract_s_route_and_the_difference_is_told(tmp_path: Path, mode: str) -> None:
    script = host(tmp_path, auth="", issued=STRANGE)
    with (
        smtp_peer(script) as peer,
        outgoing(tmp_path, audited(without_auth(connector(tmp_path, peer.port)), mode)) as ours,
    ):
        id_ = ours.send(BOB)
        assert ours.ends(id_) == {BOB: "delivered"}
        assert len(peer.messages) == 1
        line = ours.relay.wait_for("delivery.delivered", message=id_)
        assert line["would_wait"].startswith("certificate-name: ")
        assert "audit: enforced, it would have waited: certificate-name" in ours.relay.command("trace", id_).stdout
        words = ("--from", "a@ours.example", "--to", BOB, "--client-ip", "127.0.0.1", "--json")
        [recipient] = json.loads(ours.relay.command("explain", *words).stdout)["recipients"]
        assert (recipient["mode"], recipient["route"]) == ("audit", {"hosts": [f"127.0.0.1:{peer.port}"]})
        assert recipient["tls"]["would"]["names"] == [NAME]


def test_where_the_contract_is_kept_nothing_is_told(tmp_path: Path) -> None:
    script = host(tmp_path, issued=GOOD)
    with smtp_peer(script) as peer, outgoing(tmp_path, audited(connector(tmp_path, peer.port))) as ours:
        id_ = ours.send(BOB)
        assert ours.ends(id_) == {BOB: "delivered"}
        assert plain(PASSWORD) in "\n".join(peer.commands), "it proved what the contract demands"
        assert "would_wait" not in ours.relay.wait_for("delivery.delivered", message=id_)


def test_the_password_goes_to_nobody_else(tmp_path: Path) -> None:
    script = host(tmp_path, issued=STRANGE)
    with smtp_peer(script) as peer, outgoing(tmp_path, audited(connector(tmp_path, peer.port))) as ours:
        failed = ours.waits(ours.send(BOB))["attempts"][0]
        assert failed["failure"]["reason"].startswith("auth-unprotected: ")
        assert not any(command.startswith(("AUTH", "MAIL")) for command in peer.commands)
        assert base64.b64encode(PASSWORD.encode()).decode() not in "\n".join(peer.commands)
        assert nobody_read_it(ours, peer)
