"""What the relay is to its machine: its user, its files, systemd, and no process that outlives its parent."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mta as mta_package
from tests.support.client import send
from tests.support.patience import PATIENCE, patient
from tests.support.programs import needs
from tests.support.running_mta import Python, RunningMta, free_port, mta, running_mta, until
from tests.support.smtp_peer import smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: {workers}
  queue: {{store: "sqlite:var/queue"}}
{more}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""


def config(peer: int = 1, workers: int = 1, more: str = "") -> str:
    return CONFIG.format(peer=peer, workers=workers, more=more)


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return status(pid)["State"][0] != "Z"
    return False


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- privileges ---------------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach (the test's own is for its user alone)."""
    folder = Path(f"/tmp/mta-story-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def python_of_nobody() -> Python:
    """An interpreter with our packages that the user nobody can start, too."""
    packages = os.pathsep.join(entry for entry in sys.path if entry)
    root = str(Path(mta_package.__file__).parents[1])
    for python in (Python(sys.executable), Python("/usr/bin/python3", f"{root}{os.pathsep}{packages}")):
        environment = {**os.environ, **({"PYTHONPATH": python.path} if python.path else {})}
        with contextlib.suppress(OSError):
            command = [python.program, "-c", "import mta.app, uvloop, apsw, OpenSSL"]
            if subprocess.run(command, user="nobody", env=environment, capture_output=True).returncode == 0:
                return python
    if os.environ.get("CI"):
        pytest.fail("no interpreter here can be started by the user nobody")
    pytest.skip("no interpreter here can be started by the user nobody")


def started(folder: Path, text: str, port: int | None = None) -> contextlib.AbstractContextManager[RunningMta]:
    return running_mta(folder, text, port=port, python=python_of_nobody())


@pytest.mark.peer
@needs(root=True)
def test_an_interpreter_that_the_user_may_not_start_is_told(open_folder: Path) -> None:
    (open_folder / "private").mkdir(mode=0o700)
    hidden = open_folder / "private/python"
    hidden.symlink_to(sys.executable)
    with running_mta(open_folder, config(1, 1, "  user: nobody"), ready=False, python=hidden_python(hidden)) as relay:
        status_ = relay.wait_for("worker.died")["status"]
        assert status_ == f"{hidden} cannot be started by this user: Permission denied"
        assert relay.stop() == 0


def hidden_python(program: Path) -> Python:
    return Python(str(program), os.pathsep.join(entry for entry in sys.path if entry))


@pytest.mark.peer
@needs(root=True)
def test_started_as_root_it_becomes_its_user_for_good(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    with smtp_peer() as peer, started(open_folder, config(peer.port, 2, "  user: nobody")) as relay:
        for pid in (relay.process.pid, *relay.workers()):
            assert set(status(pid)["Uid"].split()) == {str(nobody.pw_uid)}
            assert set(status(pid)["Gid"].split()) == {str(nobody.pw_gid)}
            assert "0" not in status(pid)["Groups"].split()
            assert int(status(pid)["CapEff"], 16) == 0
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        peer.wait_for(1)
        files = [open_folder / "var/queue", *(open_folder / "var/queue").rglob("*")]
        assert len(files) > 6
        assert {path.stat().st_uid for path in files} == {nobody.pw_uid}
        children = relay.workers()
        relay.kill()
        until(lambda: not any(map(alive, children)), 1.0, describe="they follow, although they changed their user")


@pytest.mark.peer
@needs(root=True)
def test_a_port_that_needs_root_is_bound_before_the_user_changes(open_folder: Path) -> None:
    port = next(port for port in range(1023, 900, -1) if not taken(port))
    with smtp_peer() as peer, started(open_folder, config(peer.port, 1, "  user: nobody"), port) as relay:
        assert send(port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        os.kill(relay.workers()[0], signal.SIGKILL)
        until(lambda: len(relay.seen("worker.started")) == 2, describe=relay.story)
        assert send(port, "a@fabrikam.example", ["b@contoso.example"]).accepted


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.peer
@needs(root=True)
def test_a_file_that_the_user_may_not_read_is_told_at_the_start(open_folder: Path) -> None:
    from tests.support.pki import authority

    chain, key = authority("Contoso Root").issue(dns_names=["mx.contoso.example"]).write(open_folder, "mx")
    key.chmod(0o600)
    more = f"  user: nobody\n  certificate: {{chain: {chain}, key: {key}}}"
    (open_folder / "connectors.yaml").write_text(config(1, 1, more).replace("{port}", str(free_port())))
    done = mta("serve", "--config", str(open_folder / "connectors.yaml"))
    assert done.returncode == 2
    assert f"{key}" in done.stderr
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.peer
@needs(root=True)
def test_a_user_that_does_not_exist_is_told(tmp_path: Path) -> None:
    (tmp_path / "connectors.yaml").write_text(config(1, 1, "  user: nosuch").replace("{port}", str(free_port())))
    done = mta("serve", "--config", str(tmp_path / "connectors.yaml"))
    assert done.returncode == 2
    assert "mta: server.user: there is no user called nosuch on this machine" in done.stderr.splitlines()


def test_the_queue_and_its_sockets_are_for_their_user_alone(tmp_path: Path) -> None:
    with smtp_peer() as peer, running_mta(tmp_path, config(peer.port, 2), forked=False) as relay:
        assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
        queue = tmp_path / "var/queue"
        assert mode(queue) == 0o700
        for shard in ("shard-00", "shard-01"):
            assert mode(queue / shard) == 0o700
            assert (queue / shard / "control.sock").is_socket()
            assert mode(queue / shard / "control.sock") == 0o600
            assert mode(queue / shard / "queue.db") == 0o600
            assert mode(queue / shard / "content") == 0o700


def test_a_queue_folder_that_stood_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "var/queue").mkdir(parents=True, mode=0o777)
    (tmp_path / "var/queue").chmod(0o777)
    with running_mta(tmp_path, config()):
        assert mode(tmp_path / "var/queue") == 0o700


# --- systemd ------------------------------------------------------------------------------------------------------

# Hands over the descriptors it was given as sd_listen_fds(3) wants them: from 3 on, LISTEN_PID our own.
_ACTIVATE = """
import os, sys
from tests.support.patience import PATIENCE, patient
given = [int(word) for word in sys.argv[1].split(",")]
kept = [os.dup2(os.dup(number), 100 + place) for place, number in enumerate(given)]
for place, number in enumerate(kept):
    os.dup2(number, 3 + place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.executable, [sys.executable, "-m", "mta", "serve", "--config", sys.argv[2]])
"""


@contextlib.contextmanager
def activated(folder: Path, text: str, *sockets: socket.socket, notify: str = "") -> Iterator[RunningMta]:
    """The relay as systemd would start it."""
    path = folder / "connectors.yaml"
    path.write_text(text)
    numbers = [bound.fileno() for bound in sockets]
    command = [sys.executable, "-c", _ACTIVATE, ",".join(map(str, numbers)), str(path)]
    environment = {**os.environ, **({"NOTIFY_SOCKET": notify} if notify else {})}
    process = subprocess.Popen(command, stderr=(folder / "log").open("wb"), pass_fds=numbers, env=environment)
    try:
        yield RunningMta(folder, path, sockets[0].getsockname()[1] if sockets else 0, process)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=64)


@pytest.mark.parametrize("workers", [1, 2])
def test_sockets_of_systemd_are_served_and_survive_a_restart(workers: int, tmp_path: Path) -> None:
    with smtp_peer() as peer, listening() as given:
        text = config(peer.port, workers).replace("{port}", "9")  # what systemd has bound counts
        for count in (1, 2):
            with activated(tmp_path, text, given):
                assert send(given.getsockname()[1], "a@fabrikam.example", ["b@contoso.example"]).accepted
                peer.wait_for(count)
        early = socket.create_connection(given.getsockname(), 20)  # nobody is there: it waits in systemd's queue
        with early, activated(tmp_path, text, given):
            assert early.recv(200).startswith(b"220 ")


def test_sockets_of_systemd_must_be_as_many_as_the_listeners(tmp_path: Path) -> None:
    with (
        listening() as one,
        listening() as two,
        activated(tmp_path, config().replace("{port}", "9"), one, two) as relay,
    ):
        assert relay.process.wait(PATIENCE) == 2
    line = "mta: systemd hands over 2 sockets, server.listen has 1 addresses"
    assert line in (tmp_path / "log").read_text().splitlines()


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "an abstract name"])
def test_systemd_is_told_when_it_is_ready_and_when_it_stops(abstract: bool, tmp_path: Path) -> None:
    name = f"@mta-story-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel, listening() as given:
        channel.bind("\0" + name[1:] if abstract else name)
        channel.settimeout(PATIENCE)
        with activated(tmp_path, config().replace("{port}", "9"), given, notify=name) as relay:
            assert channel.recv(200) == b"READY=1"
            with smtplib.SMTP(*given.getsockname()) as session:  # ready means ready
                assert session.noop()[0] == 250
            relay.process.send_signal(signal.SIGTERM)
            assert channel.recv(200) == b"STOPPING=1"
            assert relay.process.wait(PATIENCE) == 0


# --- beginning and end --------------------------------------------------------------------------------------------


def test_no_worker_outlives_a_killed_supervisor_by_a_second(tmp_path: Path) -> None:
    with smtp_peer() as peer, running_mta(tmp_path, config(peer.port, 3), forked=False) as relay:
        workers = relay.workers()
        assert len(workers) == 3
        os.kill(workers[0], signal.SIGSTOP)  # not even one that could not notice
        relay.kill()
        until(lambda: not any(map(alive, workers)), patient(1.0))


def test_a_frozen_worker_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    with running_mta(tmp_path, config(more="  limits: {shutdown_timeout: 1s}"), forked=False) as relay:
        [worker] = relay.workers()
        os.kill(worker, signal.SIGSTOP)
        begun = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - begun < patient(8)
        assert relay.seen("server.stopped", killed=1)
        assert not alive(worker)


def test_a_worker_that_cannot_start_is_tried_again_ever_more_patiently(tmp_path: Path) -> None:
    with running_mta(tmp_path, config(workers=2), forked=False) as relay:
        shutil.rmtree(tmp_path / "var/queue/shard-01")
        (tmp_path / "var/queue/shard-01").write_text("no folder")
        os.kill(relay.workers()[1], signal.SIGKILL)
        until(lambda: len(relay.seen("worker.died", worker=1)) >= 4, describe=relay.story)
        died = relay.seen("worker.died", worker=1)
        pauses = [line["again_in"] for line in died]
        assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(pauses[1:])), pauses
        assert {line["status"] for line in died[1:]} == {1}
        assert any(str(tmp_path / "var/queue/shard-01") in line for line in relay.raw if line.startswith("mta: "))
        (tmp_path / "var/queue/shard-01").unlink()
        until(lambda: len(relay.seen("worker.started", worker=1)) == 2, describe="it starts once the cause is gone")


def test_clients_of_a_worker_that_cannot_start_hear_421(tmp_path: Path) -> None:
    (tmp_path / "var/queue/shard-01/lock").mkdir(parents=True)  # like a broken disk, or the queue of a newer version
    with running_mta(tmp_path, config(workers=2), forked=False) as relay:
        assert relay.seen("server.ready")[0]["workers"] == 1, "it is ready with what there is"
        relay.wait_for("worker.absent", worker=1)
        heard = [greeting(relay.port) for _ in range(40)]
        assert set(heard) == {b"220", b"421"}
        (tmp_path / "var/queue/shard-01/lock").rmdir()
        back = relay.wait_for("worker.back", worker=1)
        assert back["turned_away"] == heard.count(b"421")
        assert {greeting(relay.port) for _ in range(20)} == {b"220"}


def test_where_no_worker_can_start_every_client_hears_421(tmp_path: Path) -> None:
    (tmp_path / "var/queue/shard-00/lock").mkdir(parents=True)
    implicit = free_port()
    more = f'  listen: [{{address: "127.0.0.1:{{port}}"}}, {{address: "127.0.0.1:{implicit}", proxy: ["127.0.0.0/8"]}}]'
    text = config(more=more).replace('  listen: [{address: "127.0.0.1:{port}"}]\n', "", 1)
    with running_mta(tmp_path, text, ready=False) as relay:
        relay.wait_for("worker.absent", worker=0)
        assert [greeting(port) for port in (relay.port, implicit)] == [b"421"] * 2
        assert not relay.seen("server.ready")
        assert relay.stop() == 0


def greeting(port: int) -> bytes:
    """The code of what is said first."""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        return client.recv(100)[:3]


def test_a_bad_configuration_ends_with_2_and_every_problem_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "connectors.yaml"
    path.write_text("server: {hostname: mx.contoso.example, workers: many}\nconnectors: {x: {mode: enforced}}\n")
    done = mta("serve", "--config", str(path))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith(f"{path}:")] == []
    assert any(line.startswith(f"{path}:1:") and "workers" in line for line in lines)
    assert any(line.startswith(f"{path}:2:") and "mode" in line for line in lines)


def test_a_configuration_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    done = mta("serve", "--config", str(tmp_path / "connectors.yaml"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "connectors.yaml") in done.stderr


def test_a_worker_is_nothing_to_start_by_hand() -> None:
    done = mta("worker", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr == "mta: a worker is started by `mta serve`\n"


def test_an_interrupt_from_the_terminal_is_a_stop(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group: the workers leave it to the supervisor, even while they are being started."""
    path = tmp_path / "connectors.yaml"
    path.write_text(config(workers=2).replace("{port}", str(free_port())))
    for word in ("server.started", "server.ready"):
        log = tmp_path / word
        command = [sys.executable, "-m", "mta", "serve", "--config", str(path)]
        process = subprocess.Popen(command, stderr=log.open("wb"), start_new_session=True)
        until(lambda w=word, log=log: w in log.read_text())
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) in ((0,) if word == "server.ready" else (0, 130))
        assert "Traceback" not in log.read_text()
