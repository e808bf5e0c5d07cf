"""For runs under libfaketime: it takes the monotonic moment that time.sleep names to clock_nanosleep for one of the
clock that it shifts, and refuses it. So Python sleeps by select there."""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
