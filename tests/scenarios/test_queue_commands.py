"""An administrator looks into the queue and changes it: on the live relay with two workers, and while none runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mta.model.message import RecipientState
from tests.support.deep_queue import fill
from tests.support.mail import queued
from tests.support.outgoing import Outgoing, outgoing
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import Pause, Script, smtp_peer

BOB, CAROL = "bob@fabrikam.example", "carol@northwind.example"
CONNECTORS = """
fabrikam:
  domains: [fabrikam.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{0}"]}}, tls: {{level: none}}}}
northwind:
  domains: [northwind.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: ["127.0.0.1:{1}"]}}, tls: {{level: none}}}}
"""


@dataclass
class Desk:
    """A relay of two workers whose partners are both down, and what an administrator types there."""

    ours: Outgoing
    fabrikam: int
    northwind: int

    def mta(self, *words: str) -> Any:
        """A command with --json; its document."""
        done = self.ours.relay.command(*words, "--json")
        assert done.returncode in (0, 1), done.stderr
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def listed(self, *words: str) -> set[str]:
        """The ids that `mta queue list` tells."""
        return {message["id"] for message in self.mta("queue", "list", *words)["messages"]}

    def changed(self, command: str, *words: str) -> set[str]:
        """The ids that a command has changed."""
        return set(self.mta("queue", command, *words)["changed"])

    def states(self, id_: str) -> list[str]:
        """Of every recipient, in the order of the envelope."""
        return list(self.ours.states(id_).values())

    def fill(self) -> tuple[str, str, str]:
        """A message for Bob, one for Carol, one for both, each tried once in vain."""
        ids = self.ours.send(BOB), self.ours.send(CAROL, sender="dave@contoso.example"), self.ours.send(BOB, CAROL)
        for id_ in ids[:2]:
            self.ours.waits(id_)
        self.ours.waits(ids[2], 2)
        return ids


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    ports = free_port(), free_port()
    with outgoing(tmp_path, CONNECTORS.format(*ports), server="workers: 2") as ours:
        yield Desk(ours, *ports)


@pytest.fixture(params=["live", "offline"])
def either(request: pytest.FixtureRequest, desk: Desk) -> tuple[Desk, tuple[str, str, str]]:
    """The desk with its mail, while the relay runs and after it was stopped."""
    ids = desk.fill()
    if request.param == "offline":
        assert desk.ours.relay.stop() == 0
    return desk, ids


def test_what_waits_is_found_by_every_handle(either: tuple[Desk, tuple[str, str, str]]) -> None:
    desk, (bobs, carols, both) = either
    assert desk.listed() == {bobs, carols, both}
    assert desk.listed("--connector", "fabrikam") == {bobs, both}
    assert desk.listed("--to", CAROL) == {carols, both}
    assert desk.listed("--to", "northwind.example") == {carols, both}
    assert desk.listed("--from", "dave@contoso.example") == {carols}
    assert desk.listed("--status", "held") == set()
    [shown] = desk.mta("queue", "show", bobs)["messages"]
    assert (shown["id"], shown["sender"]) == (bobs, "alice@contoso.example")
    assert [event["event"] for event in shown["events"]] == ["delivery.deferred"]
    traced = {message["id"] for message in desk.mta("trace", "--status", "queued", "--since", "1h")["messages"]}
    assert traced == {bobs, carols, both}
    assert len(desk.mta("trace", "--limit", "2")["messages"]) == 2


def test_hold_release_and_delete_mean_the_recipients_that_were_named(
    either: tuple[Desk, tuple[str, str, str]],
) -> None:
    desk, (bobs, carols, both) = either
    assert desk.changed("hold", "--connector", "northwind", "--note", "ask Carol") == {carols, both}
    assert (desk.states(bobs), desk.states(carols), desk.states(both)) == (["queued"], ["held"], ["queued", "held"])
    assert desk.listed("--status", "held") == {carols, both}
    [message] = desk.mta("queue", "show", carols)["messages"]
    assert message["events"][-1]["note"] == "ask Carol"
    assert message["recipients"][0]["reason"] == "held by the administrator: ask Carol"

    assert desk.changed("release", "--to", CAROL, "--from", "dave@contoso.example") == {carols}
    assert desk.states(both) == ["queued", "held"]
    assert desk.changed("delete", "--status", "held") == {both}
    assert desk.states(both) == ["queued", "deleted"]
    assert desk.changed("delete", bobs) == {bobs}
    assert desk.listed() == {carols, both}
    assert desk.listed("--connector", "fabrikam") == {both}
    assert desk.changed("delete", bobs) == set()


def test_what_was_released_while_nobody_ran_goes_out_at_the_next_start(desk: Desk, tmp_path: Path) -> None:
    bobs, carols, both = desk.fill()
    desk.ours.relay.stop()
    assert desk.changed("hold", "--all") == {bobs, carols, both}
    assert desk.changed("release", "--connector", "fabrikam") == {bobs, both}
    with (
        smtp_peer(port=desk.fabrikam) as fabrikam,
        smtp_peer(port=desk.northwind) as northwind,
        outgoing(tmp_path, CONNECTORS.format(desk.fabrikam, desk.northwind), server="workers: 2") as again,
    ):
        fabrikam.wait_for(2)
        until(lambda: again.states(both) == {BOB: "delivered", CAROL: "held"})
        assert again.states(carols) == {CAROL: "held"}
        assert northwind.connections == 0


def test_retry_tries_at_once_what_it_names_and_nothing_else(desk: Desk) -> None:
    bobs, carols, both = desk.fill()
    with smtp_peer(port=desk.fabrikam) as fabrikam, smtp_peer(port=desk.northwind) as northwind:
        assert desk.changed("retry", "--connector", "fabrikam") == {bobs, both}
        fabrikam.wait_for(2)
        until(lambda: desk.states(both) == ["delivered", "queued"])
        assert (desk.states(carols), northwind.connections) == (["queued"], 0)
        assert desk.changed("retry", carols) == {carols}
        assert northwind.wait_for(1)[0].sender == "dave@contoso.example"
        assert desk.changed("retry", "--all") == {both}
        northwind.wait_for(2)
        until(lambda: desk.listed() == set())
        delivered = {message["id"] for message in desk.mta("trace", "--status", "delivered")["messages"]}
        assert delivered == {bobs, carols, both}


def test_hold_during_an_attempt_holds_once_the_attempt_has_failed(tmp_path: Path) -> None:
    slow = Script(replies={"RCPT": (Pause(0.7), "451 4.2.1 later")})
    with smtp_peer(slow) as peer, outgoing(tmp_path, CONNECTORS.format(peer.port, free_port())) as ours:
        id_ = ours.send(BOB)
        peer.wait_for_command("RCPT")
        assert ours.ask("hold", id=id_, note="wait")["changed"] == [id_]
        ours.relay.wait_for("delivery.deferred", message=id_)
        assert ours.states(id_) == {BOB: "held"}
        peer.script = Script()
        assert ours.ask("release", id=id_)["changed"] == [id_]
        assert ours.ends(id_) == {BOB: "delivered"}
        assert len(peer.messages) == 1


def test_hold_or_retry_during_an_attempt_that_succeeds_changes_nothing(tmp_path: Path) -> None:
    slow = Script(replies={"DOT": (Pause(0.7), "250 2.0.0 taken")})
    with smtp_peer(slow) as peer, outgoing(tmp_path, CONNECTORS.format(peer.port, free_port())) as ours:
        ids = [ours.send(BOB), ours.send(BOB)]
        until(lambda: sum(command.startswith("DATA") for command in peer.commands) == 2)
        assert ours.ask("hold", id=ids[0])["changed"] == ids[:1]
        assert ours.ask("retry", id=ids[1])["changed"] == ids[1:]
        for id_ in ids:
            assert ours.ends(id_) == {BOB: "delivered"}
        assert ours.relay.stop() == 0  # whatever else was under way is over
        assert len(peer.messages) == 2
        assert sum(command.startswith("DATA") for command in peer.commands) == 2


def test_mail_that_waits_for_its_turn_in_memory_is_held_and_deleted_like_any_other(tmp_path: Path) -> None:
    """The destination serves one connection; what queues up behind it has long left the file's list of due mail."""
    limits = "destination_concurrency: 1\nidle_timeout: 30"
    with smtp_peer(Script(replies={"GREETING": (Pause(3), "220 peer.example ESMTP")})) as peer:
        connectors = CONNECTORS.format(peer.port, free_port())
        with outgoing(tmp_path, connectors, limits=limits) as ours:
            first, held, deleted, last = (ours.send(BOB) for _ in range(4))
            until(lambda: peer.connections == 1)
            assert ours.ask("hold", id=held)["changed"] == [held]
            assert ours.ask("delete", id=deleted)["changed"] == [deleted]
            peer.script = Script()
            assert ours.ends(first) == {BOB: "delivered"}  # the slow attempt is over, the others follow
            assert ours.ends(last) == {BOB: "delivered"}
            assert (ours.states(held), ours.states(deleted)) == ({BOB: "held"}, {BOB: "deleted"})
            assert len(peer.messages) == 2
            assert ours.ask("release", id=held)["changed"] == [held]
            assert ours.ends(held) == {BOB: "delivered"}


MANY = 20_000


def test_commands_on_twenty_thousand_messages_come_to_their_end_while_mail_goes_on(tmp_path: Path) -> None:
    """No command gives up half-way, and whoever sends meanwhile waits for no command."""
    later = time.time() + 100_000
    states = (RecipientState(0, "fabrikam", "queued", later, 1, "450 4.2.1 busy"),)
    names = [f"01deep{number:06}" for number in range(MANY)]
    deep = [queued(name, BOB, received=later - 100_000, states=states) for name in names]
    fill(tmp_path / "queue" / "shard-00", deep)
    connectors = CONNECTORS.format(free_port(), free_port())
    with outgoing(tmp_path, connectors, limits="retry_max: 200000") as ours:
        desk = Desk(ours, 0, 0)
        listed = ours.relay.command("queue", "list")
        assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 1001)
        assert "the oldest 1000, and there are more" in listed.stderr
        assert f"{MANY} recipients wait" in listed.stderr
        with ThreadPoolExecutor(1) as desk_thread:
            held = desk_thread.submit(ours.relay.command, "queue", "hold", "--connector", "fabrikam", "--note", "why")
            sent = [ours.send(CAROL)]
            while not held.done():
                sent.append(ours.send(CAROL))
        assert (held.result().returncode, len(held.result().stdout.splitlines())) == (0, MANY)
        assert f"{MANY} messages were held" in held.result().stderr
        assert desk.changed("release", "--status", "held") == set(names)
        assert desk.changed("delete", "--to", "fabrikam.example") == set(names)
        counts = ours.ask("counts")["states"]
        assert counts["deleted"] == MANY
        assert counts.get("queued", 0) == len(sent)


def test_a_set_is_counted_before_it_is_changed_and_told_apart_by_reason_age_and_size(desk: Desk) -> None:
    bobs, carols, both = desk.fill()
    assert desk.mta("queue", "hold", "--all", "--dry-run") == {"queued": {"messages": 3, "recipients": 4}}
    assert desk.listed("--status", "held") == set()
    assert desk.listed("--older", "1h") == desk.listed("--larger", "5M") == desk.listed("--attempts", "9") == set()
    assert desk.listed("--since", "1h", "--smaller", "5M", "--attempts", "1") == {bobs, carols, both}
    assert desk.listed("--reason", f"]:{desk.northwind}") | desk.listed("--reason", "REFUSED") <= {bobs, carols, both}
    assert desk.listed("--reason", "no such thing") == set()
    groups = {group["connector"]: group for group in desk.mta("queue", "summary")["groups"]}
    assert {name: (group["queued"], group["by_age"][0]) for name, group in groups.items()} == {
        "fabrikam": (2, 2),
        "northwind": (2, 2),
    }
    assert all(group["attempts"] >= 1 and group["reason"] for group in groups.values())
    told = desk.ours.relay.command("queue", "summary", "--by", "domain").stdout.splitlines()
    assert [line.split()[0] for line in told] == ["DOMAIN", "fabrikam.example", "northwind.example"]
    assert desk.ours.relay.command("queue", "hold", "--all", "--rate", "soon").returncode == 2


def test_mail_that_is_given_up_fails_without_being_tried_and_its_sender_is_told(desk: Desk) -> None:
    bobs, carols, both = desk.fill()
    assert desk.changed("hold", carols) == {carols}
    with smtp_peer(port=desk.northwind) as northwind:
        assert desk.changed("bounce", "--connector", "northwind", "--note", "they moved") == {carols, both}
        reports = desk.ours.home.wait_for(2)
        assert northwind.connections == 0
    assert {report.sender for report in reports} == {""}
    assert all(b"they moved" in report.data for report in reports)
    until(lambda: desk.states(carols) == ["failed"] and desk.states(both) == ["queued", "failed"])
    assert desk.states(bobs) == ["queued"]
