"""`mta serve` keeps the portal's process: started, replaced at a reload, started again when it dies, drained."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.key_server import CONFIG, Client, KeyServer
from tests.support.running_mta import RunningMta, free_port, running_mta, until

RELAY = """
server:
  hostname: mx.contoso.example
  listen: [{address: "127.0.0.1:{port}"}]
  queue: {store: "sqlite:queue"}
  workers: 1
"""


def relay_text(portal: int, more: str = "") -> str:
    """The key server's configuration with a relay's `server`."""
    keys = CONFIG.split("domains:", 1)[1].replace("{port}", str(portal))
    place = f'  portal: {{address: "127.0.0.1:{portal}", url: "http://localhost:{portal}"}}\n'
    return RELAY + place + "domains:" + keys + more


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[RunningMta, KeyServer]]:
    portal = free_port()
    for name in ("bob", "eve", "alice"):
        (tmp_path / f"{name}.secret").write_text(f"{name}-s3cret\n")
        (tmp_path / f"{name}.secret").chmod(0o600)
    server = KeyServer(tmp_path, portal)
    with running_mta(tmp_path, relay_text(portal)) as relay:
        relay.wait_for("web.ready")
        server.command("keys", "root", "create", "r1")
        yield relay, server


def test_the_portal_is_served_beside_the_relay(served: tuple[RunningMta, KeyServer]):
    relay, server = served
    container, _ = server.protect(b"the plan")
    assert Client(server).open(container) == b"the plan"
    assert relay.stop() == 0
    assert not relay.seen("defect")


def test_a_reload_takes_over_without_refusing_anybody(served: tuple[RunningMta, KeyServer]):
    relay, server = served
    container, _ = server.protect(b"x")
    label = "    fresh: {rights: co-author, readers: recipients}\n"
    relay.reload(relay_text(server.port, label).replace("{port}", str(relay.port)))
    answers = []

    def both() -> bool:
        answers.append(server.ask("GET", "/healthz")[0])
        return len(relay.seen("web.ready")) == 2

    until(both, describe="a second process serves")
    assert set(answers) == {200}
    fresh, _ = server.protect(b"y", "fresh")
    assert Client(server).open(fresh) == b"y"
    assert Client(server).open(container) == b"x"


def test_a_reload_that_does_not_concern_it_leaves_it_alone(served: tuple[RunningMta, KeyServer]):
    relay, server = served
    more = "connectors: {partner: {domains: [fabrikam.example], inbound: {identity: none, tls: required}}}\n"
    relay.reload(relay_text(server.port, more).replace("{port}", str(relay.port)))
    relay.wait_for("server.reloaded")
    assert server.ask("GET", "/healthz")[0] == 200
    assert len(relay.seen("web.ready")) == 1


def test_it_is_started_again_when_it_dies(served: tuple[RunningMta, KeyServer]):
    relay, server = served
    container, _ = server.protect(b"x")
    relay.wait_for("web.ready")
    [pid] = [line["pid"] for line in relay.seen("web.ready")]
    os.kill(pid, signal.SIGKILL)
    relay.wait_for("worker.died", worker="web")
    until(lambda: len(relay.seen("web.ready")) == 2, describe="it serves again")
    assert Client(server).open(container) == b"x"
