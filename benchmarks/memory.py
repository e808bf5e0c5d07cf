"""Peak memory of the relay's processes while 20 messages of 25 MiB come in and go out at once.

Prints one JSON line: the highest resident set (VmHWM, MiB) of every process, against the promised 300 MiB.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from racing import Run, Track, make_track, rate, relay

PROMISE = 300.0  # MiB, every process


def peak(pid: int) -> float:
    """The highest resident set of a process so far, in MiB."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return round(int(found[1]) / 1024, 1)


def measure(run: Run, track: Track, workers: int) -> dict[str, object]:
    """One load, and what it cost."""
    with relay(track, run, workers=str(workers)) as ours:
        before = [peak(pid) for pid in ours.workers()]
        per_second = rate(ours.port, track, run)
        after = [peak(pid) for pid in ours.workers()]
        supervisor = peak(ours.supervisor)
    return {
        "benchmark": "memory",
        "messages": run.messages,
        "sessions": run.sessions,
        "size": run.size,
        "tls": run.tls,
        "supervisor": supervisor,
        "workers_before": before,
        "workers": after,
        "mib_per_second": round(per_second * run.size / (1 << 20), 1),
        "promise": PROMISE,
        "kept": max(supervisor, *after) < PROMISE,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=25 << 20)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        wanted = Run(given.messages, given.size, given.sessions, tls=given.tls)
        print(json.dumps(measure(wanted, make_track(Path(place)), given.workers)))
