"""From traffic to a contract: suggested of what was seen, tried on the past, then enforced."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.support.client import Tls, send
from tests.support.dns_server import dns_server
from tests.support.moment import EPOCH
from tests.support.pki import Authority
from tests.support.running_mta import running_mta
from tests.support.signatures import ed25519_key, local_signer, record, signed
from tests.support.smtp_peer import smtp_peer

BOB, ALICE = "bob@fabrikam.example", "alice@contoso.example"
ZONE = {("e._domainkey.fabrikam.example", "TXT"): [f'"{record(ed25519_key()).decode()}"']}
CONFIGURATION = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  certificate: {{chain: mx.pem, key: mx.key}}
  workers: 1
  log: {{format: json}}
  dns: {{nameservers: ["127.0.0.1:{dns}"]}}
domains:
  contoso.example: {{deliver_to: ["127.0.0.1:{mailbox}"], connector: inside}}
connectors:
  inside: {{outbound: {{tls: {{level: none}}}}}}
  default: {{inbound: {{authentication: {{dmarc: report}}}}}}
"""


def letter(number: int) -> bytes:
    raw = f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: {number}\r\n\r\nHello.\r\n".encode()
    return signed(raw, local_signer("fabrikam.example", "e", ed25519_key()), now=EPOCH)


def test_a_contract_grows_out_of_the_traffic(tmp_path: Path) -> None:
    """What Fabrikam did every time is proposed; the past would have kept it; a forger would not."""
    Authority("Contoso Root").issue(dns_names=["mx.contoso.example"]).write(tmp_path, "mx")
    with dns_server(ZONE) as names, smtp_peer() as mailbox:
        text = CONFIGURATION.format(dns=names.port, mailbox=mailbox.port)
        with running_mta(tmp_path, text) as relay:
            for number in range(3):
                assert send(relay.port, BOB, [ALICE], letter(number), tls=Tls()).accepted
            mailbox.wait_for(3)

            told = relay.command("connectors", "suggest", "--at-least", "3", "--json")
            assert told.returncode == 0, told.stderr
            proposal = json.loads(told.stdout)
            contract = proposal["connectors"]["fabrikam.example"]
            assert contract["mode"] == "audit"
            assert contract["inbound"]["authentication"] == {"dkim": "aligned", "min_rsa_bits": 2048}
            assert contract["inbound"]["tls"] == "required"
            assert yaml.safe_load(proposal["yaml"])["connectors"] == proposal["connectors"]
            assert relay.command("connectors", "suggest").returncode == 1  # three are no ten

            block = proposal["yaml"].partition("connectors:\n")[2]
            candidate = tmp_path / "candidate.yaml"
            candidate.write_text(relay.config.read_text() + block)
            good = relay.command("connectors", "replay", "--file", str(candidate))
            assert good.returncode == 0, good.stdout + good.stderr
            assert "3 messages: 0 worse, 0 unknown, 0 other, 3 same" in good.stdout

            unsigned = letter(4).partition(b"From:")
            assert send(relay.port, BOB, [ALICE], b"From:" + unsigned[2]).accepted  # a forger, in clear
            bad = relay.command("connectors", "replay", "--file", str(candidate), "--json")
            assert bad.returncode == 1
            document = json.loads(bad.stdout)
            assert document["summary"] == {"worse": 1, "unknown": 0, "other": 0, "same": 3}
            [message] = document["messages"]
            assert message["inbound"]["connector"] == {"was": "default", "now": "fabrikam.example"}
            assert message["inbound"]["reply"] is None or message["inbound"]["would"] == "refuse"
            assert any(reason.startswith("no-tls:") for reason in message["inbound"]["reasons"])

            relay.reload(candidate.read_text().replace("mode: audit", "mode: enforce"))
            relay.wait_for("server.reloaded", worker=0)
            refused = send(relay.port, BOB, [ALICE], b"From:" + unsigned[2])
            assert str(refused.mail).startswith("530 5.7.0"), refused
            assert send(relay.port, BOB, [ALICE], letter(5), tls=Tls()).accepted
