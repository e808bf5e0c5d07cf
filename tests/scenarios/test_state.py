"""`server.state`: what is not mail lies in a folder of its own, and the queue has nothing but mail."""

from __future__ import annotations

from pathlib import Path

from tests.support.client import send
from tests.support.running_mta import running_mta, until
from tests.support.smtp_peer import smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: 1
  watch: off
  queue: {{store: "sqlite:{queue}"}}
  state: {state}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
directory: {{sources: [{{type: harvested}}]}}
connectors: {{default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}}}
"""


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_state_and_queue_lie_apart_and_a_reload_moves_neither(tmp_path: Path) -> None:
    with smtp_peer() as peer:
        text = CONFIG.format(queue="var/queue", state="run", peer=peer.port)
        with running_mta(tmp_path, text) as relay:
            assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
            peer.wait_for(1)
            assert {"shard-00/control.sock", "directory"} <= names(tmp_path / "run")
            assert relay.ask("trace")["messages"]  # through the socket: the shard has its owner
            moved = CONFIG.format(queue="elsewhere", state="away", peer=peer.port).replace("{port}", str(relay.port))
            relay.reload(moved)
            until(lambda: len(relay.seen("server.reloaded")) == 2, describe=relay.story)
            assert "server.queue, server.state: takes effect at a restart only" in str(relay.seen("config.warning"))
            assert send(relay.port, "a@fabrikam.example", ["b@contoso.example"]).accepted
            peer.wait_for(2)
        assert not (tmp_path / "away").exists()
        beside = {"serve.lock", "shard-00"}
        assert {path.name for path in (tmp_path / "var/queue").iterdir()} == beside
        assert "shard-00/control.sock" not in names(tmp_path / "var/queue")


def test_two_relays_do_not_share_their_state(tmp_path: Path) -> None:
    """A worker of one would take the commands that are meant for the other."""
    with running_mta(tmp_path, CONFIG.format(queue="one", state="run", peer=1)):
        (second := tmp_path / "second").mkdir()
        text = CONFIG.format(queue="two", state=tmp_path / "run", peer=1)
        with running_mta(second, text, ready=False) as other:
            until(lambda: other.process.poll() is not None, describe=other.story)
        assert other.process.returncode == 2
        assert f"mta: the state {tmp_path}/run is served by another process" in "".join(other.raw)
