"""The disk is full or read-only, descriptors run out: 452, nothing lost, nothing twice, and it heals by itself."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import client, send
from tests.support.load import content_of
from tests.support.running_mta import PATIENCE, RunningMta, running_mta, until
from tests.support.smtp_peer import Pause, Script, SmtpPeer, smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: 1
  queue: {{store: "sqlite:disk/queue"}}
  limits: {{retry_min: 1h, retry_max: 1h, host_backoff: 0s, idle_timeout: 60s}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""
SMALL, LARGE = content_of("small-1"), content_of("large-9")
MIDDLE = b"Subject: middle\r\n\r\n" + (b"x" * 70 + b"\r\n") * 2500
NO_ROOM = "452 4.3.1 Insufficient system storage, try again later"


class Disk:
    """The place of the queue, that can be filled up and freed again under the relay that uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.relay: RunningMta | None = None

    def fill(self) -> None:
        """No octet more fits on it."""
        with (self.folder / "filler").open("wb") as filler, contextlib.suppress(OSError):
            while True:
                os.write(filler.fileno(), bytes(65_536))

    def free(self) -> None:
        """There is room again."""
        (self.folder / "filler").unlink()


class LimitedFiles(Disk):
    """Where nothing can be mounted: files cannot grow (RLIMIT_FSIZE), which the kernel says by another error."""

    def fill(self) -> None:
        self._limit(1)

    def free(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, octets: int) -> None:
        assert self.relay is not None
        for worker in self.relay.workers():
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))


@contextlib.contextmanager
def mounted(folder: Path, octets: int) -> Iterator[bool]:
    """A tmpfs of this size on `folder`; False if we may not."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={octets},mode=0700", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(params=["tmpfs", "limited files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "tmpfs":
        with mounted(tmp_path / "disk", 64 << 20) as real:
            yield Disk(tmp_path / "disk") if real else LimitedFiles(tmp_path / "disk")
    else:
        yield LimitedFiles(tmp_path / "disk")


@contextlib.contextmanager
def relaying(disk: Disk, peer: SmtpPeer) -> Iterator[RunningMta]:
    with running_mta(disk.folder.parent, CONFIG.format(peer=peer.port)) as relay:
        disk.relay = relay
        yield relay
        assert relay.seen("defect") == []
        assert relay.seen("worker.died") == []


def give(relay: RunningMta, data: bytes) -> str:
    """The relay's word on a message."""
    return send(relay.port, "a@fabrikam.example", ["b@contoso.example"], data).data


def states(relay: RunningMta) -> list[str]:
    return [recipient["state"] for record in relay.ask("trace")["messages"] for recipient in record["recipients"]]


def content_files(relay: RunningMta) -> list[Path]:
    return list(relay.folder.glob("disk/queue/shard-00/content/*"))


def test_a_full_disk_means_452_and_room_means_250_again(disk: Disk) -> None:
    with smtp_peer() as peer, relaying(disk, peer) as relay, client(relay.port) as session:
        assert give(relay, SMALL).startswith("250 ")
        disk.fill()
        for data in (SMALL, LARGE, SMALL):
            assert session.send("a@fabrikam.example", ["b@contoso.example"], data).data == NO_ROOM
        assert relay.wait_for("message.not-stored")["error"].startswith("the queue ")
        disk.free()
        for data in (SMALL, LARGE):  # the same session, the same process
            assert session.send("a@fabrikam.example", ["b@contoso.example"], data).accepted
        messages = peer.wait_for(3)
        assert [message.data.endswith(data) for message, data in zip(messages, (SMALL, SMALL, LARGE), strict=True)]
        until(lambda: states(relay) == ["delivered"] * 3)
        until(lambda: content_files(relay) == [], describe="nothing is left of what was refused")


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_delivery_that_cannot_be_recorded_is_recorded_later_and_not_repeated(disk: Disk, data: bytes) -> None:
    slow = Script(replies={"DOT": (Pause(0.7), "250 2.0.0 taken")})
    with smtp_peer(slow) as peer, relaying(disk, peer) as relay:
        assert give(relay, data).startswith("250 ")
        peer.wait_for_command("DATA")
        disk.fill()
        peer.wait_for(1)
        relay.wait_for("settlement.not-stored")
        assert relay.seen("delivery.delivered") == []
        disk.free()
        relay.wait_for("delivery.delivered")
        assert states(relay) == ["delivered"]
        assert len(peer.messages) == 1
        assert give(relay, data).startswith("250 ")
        peer.wait_for(2)


@pytest.mark.parametrize("data", [MIDDLE, LARGE], ids=["in the database", "in files"])
def test_a_queue_that_fills_its_disk_can_still_be_delivered(data: bytes, tmp_path: Path) -> None:
    later = Script(replies={"RCPT": "450 4.2.1 not now"})
    with mounted(tmp_path / "disk", 44 << 20) as real:
        if not real:
            pytest.skip("mounting a small disk needs root; the other stories of this file fill it by other means")
        with smtp_peer(later) as peer, relaying(Disk(tmp_path / "disk"), peer) as relay:
            taken = 0
            with client(relay.port) as session:
                while (word := session.send("a@fabrikam.example", ["b@contoso.example"], data).data) != NO_ROOM:
                    assert word.startswith("250 "), word
                    taken += 1
                    assert taken < 400
                assert taken > 10
                peer.script = Script()
                assert relay.command("queue", "retry", "--all").returncode == 0
                peer.wait_for(taken)
                until(lambda: set(states(relay)) == {"delivered"})
                assert relay.seen("settlement.not-stored") == []
                assert session.send("a@fabrikam.example", ["b@contoso.example"], data).accepted


def test_a_queue_that_is_read_only_at_the_start_is_told_and_waited_for(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 64 << 20) as real, smtp_peer() as peer:
        if not real:
            pytest.skip("mounting a small disk needs root; the other stories of this file fill it by other means")
        with running_mta(tmp_path, CONFIG.format(peer=peer.port)) as relay:
            assert give(relay, SMALL).startswith("250 ")
            peer.wait_for(1)
        remount(tmp_path / "disk", "ro")
        with running_mta(tmp_path, CONFIG.format(peer=peer.port), port=relay.port, ready=False) as again:
            status = until(lambda: again.process.poll(), describe=again.story)
        assert status == 2
        assert f"mta: the queue {tmp_path}/disk/queue cannot be used: Read-only file system" in again.story()
        assert "Traceback" not in again.story()
        remount(tmp_path / "disk", "rw")
        with running_mta(tmp_path, CONFIG.format(peer=peer.port), port=relay.port) as healed:
            assert give(healed, SMALL).startswith("250 ")
            peer.wait_for(2)


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


# --- descriptors --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def few_descriptors(relay: RunningMta, more: int) -> Iterator[None]:
    """The worker can open so many more and no further one."""
    [worker] = relay.workers()
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    used = max(int(entry) for entry in os.listdir(f"/proc/{worker}/fd")) + 1
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + more, before[1]))
    try:
        yield
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


def heard(connection: socket.socket) -> bytes:
    try:
        return connection.recv(500)
    except ConnectionError:
        return b""


def test_without_a_descriptor_a_large_message_gets_452_and_a_delivery_waits(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(Disk(tmp_path / "disk"), peer) as relay, client(relay.port) as session:
        with few_descriptors(relay, 0):
            assert session.send("a@fabrikam.example", ["b@contoso.example"], LARGE).data == NO_ROOM
            sent = session.send("a@fabrikam.example", ["b@contoso.example"], SMALL)
            assert sent.accepted, "the queue's own files are open already"
            assert "Too many open files" in relay.wait_for("delivery.deferred", message=sent.id)["reason"]
        assert session.send("a@fabrikam.example", ["b@contoso.example"], LARGE).accepted
        peer.wait_for(1)
        assert relay.command("queue", "retry", sent.id).returncode == 0
        peer.wait_for(2)


def test_connections_beyond_the_descriptors_end_and_those_that_stand_go_on(tmp_path: Path) -> None:
    with smtp_peer() as peer, relaying(Disk(tmp_path / "disk"), peer) as relay, client(relay.port) as session:
        with few_descriptors(relay, 3), contextlib.ExitStack() as stack:
            for _ in range(12):
                stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), PATIENCE))
            first = [stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), PATIENCE)) for _ in "ab"]
            assert {heard(connection) for connection in first} <= {b"", b"421 4.7.0 Too many connections"}
            assert session.say("NOOP").startswith("250 ")
        assert until(lambda: give_or_not(relay)).startswith("250 ")
        peer.wait_for(1)


def give_or_not(relay: RunningMta) -> str:
    with contextlib.suppress(OSError):
        return give(relay, SMALL)
    return ""


def test_more_sessions_than_descriptors_allow_hear_421(tmp_path: Path) -> None:
    limit = 64 + 2 * 6
    with smtp_peer() as peer, running_mta(tmp_path, CONFIG.format(peer=peer.port)) as relay:
        resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        os.kill(relay.workers()[0], signal.SIGKILL)
        until(lambda: len(relay.seen("worker.started")) == 2)  # its successor has no more than that
        greetings = []
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), PATIENCE))
                greetings.append(heard(connection)[:4])
        assert greetings == [b"220 "] * 6 + [b"421 "] * 2
