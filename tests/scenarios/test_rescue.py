"""A queue that is lost beside the bodies of its mail: `mta queue rescue` shows them, copies them, and sends them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.outgoing import Outgoing, outgoing
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import smtp_peer

BOB, CAROL = "bob@fabrikam.example", "carol@fabrikam.example"
CONNECTORS = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{0}"]}}, tls: {{level: none}}}}
"""


def large(word: str) -> bytes:
    """A message that has a file of its own, like every one above a quarter of a MiB."""
    return (
        b"From: alice@contoso.example\r\nTo: undisclosed\r\nSubject: %s\r\n\r\n" % word.encode()
        + (b"y" * 70 + b"\r\n") * 8000
    )


def mta(ours: Outgoing, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """`mta queue rescue`: its exit code, what it told of each body, and of what went wrong."""
    done: subprocess.CompletedProcess[str] = ours.relay.command("queue", "rescue", *words, "--json")
    return done.returncode, json.loads(done.stdout)["bodies"], done.stderr


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[tuple[Outgoing, int, list[str]]]:
    """A relay that finds its queue.db gone at the start, beside two large messages for a partner that was down."""
    port = free_port()
    with outgoing(tmp_path, CONNECTORS.format(port)) as before:
        ids = [before.send(BOB, CAROL, data=large("first")), before.send(BOB, data=large("second"))]
        for id_ in ids:
            before.waits(id_)
        before.relay.stop()
        shards = [path.parent for path in tmp_path.rglob("queue.db")]
        for shard in shards:
            for path in shard.glob("queue.db*"):
                path.unlink()
    with outgoing(tmp_path, CONNECTORS.format(port)) as ours:
        until(lambda: ours.relay.seen("shard.alarm"))
        yield ours, port, ids


def test_what_lies_beside_a_lost_queue_is_shown_copied_and_sent(
    lost: tuple[Outgoing, int, list[str]], tmp_path: Path
) -> None:
    ours, port, ids = lost
    code, bodies, _ = mta(ours)
    assert code == 0
    told = {body["id"]: (body["sender"], body["recipients"], body["header"]["Subject"]) for body in bodies}
    assert told == {
        ids[0]: ("alice@contoso.example", [BOB, CAROL], ["first"]),
        ids[1]: ("alice@contoso.example", [BOB], ["second"]),
    }
    assert mta(ours, ids[1], "--export", str(tmp_path / "copies"))[0] == 0
    assert (tmp_path / "copies" / f"{ids[1]}.eml").read_bytes() == large("second")
    with smtp_peer(port=port) as fabrikam:
        code, bodies, _ = mta(ours, "--requeue", "--all")
        assert (code, sorted(body["requeued"] for body in bodies)) == (0, sorted(ids))
        arrived = fabrikam.wait_for(2)
    assert {message.data[message.data.index(b"From: alice") :] for message in arrived} == {
        large("first"), large("second"),
    }  # fmt: skip
    assert ours.ends(ids[0]) == {BOB: "delivered", CAROL: "delivered"}
    assert mta(ours)[:2] == (1, [])  # nothing lies there any more


def test_a_body_without_its_envelope_needs_one_from_a_person(lost: tuple[Outgoing, int, list[str]]) -> None:
    ours, port, _ = lost
    for place in ours.relay.folder.rglob("envelope.corrupt-*"):
        shutil.rmtree(place)
    code, bodies, _ = mta(ours)
    assert code == 0
    assert [(body["id"], body["recipients"]) for body in bodies] == [("", None)] * 2
    first = next(body["name"] for body in bodies if body["header"]["Subject"] == ["first"])
    code, _, problems = mta(ours, "--requeue", "--all")
    assert code == 1
    assert problems.count("its envelope is not known") == 2
    with smtp_peer(port=port) as fabrikam:
        code, _, _ = mta(ours, first, "--requeue", "--from", "<>", "--to", CAROL)
        assert code == 0
        [message] = fabrikam.wait_for(1)
    assert message.data.endswith(large("first"))
    assert len(mta(ours)[1]) == 1
