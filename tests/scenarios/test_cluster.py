"""Several relays share one queue in PostgreSQL: each is killed, frozen or cut off, and no message is lost for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest

from tests.support.client import send
from tests.support.patience import patient
from tests.support.postgres import database, needs_postgres, shared_server
from tests.support.proxy import Proxy, proxy
from tests.support.running_mta import RunningMta, running_mta, until
from tests.support.smtp_peer import Script, SmtpPeer, Wait, smtp_peer

pytestmark = [pytest.mark.peer, needs_postgres()]

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: 1
  queue: {{store: "{dsn}", lease: {lease}s, takeover_delay: 0s}}
  limits: {{retry_min: 1s, retry_max: 1s, host_backoff: 0s}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""
SHORT = patient(2.0)  # seconds of a lease: a busy machine must manage to renew it
LONG = 600.0
SENDER, TO = "a@fabrikam.example", "b@contoso.example"


@dataclass
class Cluster:
    """The nodes of one queue, and the partner that they deliver to."""

    peer: SmtpPeer
    database: str
    folder: Path
    nodes: contextlib.ExitStack
    proxies: list[Proxy]
    lease: float = SHORT

    def start(self, name: str, place: Proxy | None = None) -> RunningMta:
        """A node; its way to the database is its own."""
        place = place or self.nodes.enter_context(proxy(shared_server()))
        self.proxies.append(place)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        text = CONFIG.format(dsn=place.dsn(self.database), lease=self.lease, peer=self.peer.port)
        return self.nodes.enter_context(running_mta(folder, text))

    def states(self, node: RunningMta) -> dict[str, int]:
        """Recipients in the queue, by state."""
        found: dict[str, int] = {}
        for message in node.ask("trace", "--to", TO)["messages"]:
            for recipient in message["recipients"]:
                found[recipient["state"]] = found.get(recipient["state"], 0) + 1
        return found


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    name = f"cluster_{os.getpid()}_{crc32(request.node.name.encode()):08x}"
    with smtp_peer() as peer, database(name) as dsn, contextlib.ExitStack() as nodes:
        assert dsn
        yield Cluster(peer, name, tmp_path, nodes, [])


def kill(node: RunningMta) -> None:
    """The whole node at once: its supervisor first, so that nothing is started again."""
    workers = node.workers()
    os.kill(node.process.pid, signal.SIGSTOP)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    node.process.kill()
    node.process.wait(patient(30))


def test_mail_of_a_node_that_dies_between_dot_and_settlement_is_delivered_once_more_at_the_most(
    cluster: Cluster,
) -> None:
    first, second = cluster.start("first"), cluster.start("second")
    answered = threading.Event()
    cluster.peer.script = Script(replies={"DOT": [(Wait(answered), "250 ok"), "250 ok"]})
    assert send(first.port, SENDER, [TO]).accepted
    until(lambda: cluster.peer.commands and cluster.peer.commands[-1].upper().startswith("DATA"))
    kill(first)
    answered.set()
    second.wait_for("node.taken-over", patient(60))
    second.wait_for("delivery.delivered", patient(60))
    assert len(cluster.peer.messages) <= 2
    assert cluster.states(second) == {"delivered": 1}


def test_a_node_that_slept_longer_than_its_lease_sends_no_dot(cluster: Cluster) -> None:
    first, second = cluster.start("first"), cluster.start("second")
    awake = threading.Event()
    cluster.peer.script = Script(replies={"MAIL": [(Wait(awake), "250 ok"), "250 ok"]})
    assert send(first.port, SENDER, [TO]).accepted
    cluster.peer.wait_for_command("MAIL")
    [worker] = first.workers()
    os.kill(worker, signal.SIGSTOP)
    try:
        second.wait_for("delivery.delivered", patient(60))
        awake.set()
    finally:
        os.kill(worker, signal.SIGCONT)
    first.wait_for("delivery.deferred", patient(60))
    assert len(cluster.peer.messages) == 1, "what another node has delivered was sent again"
    assert "lease-passed" in first.seen("delivery.deferred")[0]["reason"]
    assert cluster.states(second) == {"delivered": 1}


def test_what_a_node_knows_while_it_is_cut_off_outlives_its_death(cluster: Cluster) -> None:
    cluster.lease = LONG
    first = cluster.start("first")
    answered = threading.Event()
    cluster.peer.script = Script(replies={"DOT": (Wait(answered), "250 ok")})
    assert send(first.port, SENDER, [TO]).accepted
    until(lambda: cluster.peer.commands and cluster.peer.commands[-1].upper().startswith("DATA"))
    [way] = cluster.proxies
    way.drop()
    answered.set()
    until(lambda: list((cluster.folder / "first").rglob("outcomes.journal")), describe=first.story)
    refused = send(first.port, SENDER, [TO])
    assert refused.data.startswith("451"), refused
    kill(first)
    way.mend()
    again = cluster.start("first", way)
    assert cluster.states(again) == {"delivered": 1}
    assert len(cluster.peer.messages) == 1
    assert not list((cluster.folder / "first").rglob("outcomes.journal"))


def test_a_commit_whose_answer_is_lost_is_asked_for_and_answered_250(cluster: Cluster) -> None:
    cluster.lease = LONG
    node = cluster.start("first")
    [way] = cluster.proxies
    for number in range(2):
        way.lose_commit = True
        way.lost.clear()
        assert send(node.port, SENDER, [TO]).accepted
        assert way.lost.wait(patient(10))
        until(lambda n=number: cluster.states(node) == {"delivered": n + 1}, describe=node.story)
    assert len(cluster.peer.messages) == 2


def test_a_way_to_the_database_that_hangs_ends_in_451_and_loses_nothing(cluster: Cluster) -> None:
    node = cluster.start("first")
    [way] = cluster.proxies
    assert send(node.port, SENDER, [TO]).accepted
    cluster.peer.wait_for(1)
    way.stall()
    assert send(node.port, SENDER, [TO]).data.startswith("451")
    way.mend()
    until(lambda: send(node.port, SENDER, [TO]).accepted, patient(60), describe=node.story)
    until(lambda: len(cluster.peer.messages) >= 2, patient(60), describe=node.story)


def test_the_nodes_are_shown_and_what_the_database_does_not_promise(cluster: Cluster) -> None:
    cluster.lease = LONG
    first, second = cluster.start("first"), cluster.start("second")
    shown = first.command("nodes", "--json")
    found = json.loads(shown.stdout)["nodes"]
    assert sorted(node["differs"] for node in found) == [False, True]  # each has a port and a way of its own
    assert shown.returncode == 1
    assert all(0 < node["lease"] <= LONG for node in found)
    assert "another connectors.yaml" in first.command("nodes").stdout
    assert "nothing to do" in first.command("queue", "migrate", check=True).stdout
    told = second.command("check").stderr
    assert "250 is durable on 1 machine" in told
    assert "pooler" not in told
    cluster.proxies[0].drop()
    assert "the database cannot be asked" in first.command("check").stderr
