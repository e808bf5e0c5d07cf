"""250 means durable: whatever instant the process is killed at, what was acknowledged is there, whole and once."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from mta.adapters.sqlite import SqliteQueueStore, open_shard
from mta.ports import QueueFilter
from tests.support.mail import NOW
from tests.support.patience import patient
from tests.support.queue_child import body_of, is_large, is_settled

ROUNDS = 36


@dataclass
class Acknowledged:
    """What the children were told is safe."""

    enqueued: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)

    def hear(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.endswith(b"\n"):
                kind, _, id_ = line.decode().strip().partition(" ")
                {"E": self.enqueued, "S": self.settled, "O": set()}[kind].add(id_)


def child(folder: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.support.queue_child", str(folder), *map(str, arguments)]


def run_and_kill(folder: Path, number: int, random: Random, told: Acknowledged) -> None:
    """One round: kill after some acknowledgements and a moment more, or (every sixth) some time after the start."""
    with subprocess.Popen(child(folder, f"r{number}", 8, 1000), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]  # it is open
        if number % 6:
            lines += [process.stdout.readline() for _ in range(random.randrange(80))]
        time.sleep(random.random() * 0.004)
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode == -9
    told.hear(lines)


async def look(folder: Path, told: Acknowledged) -> set[str]:
    """Open the queue as a restart would, check everything in it against what was acknowledged; the ids in it."""
    store = open_shard(folder, loop=asyncio.get_running_loop())
    try:
        assert store.alarms == []
        records = await store.trace(QueueFilter(limit=1_000_000))
        states = {record.message.id: record.message.states[0].state for record in records}
        assert len(states) == len(records)
        assert told.enqueued <= states.keys()
        assert {id_ for id_ in told.settled if states[id_] != "failed"} == set()
        for id_, state in states.items():
            if not id_.startswith("n-"):
                assert (f"n-{id_}" in states) == (state == "failed"), "the notice stands and falls with its settlement"
                assert state == "queued" or is_settled(id_)
        await every_open_message_is_whole(store, states)
        return set(states)
    finally:
        await store.close()


async def every_open_message_is_whole(store: SqliteQueueStore, states: dict[str, str]) -> None:
    found = await store.claim(NOW, 1_000_000)
    assert sorted(message.id for message in found) == sorted(id_ for id_, s in states.items() if s == "queued")
    files = set()
    for message in found:
        content = b"".join([piece async for piece in store.read(message.content)])
        id_ = message.id.removeprefix("n-")
        assert content == (body_of(id_) if id_ == message.id else body_of(id_)[:50])
        if message.content.path:
            files.add(message.content.path)
            assert is_large(id_)
    assert {str(path) for path in store._shard.content.iterdir()} == files


async def test_killed_at_any_instant_it_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    random, told, before = Random(5321), Acknowledged(), set[str]()
    for number in range(ROUNDS):
        if number % 9 == 0:  # a shorter history keeps the rounds short
            shutil.rmtree(tmp_path / "q", ignore_errors=True)
            told, before = Acknowledged(), set()
        run_and_kill(tmp_path / "q", number, random, told)
        after = await look(tmp_path / "q", told)
        assert before <= after
        before = after
    assert len(told.enqueued) > 50
    assert len(told.settled) > 20


_CALL = re.compile(r"^(\d+) +(\w+)\((\d+)<([^>]*)>(?:, \"((?:[^\"\\]|\\.)*)\")?.*?(?:\) += (-?\d+)|<unfinished)")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>.*\) += (-?\d+)")


def finished_calls(trace: str) -> list[tuple[str, str, str]]:
    """(call, file, beginning of what was written) in the order in which they returned; syncs that failed are absent."""
    calls, pending = [], {}
    for line in trace.splitlines():
        if match := _CALL.match(line):
            thread, call, _, file, text, result = match.groups()
            if result is None:
                pending[thread] = (call, file, text or "")
            elif int(result) >= 0:
                calls.append((call, file, text or ""))
        elif (match := _RESUMED.match(line)) and int(match[3]) >= 0:
            calls.append(pending.pop(match[1]))
    return calls


@pytest.mark.peer
def test_everything_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    """The order of the system calls: content, its folder, then the log are on disk before the acknowledgement."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    log = tmp_path / "trace"
    watched = "trace=write,pwrite64,fsync,fdatasync"
    messages = 25
    strace = f"strace -f -y -s 12 -e {watched} -o".split()
    command = [*strace, str(log), *child(tmp_path / "q", "r", 1, messages)]
    done = subprocess.run(command, capture_output=True, timeout=patient(60))
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    calls = finished_calls(log.read_text("utf-8", "replace"))
    acknowledgements = 0
    dirty: list[str] = []  # files written to and not synced since
    synced: list[str] = []  # since the last acknowledgement, in order
    for call, file, text in calls:
        name = "a content" if "/q/content/" in file else Path(file).name
        if call == "write" and re.match(r"[ES] ", text):
            acknowledgements += 1
            assert dirty == [], f"{text} was acknowledged before {dirty} was synced"
            assert "queue.db-wal" in synced
            if text.startswith("E") and is_large(text.removesuffix("\\n")):
                assert [n for n in synced if n != "queue.db"][-3:] == ["a content", "content", "queue.db-wal"]
            synced.clear()
        elif call in ("write", "pwrite64") and name in ("queue.db-wal", "a content"):
            dirty.append(name)
        elif "sync" in call and "/q" in file:
            dirty = [other for other in dirty if other != name]
            synced.append(name)
    assert acknowledgements == messages + sum(is_settled(f"r-0-{n}") for n in range(messages))
