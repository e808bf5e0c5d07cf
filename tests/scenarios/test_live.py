"""What a person sees while it happens: one screen, and the events."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.outgoing import outgoing
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import smtp_peer

BOB = "bob@fabrikam.example"
CONNECTORS = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{0}"]}}, tls: {{level: none}}}}
"""


def test_status_and_tail_tell_what_happens_now(tmp_path: Path) -> None:
    with smtp_peer() as peer, outgoing(tmp_path, CONNECTORS.format(peer.port), server="workers: 2") as ours:
        with ThreadPoolExecutor(1) as desk:
            words = ("--to", "BOB@", "--event", "delivery.", "--connector", "fabrikam", "--ip", "127.0.0.1")
            looking = desk.submit(ours.relay.command, "tail", "--json", "--lines", "1", *words)
            sent: list[str] = []

            def seen() -> bool:
                sent.append(ours.send(BOB))
                ours.ends(sent[-1])
                return looking.done()

            until(seen)
        event = json.loads(looking.result().stdout)
        assert (event["event"], event["connector"], event["to"]) == ("delivery.delivered", "fabrikam", [BOB])
        assert event["message"] in sent
        found = ours.relay.ask("status")
        assert found["workers"] == {"up": [0, 1], "silent": []}
        assert found["connectors"]["fabrikam"]["delivered"] == len(sent)
        assert found["connectors"]["internal"]["accepted"] == len(sent)
        told = ours.relay.command("top", "--times", "1")
        assert told.returncode == 0
        assert "workers: 2 answer" in told.stdout
        ours.relay.stop()
        assert ours.relay.command("status").returncode == 1
        gone = ours.relay.command("tail")
        assert gone.returncode != 0
        assert "no worker answers" in gone.stderr


def test_nobody_runs(tmp_path: Path) -> None:
    with outgoing(tmp_path, CONNECTORS.format(free_port())) as ours:
        ours.relay.stop()
        found = json.loads(ours.relay.command("status", "--json").stdout)
        assert found["workers"] == {"up": [], "silent": [0]}
