"""How work grows with its input, told by ratios and by counts, so that no machine is too slow for a test."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any


def growth(work: Callable[[int], Callable[[], object]], size: int, factor: int = 4) -> float:
    """CPU time for `size * factor` divided by that for `size`; `work(size)` prepares and returns what is measured.

    Linear work comes near to `factor`, quadratic work to its square. The best of several runs counts. Below a
    millisecond the pages that a larger text needs cost more than the work, so that less counts as one: what grows with
    the square is far beyond it at the sizes of these tests.
    """
    small, large = work(size), work(size * factor)
    found = float("inf")
    for _ in range(3):  # a processor that changes its pace between the two is no growth; quadratic work is it each time
        found = min(found, _best(large) / max(_best(small), 1e-3))
        if found < factor * 1.5:
            break
    return found


def steps(action: Callable[[], object]) -> int:
    """How many lines of Python and calls of C `action` runs: the same on every machine and under every load.

    What one call of C does is not seen (a search in a long text is one step); `growth` sees it.
    """
    count = 0

    def traced(_frame: object, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return traced

    def profiled(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(traced)
    sys.setprofile(profiled)
    try:
        action()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return count


def _best(action: Callable[[], object]) -> float:
    best = float("inf")
    collects = gc.isenabled()
    gc.collect()
    gc.disable()  # looking through all that other tests have left behind is not this work
    try:
        for _ in range(4):
            begin = time.process_time()
            action()
            best = min(best, time.process_time() - begin)
    finally:
        if collects:
            gc.enable()
    return best
