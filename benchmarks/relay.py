"""The relay against Postfix, durable, end to end: `python benchmarks/relay.py [--rounds 3] [--only NAME]`.

Both take the same messages from the same load and hand them to the same sink, in turn, in one run; default settings
on both sides. One JSON line a case: the two rates (messages per second) and the median of the ratios; and the CPU
microseconds per message of all processes of each, whose ratio hears no other load. Needs Postfix.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from racing import Run, make_track, postfix, race, relay

CASES = {  # name: (the load, the least ratio we promise)
    "4KiB-single": (Run(messages=3000), 1.75),
    "4KiB-many": (Run(messages=6000, keep=True), 3.5),
    "4KiB-single-tls": (Run(messages=1500, tls=True), 2.0),
    "4KiB-many-tls": (Run(messages=3000, keep=True, tls=True), 3.5),
    "100KiB-many": (Run(messages=1500, size=102_400, keep=True), 1.5),
    "100KiB-single": (Run(messages=1500, size=102_400), 1.5),
}


def case(name: str, rounds: int) -> dict[str, object]:
    """Race one case `rounds` times, each relay in turn."""
    run, promised = CASES[name]
    track = make_track(Path(tempfile.mkdtemp(prefix="race-")))
    with postfix(track, run) as theirs, relay(track, run) as ours:
        pairs = [
            (race(ours.port, ours.supervisor, track, run), race(theirs.port, theirs.master, track, run))
            for _ in range(rounds)
        ]
    ratio = statistics.median(mine.rate / peers.rate for mine, peers in pairs)
    return {
        "case": name,
        "mta": [round(mine.rate) for mine, _ in pairs],
        "postfix": [round(peers.rate) for _, peers in pairs],
        "ratio": round(ratio, 2),
        "promised": promised,
        "kept": ratio >= promised,
        "cpu_us": {
            "mta": [round(mine.cpu) for mine, _ in pairs],
            "postfix": [round(peers.cpu) for _, peers in pairs],
            "ratio": round(statistics.median(peers.cpu / mine.cpu for mine, peers in pairs), 2),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(CASES), action="append")
    given = parser.parse_args()
    for wanted in given.only or CASES:
        print(json.dumps(case(wanted, given.rounds)), flush=True)
