"""How long tests wait before they believe that something does not happen.

The machine is measured once, where the run begins: how long a piece of work and the start of an interpreter take, and
how many others want it at this moment. Every wait grows with that, so a slow or busy machine makes a run long, never
red. A test that must *see* time pass scripts a clock, or counts; it does not measure.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass

_PLACE = "MTA_TEST_MACHINE"  # the workers of pytest-xdist take what was measured before they were started
_WORK, _START = 0.1, 0.25  # CPU and wall seconds of _measure's two parts on an idle machine of 2024
_MOST = 10.0


@dataclass(frozen=True)
class Machine:
    """Against an idle machine of 2024: `effort` is the CPU time of a piece of work, `wait` all that makes one wait."""

    effort: float
    wait: float


def _measure() -> Machine:
    effort = min(_work() for _ in range(3)) / _WORK
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import asyncio, ssl, email.message"], check=True)
    start = (time.monotonic() - begun) / _START
    crowd = os.getloadavg()[0] / (os.cpu_count() or 1)
    return Machine(_bounded(effort), _bounded(max(start, effort) * max(1.0, crowd)))


def _work() -> float:
    begun = time.process_time()
    words: dict[int, bytes] = {}
    for number in range(60_000):
        words[number % 1000] = hashlib.sha256(words.get(number % 999, b"") + bytes([number % 256])).digest()
    return time.process_time() - begun


def _bounded(factor: float) -> float:
    return min(max(factor, 1.0), _MOST)


def _known() -> Machine:
    told = os.environ.get(_PLACE, "").split()
    machine = Machine(*map(float, told)) if len(told) == 2 else _measure()
    os.environ[_PLACE] = f"{machine.effort:.2f} {machine.wait:.2f}"
    return machine


MACHINE = _known()


def patient(seconds: float) -> float:
    """So many seconds of an idle machine, in seconds of this one."""
    return seconds * MACHINE.wait


def cpu(seconds: float) -> float:
    """So many CPU seconds of an idle machine, in CPU seconds of this one."""
    return seconds * MACHINE.effort


PATIENCE = patient(30.0)  # for whatever must happen, and happens at once when nothing is wrong
