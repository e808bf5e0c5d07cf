"""RFC 5322 §3.3: the date-time of header fields, in UTC and in no locale's words."""

from __future__ import annotations

from functools import lru_cache
from math import floor
from time import gmtime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def format_date(epoch: float) -> str:
    """`Mon, 05 Jan 2026 09:03:07 +0000` for epoch seconds. Raises ValueError or OverflowError beyond the calendar.

    Every Received field of one second has the same date, hence the cache.
    """
    return _format_second(floor(epoch))


@lru_cache(maxsize=16)
def _format_second(second: int) -> str:
    day = gmtime(second)
    # RFC 5322 §3.3: a year has four digits or more, the zone is numeric; "+0000" says UTC.
    return (
        f"{_DAYS[day.tm_wday]}, {day.tm_mday:02d} {_MONTHS[day.tm_mon - 1]} {day.tm_year:04d} "
        f"{day.tm_hour:02d}:{day.tm_min:02d}:{day.tm_sec:02d} +0000"
    )
