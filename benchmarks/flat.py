"""Does work per message grow with what it should not? `python benchmarks/flat.py [--rounds 3]`.

Accept rates of two relays in turn, one plain, one with 10,000 connectors, or with many messages waiting in its queue
for a host that is down and tried again and again meanwhile. One JSON line a case with the median ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from racing import HERE, Ours, Run, Track, make_track, relay

from mta.adapters.sqlite import open_shard
from mta.app.folders import shard_folders
from mta.app.load import load
from mta.model.envelope import Envelope, Recipient
from mta.model.message import QueuedMessage, RecipientState
from tests.support.mail import mailbox, queued
from tests.support.running_mta import free_port

RUN = Run(messages=3000)
PROMISED = {"10000-connectors": 0.95, "30000-waiting": 0.9, "200000-waiting": 0.9}
RETRY = 60  # seconds: five times as often as by default
DEAD = """  dead:
    domains: [dead.example]
    inbound: {{identity: none}}
    outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {{level: none}}}}
"""


def many_connectors(count: int) -> str:
    """YAML of `count` partners with networks, domains and expected names of their own."""
    return "".join(
        f"  partner{n}:\n"
        f"    domains: [partner{n}.example, '*.partner{n}.example']\n"
        f"    inbound: {{tls: required, networks: [10.{n >> 8}.{n & 255}.0/24]}}\n"
        f"    outbound: {{tls: {{level: verified, names: [mail.partner{n}.example], ca: system}}}}\n"
        for n in range(count)
    )


def fill(ours: Ours, count: int) -> None:
    """Put `count` messages for the dead host, due now, into the shards of a relay that is not running."""
    configuration = load(str(ours.config))
    folders = list(shard_folders(configuration).values())

    async def write(folder: Path, share: int) -> None:
        store = open_shard(folder, loop=asyncio.get_running_loop())
        now = time.time()
        for begin in range(0, share, 500):
            batch = [waiting(begin + n, now) for n in range(min(500, share - begin))]
            await asyncio.gather(*(store.enqueue(message) for message in batch))
        await store.close()

    for folder in folders:
        asyncio.run(write(folder, count // len(folders)))


def waiting(number: int, now: float) -> QueuedMessage:
    """One message that has been tried once."""
    states = (RecipientState(0, "dead", due=now, attempts=1),)
    to = Envelope(mailbox(f"a{number}@example.test"), (Recipient(mailbox(f"b{number}@dead.example")),))
    return replace(queued(f"waiting{number:08d}", states=states), envelope=to, received=now)


@dataclass(frozen=True)
class Accepted:
    """Messages per second until the client has its last 250, and seconds of CPU that the workers spent on each."""

    rate: float
    cpu: float


def accept_rate(ours: Ours, track: Track) -> Accepted:
    """One load through the relay; the sink takes it meanwhile."""
    sink = subprocess.Popen(
        [sys.executable, str(HERE / "smtp_sink.py"), str(track.sink), str(RUN.messages)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sink.stdout is not None
    sink.stdout.readline()
    before = cpu_of(ours)
    command = [sys.executable, str(HERE / "smtp_load.py"), f"127.0.0.1:{ours.port}", "--messages", str(RUN.messages)]
    load_run = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    sink.communicate()
    return Accepted(RUN.messages / (load_run["ended"] - load_run["begun"]), (cpu_of(ours) - before) / RUN.messages)


def cpu_of(ours: Ours) -> float:
    """Seconds of CPU that its workers have spent, in user and system mode."""
    ticks = 0
    for worker in ours.workers():
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def contestants(name: str, track: Track) -> Iterator[tuple[Ours, Ours]]:
    """The burdened relay and the plain one."""
    if name == "10000-connectors":
        burden = relay(track, RUN, extra_connectors=many_connectors(10_000))
    else:
        burden = relay(
            track,
            RUN,
            extra_connectors=DEAD.format(port=free_port()),
            server=f"limits: {{retry_min: {RETRY}s, retry_max: {RETRY}s}}",
            prepare=lambda ours: fill(ours, int(name.partition("-")[0])),
        )
    with burden as burdened, relay(track, RUN) as plain:
        yield burdened, plain


def case(name: str, rounds: int) -> dict[str, object]:
    """The ratio of the two accept rates."""
    folder = Path(tempfile.mkdtemp(prefix="flat-"))
    track = make_track(folder)
    try:
        with contestants(name, track) as (burdened, plain):
            pairs = [(accept_rate(burdened, track), accept_rate(plain, track)) for _ in range(rounds)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratio = statistics.median(one.rate / other.rate for one, other in pairs)
    return {
        "case": name,
        "burdened": [round(one.rate) for one, _ in pairs],
        "plain": [round(other.rate) for _, other in pairs],
        "ratio": round(ratio, 3),
        "cpu_ratio": round(statistics.median(other.cpu / one.cpu for one, other in pairs), 3),  # hears no other load
        "promised": PROMISED[name],
        "kept": ratio >= PROMISED[name],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(PROMISED), action="append")
    given = parser.parse_args()
    for wanted in given.only or PROMISED:
        print(json.dumps(case(wanted, given.rounds)), flush=True)
