"""A partner is down; the administrator looks, holds, releases, and tries at once when it is back."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.running_mta import RunningMta, free_port, running_mta, until
from tests.support.smtp_peer import smtp_peer

CONFIGURATION = """
    server:
      hostname: mx.contoso.example
      listen: [{address: "127.0.0.1:{port}"}]
      workers: 2
    connectors:
      internal: {relay: true, inbound: {networks: [127.0.0.0/8]}}
      fabrikam:
        domains: [fabrikam.example]
        inbound: {identity: none}
        outbound: {route: {hosts: ["127.0.0.1:PARTNER"]}, tls: {level: none}}
"""
BOB = "bob@fabrikam.example"


@pytest.fixture
def partner() -> int:
    return free_port()


@pytest.fixture
def relay(tmp_path: Path, partner: int) -> Iterator[RunningMta]:
    with running_mta(tmp_path, CONFIGURATION.replace("PARTNER", str(partner))) as running:
        yield running


def send(relay: RunningMta, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
        client.sendmail("alice@contoso.example", recipients, "Subject: hello\r\n\r\nbody\r\n")


def waiting(relay: RunningMta) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = relay.ask("queue", "list")["messages"]
    return messages


def test_mail_waits_is_shown_and_goes_out_at_the_administrators_word(relay: RunningMta, partner: int) -> None:
    for _ in range(3):
        send(relay, BOB)
    until(lambda: len(relay.seen("delivery.deferred")) == 3)
    first, *_ = waiting(relay)
    assert len(waiting(relay)) == 3
    listed = relay.command("queue", "list", check=True).stdout.splitlines()
    assert len(listed) == 4
    assert all(BOB in line and "queued" in line and "Connection refused" in line for line in listed[1:])

    shown = relay.command("trace", first["id"], check=True).stdout
    assert "not delivered yet: bob@fabrikam.example" in shown
    assert "Connection refused" in shown
    assert "is queued after 1 attempt; next: an attempt in" in shown

    with smtp_peer(port=partner) as peer:
        changed = relay.ask("queue", "retry", "--connector", "fabrikam")["changed"]
        assert len(changed) == 3
        peer.wait_for(3)
        until(lambda: waiting(relay) == [])
    assert "is delivered after 2 attempts" in relay.command("trace", first["id"], check=True).stdout
    [told] = relay.ask("trace", first["id"])["messages"]
    assert [recipient["attempts"] for recipient in told["recipients"]] == [
        2
    ]  # one asked for by hand is an attempt, too


def test_held_mail_stays_until_it_is_released_and_deleted_mail_is_gone(relay: RunningMta, partner: int) -> None:
    send(relay, BOB)
    until(lambda: relay.seen("delivery.deferred"))
    [message] = waiting(relay)
    held = relay.command("queue", "hold", message["id"], "--note", "ask Bob", check=True)
    assert held.stdout == f"held {message['id']}\n"
    [line] = relay.command("queue", "list", "--status", "held", check=True).stdout.splitlines()[1:]
    assert line.endswith("when released  held by the administrator: ask Bob")
    assert relay.command("queue", "hold", message["id"]).returncode == 1  # it is held already

    deleted = relay.command("queue", "delete", "--to", "fabrikam.example", check=True)
    assert deleted.stdout == f"deleted {message['id']}\n"
    assert waiting(relay) == []
    assert "is deleted" in relay.command("trace", "--to", BOB, "--status", "deleted", check=True).stdout


def test_a_change_without_a_filter_is_refused(relay: RunningMta) -> None:
    done = relay.command("queue", "delete")
    assert done.returncode == 2
    assert done.stderr == "mta: delete: name a message, a filter, or --all\n"


def test_commands_work_while_no_relay_runs(relay: RunningMta) -> None:
    send(relay, BOB)
    until(lambda: relay.seen("delivery.deferred"))
    relay.stop()
    [message] = waiting(relay)
    assert relay.command("queue", "hold", "--all", check=True).stdout == f"held {message['id']}\n"
    assert "held: bob@fabrikam.example" in relay.command("queue", "show", message["id"], check=True).stdout


def test_nothing_found_is_exit_1_and_a_bad_since_is_exit_2(relay: RunningMta) -> None:
    nothing = relay.command("trace", "nope")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (1, "", "mta: no message matches\n")
    wrong = relay.command("trace", "--since", "yesterday")
    assert wrong.returncode == 2
    assert "expected 30m, 4h, 2d or 2026-11-23T10:00, saw 'yesterday'" in wrong.stderr
