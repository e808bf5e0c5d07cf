"""Every worker has its shard; a shard whose worker is no more is adopted, and one that is damaged stops nobody."""

from __future__ import annotations

import fcntl
import os
import signal
from collections import Counter
from pathlib import Path

import apsw
import pytest

from tests.support.client import send
from tests.support.load import Load
from tests.support.running_mta import RunningMta, free_port, mta, running_mta, until
from tests.support.smtp_peer import smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: {workers}
  queue: {{store: "sqlite:queue"}}
  limits: {{retry_min: 1s, retry_max: 1s, host_backoff: 0s}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""


def config(peer: int, workers: int) -> str:
    return CONFIG.format(peer=peer, workers=workers)


def fill(folder: Path, peer: int, workers: int, count: int = 24) -> tuple[RunningMta, Load]:
    """Leave messages in the queue: the next hop is down."""
    with running_mta(folder, config(peer, workers)) as relay:
        with Load(relay, sessions=8, most=count) as load:
            load.wait_for(count)
        assert relay.stop() == 0
    return relay, load


def shards_with_mail(folder: Path) -> Counter[int]:
    """How many undelivered recipients each shard holds, read from its file."""
    found: Counter[int] = Counter()
    for path in folder.glob("queue/shard-*/queue.db"):
        db = apsw.Connection(str(path))
        number = db.execute("SELECT count(*) FROM recipient WHERE state = 'queued'").get
        found[int(path.parent.name.removeprefix("shard-"))] = number
        db.close()
    return found


def listed(*answers: dict[str, list[dict[str, str]]]) -> Counter[str]:
    return Counter(message["id"] for answer in answers for message in answer["messages"])


def test_mail_of_three_workers_is_delivered_by_one(tmp_path: Path) -> None:
    down = free_port()
    _, load = fill(tmp_path, down, 3, 40)
    before = shards_with_mail(tmp_path)
    assert sum(before.values()) == 40
    assert sum(1 for number in before.values() if number) >= 2, before
    with running_mta(tmp_path, config(down, 1)) as relay:
        for number in (1, 2):
            relay.wait_for("shard.adopted", shard=number, worker=0)
        assert set(listed(relay.ask("queue", "list")).values()) == {1}, "each message is told once"
        with smtp_peer(port=down) as peer:
            assert set(load.assert_arrived(peer).values()) == {1}
            until(lambda: relay.ask("queue", "list")["messages"] == [])
    assert sum(shards_with_mail(tmp_path).values()) == 0


def test_mail_of_one_worker_is_delivered_beside_two_new_ones(tmp_path: Path) -> None:
    down = free_port()
    _, load = fill(tmp_path, down, 1)
    with smtp_peer(port=down) as peer, running_mta(tmp_path, config(down, 3)) as relay:
        assert set(load.assert_arrived(peer).values()) == {1}
        assert relay.seen("shard.adopted") == []


def test_the_queue_is_listed_and_changed_while_the_relay_is_stopped(tmp_path: Path) -> None:
    down = free_port()
    relay, _ = fill(tmp_path, down, 2)
    assert set(listed(relay.ask("queue", "list")).values()) == {1}
    ids = sorted(listed(relay.ask("queue", "list")))
    assert len(ids) == 24
    assert relay.command("queue", "delete", ids[0]).returncode == 0
    assert relay.command("queue", "hold", ids[1]).returncode == 0
    assert ids[2] in relay.command("queue", "list").stdout
    with smtp_peer(port=down) as peer, running_mta(tmp_path, config(down, 2)) as again:
        peer.wait_for(22)
        until(lambda: sorted(listed(again.ask("queue", "list"))) == [ids[1]])


def test_a_worker_that_dies_is_started_again_and_its_shard_carries_on(tmp_path: Path) -> None:
    down = free_port()
    with running_mta(tmp_path, config(down, 2)) as relay:
        with Load(relay, sessions=8, most=20) as load:
            load.wait_for(20)
        for worker in relay.workers():
            os.kill(worker, signal.SIGKILL)
        for number in (0, 1):
            until(lambda n=number: len(relay.seen("worker.started", worker=n)) == 2, describe=relay.story)
        assert set(listed(relay.ask("queue", "list")).values()) == {1}
        with smtp_peer(port=down) as peer:
            assert set(load.assert_arrived(peer).values()) == {1}


def test_a_queue_of_a_later_version_is_told_in_one_line_and_left_alone(tmp_path: Path) -> None:
    down = free_port()
    relay, _ = fill(tmp_path, down, 1, 3)
    path = tmp_path / "queue/shard-00/queue.db"
    known = set_version(path, 9999)
    with running_mta(tmp_path, config(down, 1), ready=False) as later:
        later.wait_for("worker.died", status=1)
        until(lambda: len(later.seen("worker.died")) >= 3)
        pauses = [line["again_in"] for line in later.seen("worker.died")]
        assert pauses == sorted(pauses)
        assert pauses[-1] > pauses[0], "it waits longer and longer"
        lines = [line for line in later.raw if line.startswith("mta: ")]
        assert lines[0].startswith(f"mta: {path} has schema version 9999, this mta knows up to ")
        assert "Traceback" not in later.story()
    done = relay.command("queue", "list")
    assert done.returncode == 1
    assert "has schema version 9999" in done.stderr
    set_version(path, known)
    assert len(relay.ask("queue", "list")["messages"]) == 3


def set_version(path: Path, version: int) -> int:
    """Write it; the one that was there."""
    db = apsw.Connection(str(path))
    before = int(db.execute("PRAGMA user_version").get)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    return before


@pytest.mark.parametrize("damage", ["header", "page"])
def test_a_damaged_queue_raises_an_alarm_is_set_aside_and_the_relay_serves(damage: str, tmp_path: Path) -> None:
    down = free_port()
    fill(tmp_path, down, 1, 5)
    path = tmp_path / "queue/shard-00/queue.db"
    content = bytearray(path.read_bytes())
    start = 0 if damage == "header" else 4096
    content[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with smtp_peer(port=down) as peer, running_mta(tmp_path, config(down, 1)) as relay:
        alarm = relay.wait_for("shard.alarm")["alarm"]
        assert "is damaged" in alarm
        assert "was set aside as queue.db.corrupt-1" in alarm
        assert (path.parent / "queue.db.corrupt-1").read_bytes() == bytes(content), "nothing of it is lost"
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        peer.wait_for(1)


def test_a_shard_that_somebody_looks_at_offline_is_waited_for(tmp_path: Path) -> None:
    down = free_port()
    _, load = fill(tmp_path, down, 1, 3)
    with (tmp_path / "queue/shard-00/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with smtp_peer(port=down) as peer, running_mta(tmp_path, config(down, 1), ready=False) as relay:
            relay.wait_for("worker.died")
            assert any("is in use by process" in line for line in relay.raw if line.startswith("mta: "))
            fcntl.flock(lock, fcntl.LOCK_UN)
            relay.wait_for("server.ready")
            load.relay = relay
            load.assert_arrived(peer)


def test_an_unreadable_queue_is_an_error_of_one_line_for_the_commands(tmp_path: Path) -> None:
    (tmp_path / "connectors.yaml").write_text(config(1, 1).replace("{port}", str(free_port())))
    (tmp_path / "queue").write_text("no folder")
    done = mta("serve", "--config", str(tmp_path / "connectors.yaml"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"mta: server.queue: the folder {tmp_path}/queue cannot be used")
    assert (tmp_path / "queue").stat().st_mode & 0o077  # whatever that file is, it keeps its mode
