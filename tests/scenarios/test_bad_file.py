"""A problem in connectors.yaml locks no administrator out: the commands work with what is in force, or can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.outgoing import Outgoing, outgoing
from tests.support.running_mta import free_port

BOB = "bob@fabrikam.example"
CONNECTORS = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{0}"]}}, tls: {{level: none}}}}
northwind:
  domains: [northwind.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{0}"]}}, tls: {{level: none}}}}
"""
EXPLAIN = ("explain", "--from", "alice@contoso.example", "--to", BOB, "--client-ip", "127.0.0.1", "--json")


@pytest.fixture(params=["typo", "no yaml"])
def broken(request: pytest.FixtureRequest) -> tuple[str, str]:
    """What in the file is written otherwise, and how."""
    return {"typo": ("fabrikam.example", "'fabrikam example'"), "no yaml": ("connectors:", "connectors: [")}[
        request.param
    ]


def break_file(ours: Outgoing, broken: tuple[str, str]) -> None:
    text = ours.relay.config.read_text()
    assert broken[0] in text
    ours.relay.config.write_text(text.replace(*broken))
    assert ours.relay.command("check").returncode == 2


def test_the_commands_work_with_what_the_live_relay_has_in_force(tmp_path: Path, broken: tuple[str, str]) -> None:
    with outgoing(tmp_path, CONNECTORS.format(free_port())) as ours:
        id_ = ours.send(BOB)
        ours.waits(id_)
        break_file(ours, broken)
        listed = ours.relay.command("queue", "list")
        assert (listed.returncode, id_ in listed.stdout) == (0, True)
        assert "what the relay has in force since" in listed.stderr
        traced = ours.relay.command("trace", id_)
        assert (traced.returncode, id_ in traced.stdout) == (0, True)
        explained = ours.relay.command(*EXPLAIN)
        assert explained.returncode == 0, explained.stderr
        assert json.loads(explained.stdout)["recipients"][0]["connector"] == "fabrikam"
        assert "what the relay has in force since" in explained.stderr
        assert ours.relay.command("certs", "list").returncode == 0
        held = ours.relay.command("queue", "hold", id_)
        assert (held.returncode, id_ in held.stdout) == (0, True)


def test_without_a_relay_they_work_with_what_can_be_read(tmp_path: Path, broken: tuple[str, str]) -> None:
    with outgoing(tmp_path, CONNECTORS.format(free_port())) as ours:
        id_ = ours.send(BOB)
        ours.waits(id_)
        ours.relay.stop()
        break_file(ours, broken)
        listed = ours.relay.command("queue", "list")
        assert (listed.returncode, id_ in listed.stdout) == (0, True)
        assert "1 problem" in listed.stderr
        assert ours.relay.command(*EXPLAIN).returncode == 2  # which contract would be meant is not guessed
        certificates = ours.relay.command("certs", "list")
        if "[" in broken[1]:
            assert certificates.returncode == 2
        else:
            assert certificates.returncode == 0
            assert "told without connectors.fabrikam" in certificates.stderr
