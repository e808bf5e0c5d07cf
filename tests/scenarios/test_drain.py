"""A stop is gentle: what was begun is finished or told 421, what was taken is in the queue, and the port is let go."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import client
from tests.support.load import Load, content_of
from tests.support.patience import PATIENCE, patient
from tests.support.running_mta import RunningMta, free_port, mta, running_mta, until
from tests.support.smtp_peer import Pause, Script, SmtpPeer, smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: {workers}
  limits: {{retry_min: 1s, retry_max: 1s, host_backoff: 0s, shutdown_timeout: {timeout}}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""


def config(peer_port: int, workers: int = 1, timeout: str = "10s") -> str:
    return CONFIG.format(peer=peer_port, workers=workers, timeout=timeout)


@contextlib.contextmanager
def relaying(
    folder: Path, *, script: Script | None = None, timeout: str = "10s"
) -> Iterator[tuple[RunningMta, SmtpPeer]]:
    with smtp_peer(script) as peer, running_mta(folder, config(peer.port, timeout=timeout)) as relay:
        yield relay, peer


def terminate(relay: RunningMta) -> None:
    relay.process.send_signal(signal.SIGTERM)
    relay.wait_for("server.stopping")
    until(lambda: not accepts(relay.port), describe="the port is let go")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def reply_of(session: smtplib.SMTP) -> str:
    """The next reply, or that the connection was closed."""
    try:
        code, text = session.getreply()
    except smtplib.SMTPServerDisconnected:
        return "closed"
    return f"{code} {text.decode()}"


def test_under_load_everything_acknowledged_is_delivered_now_or_after_the_next_start(tmp_path: Path) -> None:
    with smtp_peer() as peer:
        with running_mta(tmp_path, config(peer.port, workers=2)) as relay, Load(relay, sessions=6) as load:
            load.wait_for(100)
            begun = time.monotonic()
            assert relay.stop() == 0
            assert time.monotonic() - begun < patient(10)
            assert relay.seen("server.stopped", killed=0)
        assert load.unknown == [], "a message that was sent whole got its reply"
        assert all("421 4.3.2" in reply for reply in load.refused), load.refused
        with running_mta(tmp_path, config(peer.port, workers=2), port=relay.port) as again:
            times = load.assert_arrived(peer)
            assert again.seen("defect") == []
        assert set(times.values()) == {1}, "a gentle stop duplicates nothing"
        assert relay.seen("defect") == []


def test_a_message_on_its_way_in_is_taken_then_the_client_hears_421(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, peer), client(relay.port) as session:
        for command in ("MAIL FROM:<a@fabrikam.example>", "RCPT TO:<b@contoso.example>", "DATA"):
            session.say(command)
        session.smtp.send(content_of("late")[:-20])
        terminate(relay)
        session.smtp.send(content_of("late")[-20:] + b".\r\n")
        assert reply_of(session.smtp).startswith("250 "), relay.story()
        assert reply_of(session.smtp).startswith("421 4.3.2")
        assert relay.stop() == 0
        with running_mta(tmp_path, config(peer.port), port=relay.port):
            [message] = peer.wait_for(1)
        assert message.data.endswith(content_of("late"))
        session.smtp.quit = lambda: None  # type: ignore[method-assign] # the relay has said goodbye already


def test_a_client_between_two_commands_hears_421(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, _), smtplib.SMTP("127.0.0.1", relay.port) as session:
        session.ehlo()
        session.mail("a@fabrikam.example")
        terminate(relay)
        assert reply_of(session) == "421 4.3.2 Service shutting down, try again later"
        assert reply_of(session) == "closed"
        assert relay.stop() == 0


def test_a_client_that_never_ends_its_message_is_told_421_when_time_is_over(tmp_path: Path) -> None:
    with (
        relaying(tmp_path, timeout="1s") as (relay, _),
        smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as session,
    ):
        session.ehlo()
        for command in ("MAIL FROM:<a@fabrikam.example>", "RCPT TO:<b@contoso.example>", "DATA"):
            session.docmd(command)
        session.send(b"Subject: never\r\n\r\n")
        begun = time.monotonic()
        relay.process.send_signal(signal.SIGTERM)
        assert reply_of(session).startswith("421 4.3.2")
        assert relay.stop() == 0
        assert 1 <= time.monotonic() - begun < patient(4)
        assert relay.seen("server.stopped", killed=0)
        assert relay.seen("defect") == []


def test_a_delivery_in_progress_is_finished_and_not_repeated(tmp_path: Path) -> None:
    slow = Script(replies={"DOT": (Pause(1.0), "250 2.0.0 taken")})
    with relaying(tmp_path, script=slow) as (relay, peer):
        with client(relay.port) as session:
            assert session.send("a@fabrikam.example", ["b@contoso.example"]).accepted
        peer.wait_for_command("DATA")
        assert relay.stop() == 0
        assert len(peer.messages) == 1
        with running_mta(tmp_path, config(peer.port)) as again:
            assert again.ask("queue", "list")["messages"] == []
            [record] = again.ask("trace")["messages"]
            assert [recipient["state"] for recipient in record["recipients"]] == ["delivered"]
        assert len(peer.messages) == 1


def test_a_second_stop_signal_changes_nothing(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, _):
        relay.process.send_signal(signal.SIGINT)
        relay.process.send_signal(signal.SIGTERM)
        assert relay.process.wait(PATIENCE) == 0


def test_a_second_relay_on_the_same_queue_refuses(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, _):
        other = tmp_path / "other.yaml"
        other.write_text(relay.config.read_text().replace(str(relay.port), str(free_port())))
        done = mta("serve", "--config", str(other))
        assert done.returncode == 2
        [line] = [line for line in done.stderr.splitlines() if line.startswith("mta: ")]
        assert line == f"mta: the queue {tmp_path}/var/queue is served by another process: is a relay running already?"


def test_a_second_relay_on_the_same_port_refuses(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, _):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "connectors.yaml").write_text(relay.config.read_text())
        refuses(elsewhere, relay.port)


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with SO_REUSEPORT"])
def test_a_port_that_a_foreign_process_holds_is_refused(shared: bool, tmp_path: Path) -> None:
    with socket.socket() as foreign:
        if shared:
            foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        port = foreign.getsockname()[1]
        (tmp_path / "connectors.yaml").write_text(config(free_port()).replace("{port}", str(port)))
        refuses(tmp_path, port)


def refuses(folder: Path, port: int) -> None:
    done = mta("serve", "--config", str(folder / "connectors.yaml"))
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("mta: ")]
    assert line == f"mta: 127.0.0.1 port {port} is in use by another process: is a relay running already?"
    assert "Traceback" not in done.stderr


def test_a_worker_that_is_being_started_does_not_delay_the_stop(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, _):
        for turn in range(1, 5):  # the pause before the next start grows
            [worker] = until(relay.workers)
            os.kill(worker, signal.SIGKILL)
            until(lambda turn=turn: len(relay.seen("worker.died")) == turn)
        assert relay.seen("worker.died")[-1]["again_in"] >= 0.4
        begun = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - begun < patient(2)
