"""Processes are killed in the middle of their work: whatever was answered 250 arrives, whole, and hardly ever twice."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.load import Load
from tests.support.running_mta import RunningMta, running_mta, until
from tests.support.smtp_peer import SmtpPeer, smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: {workers}
  limits: {{retry_min: 1s, retry_max: 1s, host_backoff: 0s}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""


def config(peer: SmtpPeer, workers: int = 2) -> str:
    return CONFIG.format(peer=peer.port, workers=workers)


def serves(port: int) -> bool:
    """Whether anybody still listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def kill_one(relay: RunningMta, random: Random) -> int:
    """SIGKILL to one of the workers; its place among them."""
    victim = random.choice(until(lambda: len(relay.workers()) == 2 and relay.workers()))
    before = len(relay.seen("worker.died"))
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(relay.seen("worker.died")) > before, describe=relay.story)
    died = relay.seen("worker.died")[before]
    assert died["status"] == -signal.SIGKILL
    return int(died["worker"])


def test_workers_are_killed_under_load(tmp_path: Path) -> None:
    random, kills = Random(6152), 5
    with smtp_peer() as peer, running_mta(tmp_path, config(peer)) as relay:
        with Load(relay, sessions=6) as load:
            for _ in range(kills):
                load.wait_for_more(random.randrange(20, 60))
                time.sleep(random.random() * 0.05)  # any instant will do
                number = kill_one(relay, random)
                started = len(relay.seen("worker.started", worker=number))
                until(lambda n=number, s=started: len(relay.seen("worker.started", worker=n)) >= s)
            load.wait_for_more(30)
        assert not [error for error in load.broken if "Refused" in error], "the port is never closed"
        assert load.refused == []
        times = load.assert_arrived(peer)
        assert max(times.values()) <= 1 + kills
        again = sum(count - 1 for count in times.values())
        assert again <= kills * 40  # of those on their way at that instant, not of the whole history
        assert relay.seen("defect") == []


def test_the_supervisor_is_killed_under_load_and_started_again(tmp_path: Path) -> None:
    random, kills = Random(5321), 3
    load = None
    with smtp_peer() as peer:
        arrived: list[Load] = []
        port = None
        for round_ in range(kills + 1):
            with running_mta(tmp_path, config(peer), port=port) as relay:
                port = relay.port
                with Load(relay, sessions=5, name=f"r{round_}") as load:
                    load.wait_for(random.randrange(40, 80))
                    time.sleep(random.random() * 0.05)
                    if round_ < kills:
                        workers = relay.workers()
                        relay.kill()
                        until(lambda w=workers: not any(map(alive, w)), 1.0, describe="workers follow at once")
                        until(lambda p=port: not serves(p), 1.0, describe="no orphan keeps the port")
                arrived.append(load)
                if round_ == kills:
                    whole = merged(relay, arrived)
                    times = whole.assert_arrived(peer)
                    assert relay.seen("defect") == []
        assert max(times.values()) <= 1 + kills
        assert sum(count - 1 for count in times.values()) <= kills * 60


def merged(relay: RunningMta, loads: list[Load]) -> Load:
    """Several loads told as one."""
    return Load(
        relay,
        acknowledged=[id_ for load in loads for id_ in load.acknowledged],
        unknown=[id_ for load in loads for id_ in load.unknown],
    )


def test_connections_that_wait_for_a_dead_worker_are_served_by_its_successor(tmp_path: Path) -> None:
    with smtp_peer() as peer, running_mta(tmp_path, config(peer, workers=1)) as relay:
        [worker] = relay.workers()
        with contextlib.ExitStack() as stack:
            with frozen(worker):
                waiting = [
                    stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), 10)) for _ in range(20)
                ]
                os.kill(worker, signal.SIGKILL)
                relay.wait_for("worker.died", worker=0)
            greetings = [connection.recv(200) for connection in waiting]
        assert all(greeting.startswith(b"220 ") for greeting in greetings), greetings
        assert relay.workers() != [worker]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV])
def test_a_worker_that_ends_by_itself_is_started_again(number: signal.Signals, tmp_path: Path) -> None:
    with smtp_peer() as peer, running_mta(tmp_path, config(peer, workers=1)) as relay:
        [worker] = relay.workers()
        os.kill(worker, number)
        relay.wait_for("worker.died", worker=0)
        until(lambda: len(relay.seen("worker.started")) == 2, describe=relay.story)
        with smtplib.SMTP("127.0.0.1", relay.port) as session:
            session.sendmail("a@fabrikam.example", ["b@contoso.example"], b"Subject: x\r\n\r\nx\r\n")
        peer.wait_for(1)
