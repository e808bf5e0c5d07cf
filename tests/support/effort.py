"""How work grows with its input, told by ratios, so that no machine is too slow for a test."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def growth(work: Callable[[int], Callable[[], object]], size: int, factor: int = 4) -> float:
    """CPU time for `size * factor` divided by that for `size`; `work(size)` prepares and returns what is measured.

    Linear work comes near to `factor`, quadratic work to its square. The best of several runs counts.
    """
    small, large = work(size), work(size * factor)
    return _best(large) / max(_best(small), 1e-4)


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
