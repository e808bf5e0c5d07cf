"""250 means durable, seen from outside: the system calls of a worker, in the order in which they happened."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import Session, client
from tests.support.load import content_of
from tests.support.patience import PATIENCE
from tests.support.programs import find, needs
from tests.support.running_mta import RunningMta, running_mta, until
from tests.support.smtp_peer import Script, SmtpPeer, smtp_peer

pytestmark = [pytest.mark.peer, needs("strace")]

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: 1
  limits: {{idle_timeout: 60s}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{tls: {{level: none}}}}}}
"""
_CALL = re.compile(r"^\d+ +[\d.]+ (?P<call>\w+)\(\d+<(?P<file>[^>]*)>(?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +[\d.]+ <\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")
_UNFINISHED = re.compile(
    r"^(?P<thread>\d+) +[\d.]+ (?P<call>\w+)\(\d+<(?P<file>[^>]*)>(?P<rest>.*)<unfinished \.\.\.>$"
)


@dataclass(frozen=True)
class Call:
    """A system call that was begun and has returned, in the order of the returns (of writes: of the beginnings)."""

    name: str
    file: str
    text: str

    @property
    def is_sync(self) -> bool:
        return self.name in ("fsync", "fdatasync")


def calls_of(trace: str) -> list[Call]:
    """What strace saw. A reply counts from when its write begins, a sync from when it has ended."""
    calls: list[Call] = []
    pending: dict[str, Call] = {}
    for line in trace.splitlines():
        if found := _UNFINISHED.match(line):
            call = Call(found["call"], found["file"], found["rest"])
            if call.is_sync:
                pending[found["thread"]] = call
            else:
                calls.append(call)
        elif found := _RESUMED.match(line):
            if call := pending.pop(found["thread"], None):  # type: ignore[assignment]
                assert found["rest"].endswith("= 0"), line
                calls.append(call)
        elif found := _CALL.match(line):
            calls.append(Call(found["call"], found["file"], found["rest"]))
    return calls


@contextlib.contextmanager
def traced(relay: RunningMta) -> Iterator[Path]:
    """strace on the worker, from when it is attached to the end of the block."""
    [worker] = relay.workers()
    log = relay.folder / "trace"
    watched = "trace=fsync,fdatasync,sync_file_range,write,writev,sendto,sendmsg,pwrite64"
    command = [
        find("strace") or "strace",
        "-f",
        "-ttt",
        "-y",
        "-s",
        "40",
        "-e",
        watched,
        "-o",
        str(log),
        "-p",
        str(worker),
    ]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        assert strace.stderr is not None
        said = strace.stderr.readline().decode()
        if "ptrace" in said:
            pytest.skip(f"strace may not trace here: {said}")
        assert "attached" in said, said
        yield log
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(PATIENCE)


@contextlib.contextmanager
def relaying(folder: Path) -> Iterator[tuple[RunningMta, SmtpPeer]]:
    later = Script(replies={"GREETING": "421 4.3.2 not now"})  # settlements are another story
    with smtp_peer(later) as peer, running_mta(folder, CONFIG.format(peer=peer.port)) as relay:
        yield relay, peer


def is_reply(call: Call, code: str) -> bool:
    return call.file.startswith(("TCP", "socket:")) and f'"{code} ' in call.text


def test_nothing_is_acknowledged_before_it_is_on_the_disk_and_one_sync_a_message_does_it(tmp_path: Path) -> None:
    messages = 15
    with relaying(tmp_path) as (relay, _), client(relay.port) as session:
        send(session, "first")
        relay.wait_for("delivery.deferred")  # the host is left alone from now on
        quiet(relay, 1)
        with traced(relay) as log:
            ids = [f"m-{number}0" for number in range(messages)]
            for number, id_ in enumerate(ids, 2):
                send(session, id_)
                quiet(relay, number)
    calls = calls_of(log.read_text("utf-8", "replace"))
    since: list[Call] = []
    acknowledged = 0
    accepting = 0
    for call in calls:
        if is_reply(call, "354"):
            since = []
        elif is_reply(call, "250") and "Queued as" in call.text:
            acknowledged += 1
            written = [c for c in since if c.name == "pwrite64" and "queue.db" in c.file]
            synced = [c for c in since if c.is_sync]
            assert written, "the message was written"
            assert since.index(synced[-1]) > max(since.index(c) for c in written), "and synced after that"
            assert [c.file.rpartition("/")[2] for c in synced] == ["queue.db-wal"]
            accepting += len(synced)
        else:
            since.append(call)
    assert acknowledged == messages
    assert accepting == messages, "exactly one sync to accept a message of a single session"


def test_a_large_message_is_synced_with_its_name_before_it_is_acknowledged(tmp_path: Path) -> None:
    with relaying(tmp_path) as (relay, _), client(relay.port) as session:
        send(session, "first")
        quiet(relay, 1)
        with traced(relay) as log:
            send(session, "large-9")
            quiet(relay, 2)
    calls = calls_of(log.read_text("utf-8", "replace"))
    end = next(place for place, call in enumerate(calls) if is_reply(call, "250") and "Queued as" in call.text)
    synced = [call.file for call in calls[:end] if call.is_sync]
    content = [file for file in synced if "/content/" in file]
    assert len(content) == 1, synced
    assert synced.index(content[0]) < synced.index(str(Path(content[0]).parent)), "the name is durable, too"
    assert synced[-1].endswith("/queue.db-wal"), synced


def send(session: Session, id_: str) -> None:
    sent = session.send("a@fabrikam.example", ["b@contoso.example"], content_of(id_))
    assert sent.accepted, sent


def quiet(relay: RunningMta, attempts: int) -> None:
    """Every message so far had its attempt and its settlement is written."""
    until(lambda: len(relay.seen("delivery.deferred")) >= attempts, describe=relay.story)
