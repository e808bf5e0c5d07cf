"""Syncs per message over accept, delivery and settlement, at 20 sessions that each send one message after another.

Counts fsync and fdatasync of every process of the relay by strace. Prints one JSON line; `promise` is 0.4.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from racing import Run, Track, make_track, rate, relay

PROMISE = 0.4
_COUNT = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(?:fsync|fdatasync)$", re.MULTILINE)


def count(run: Run, track: Track, workers: int) -> dict[str, object]:
    """One load, its syncs counted."""
    with relay(track, run, workers=str(workers)) as ours:
        report = track.folder / "strace"
        attached = [word for worker in ours.workers() for word in ("-p", str(worker))]
        command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(report), *attached]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert strace.stderr is not None
        for _ in range(workers):
            strace.stderr.readline()  # one line a process: attached
        per_second = rate(ours.port, track, run)
    strace.send_signal(signal.SIGINT)
    strace.wait(20)
    syncs = sum(int(found) for found in _COUNT.findall(report.read_text()))
    return {
        "benchmark": "fsyncs",
        "messages": run.messages,
        "sessions": run.sessions,
        "size": run.size,
        "keep": run.keep,
        "workers": workers,
        "per_second": round(per_second),
        "fsyncs": syncs,
        "per_message": round(syncs / run.messages, 3),
        "promise": PROMISE,
        "kept": syncs / run.messages <= PROMISE,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--keep", action="store_true", help="many messages per session")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        wanted = Run(given.messages, given.size, given.sessions, given.keep)
        print(json.dumps(count(wanted, make_track(Path(place)), given.workers)))
