"""Reloads under load: `python benchmarks/reload.py [--reloads 10] [--connectors 0]`.

20 sessions send one 4 KiB message after another, each kept open from the first message to the last, while the
supervisor is told (SIGHUP) to take over a changed connectors.yaml again and again, with quiet stretches of the same
length between. One JSON line: messages refused or lost (none may be), and the 99th percentile of the time from MAIL to
the 250 of messages that a reload overlapped, compared with the others. A reload lasts until supervisor and workers
have all said `server.reloaded`. `--connectors` adds partners to the file, which makes it longer to read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from flat import many_connectors
from racing import Ours, Run, make_track, relay
from smtp_load import Client, message
from smtp_sink import Sink

SESSIONS = 20
PROMISED = 2.0
BODY = message(4096)


@dataclass
class Observed:
    """What the clients saw: how many messages were taken, begin and end of each once all is warm, every refusal."""

    count: int = 0
    taken: list[tuple[float, float]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


async def session(port: int, seen: Observed, stop: asyncio.Event) -> None:
    """One client that stays."""
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    await client.say(b"", b"220")
    await client.say(b"EHLO load.test\r\n", b"250")
    while not stop.is_set():
        begun = time.monotonic()
        try:
            await client.say(b"MAIL FROM:<a@example.test>\r\n", b"250")
            await client.say(b"RCPT TO:<b@example.test>\r\n", b"250")
            await client.say(b"DATA\r\n", b"354")
            await client.say(BODY, b"250")
        except (RuntimeError, ConnectionError) as error:
            seen.refused.append(str(error))
            return
        seen.count += 1
        seen.taken.append((begun, time.monotonic()))
    await client.say(b"QUIT\r\n", b"221")
    client.transport.close()


async def reload(ours: Ours, number: int, processes: int) -> tuple[float, float]:
    """One changed configuration taken over by every process: when it was asked for and when it was done."""
    log = ours.config.parent / "log"
    place = log.stat().st_size
    text = ours.config.read_text().partition("# generation")[0]
    fresh = ours.config.with_suffix(".new")
    fresh.write_text(f"{text}# generation {number}\n")
    begun = time.monotonic()
    fresh.replace(ours.config)
    os.kill(ours.supervisor, signal.SIGHUP)
    with log.open("rb") as written:
        written.seek(place)
        told = b""
        while told.count(b'"server.reloaded"') < processes:
            if time.monotonic() - begun > 60 or b"reload-refused" in told:
                raise SystemExit(f"no reload: {told[-2000:].decode()}")
            await asyncio.sleep(0.005)
            told += written.read()
    return begun, time.monotonic()


async def drive(ours: Ours, sink: int, reloads: int) -> tuple[Observed, list[tuple[float, float]], int]:
    """The load with its reloads: what the clients saw, when each reload was, and how many messages arrived."""
    loop = asyncio.get_running_loop()
    Sink.done, Sink.wanted, Sink.count = loop.create_future(), 1 << 40, 0
    server = await loop.create_server(Sink, "127.0.0.1", sink, backlog=1024)
    seen, stop, processes = Observed(), asyncio.Event(), 1 + len(ours.workers())
    clients = [asyncio.create_task(session(ours.port, seen, stop)) for _ in range(SESSIONS)]
    await asyncio.sleep(2)
    seen.taken.clear()  # the first ones found everything cold
    spans = []
    for number in range(reloads):
        spans.append(await reload(ours, number, processes))
        await asyncio.sleep(max(0.5, spans[-1][1] - spans[-1][0]))
    stop.set()
    await asyncio.gather(*clients)
    patience = time.monotonic() + 60
    while Sink.count < seen.count and time.monotonic() < patience:
        await asyncio.sleep(0.05)
    server.close()
    return seen, spans, Sink.count


def percentile(values: list[float]) -> float:
    """The 99th, in milliseconds."""
    return 1000 * statistics.quantiles(values, n=100)[98]


def report(seen: Observed, spans: list[tuple[float, float]], arrived: int) -> dict[str, object]:
    """The one line."""
    during, quiet = [], []
    for begun, ended in seen.taken:
        overlapped = any(begun <= last and ended >= first for first, last in spans)
        (during if overlapped else quiet).append(ended - begun)
    ratio = percentile(during) / percentile(quiet)
    return {
        "benchmark": "reload",
        "reloads": len(spans),
        "reload_ms": round(1000 * statistics.median(last - first for first, last in spans)),
        "messages_during": len(during),
        "messages_between": len(quiet),
        "refused": len(seen.refused),
        "lost": seen.count - arrived,
        "p99_ms_during": round(percentile(during), 1),
        "p99_ms_between": round(percentile(quiet), 1),
        "ratio": round(ratio, 2),
        "promised": PROMISED,
        "kept": ratio <= PROMISED and not seen.refused and arrived == seen.count,
    }


def main(reloads: int, connectors: int) -> dict[str, object]:
    """Run it once."""
    track = make_track(Path(tempfile.mkdtemp(prefix="reload-")))
    with (
        relay(track, Run(), extra_connectors=many_connectors(connectors)) as ours,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return report(*runner.run(drive(ours, track.sink, reloads)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=10)
    parser.add_argument("--connectors", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(main(given.reloads, given.connectors)))
