"""`mta report`: a month with one partner on one page, for an auditor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mta.cli.ask import ask, look
from mta.cli.month_page import as_csv, as_html, as_text
from mta.cli.screen import known_connector
from mta.errors import UsageError
from mta.policy.month import Month

_WINDOW = 2_000  # messages of one question
_SHORTEST = 0.002  # seconds: what came within it is asked for at once, however much it is


@dataclass(frozen=True, slots=True)
class Period:
    """A month by its name, and its bounds in epoch seconds by the local clock."""

    name: str
    begin: float
    end: float


def report(config: str, connector: str, month: str, form: str) -> int:
    """Print the page as `text`, `json`, `csv` or `html`; 1 if there was no mail. Raises UsageError."""
    configuration = look(config)
    known_connector(connector, configuration.connectors)
    period = period_of(month, time.time())
    counted = Month(connector)
    for message in messages(config, period.begin, min(period.end, time.time())):
        counted.add(message)
    document = {
        "month": period.name,
        "about": configuration.connectors[connector].about if connector in configuration.connectors else "",
        **counted.document(),
        "whole": _whole(period, time.time(), configuration.server.trace_keep),
        "configuration": configuration.digest,
        "made": round(time.time(), 3),
        "host": configuration.server.hostname,
    }
    print({"text": as_text, "csv": as_csv, "html": as_html}.get(form, _as_json)(document))
    return 0 if document["messages"] else 1


def period_of(month: str, now: float) -> Period:
    """`2026-11`, or nothing: the month that ended last. Raises UsageError."""
    if not month:
        first = datetime.fromtimestamp(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        month = datetime.fromtimestamp(first.timestamp() - 1).strftime("%Y-%m")
    try:
        begin = datetime.strptime(month, "%Y-%m")
    except ValueError:
        raise UsageError(f"--month: expected a month like 2026-11, saw {month!r}") from None
    end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return Period(begin.strftime("%Y-%m"), begin.timestamp(), end.timestamp())


def messages(config: str, begin: float, end: float) -> Iterator[dict[str, Any]]:
    """All messages that came within [begin, end), asked for in pieces, so that none is left out for its number."""
    if begin >= end:
        return
    asked = {"command": "trace", "since": begin, "until": end, "limit": _WINDOW if end - begin > _SHORTEST else 10**9}
    found = ask(config, asked).get("messages", [])
    if len(found) < _WINDOW or end - begin <= _SHORTEST:
        yield from found
        return
    middle = begin + (end - begin) / 2
    yield from messages(config, begin, middle)
    yield from messages(config, middle, end)


def _whole(period: Period, now: float, kept: float) -> str:
    """Empty: the history has the whole month. Else what is missing."""
    if period.begin < now - kept:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(now - kept))
        return f"mail that came to its end before {since} is forgotten (server.trace.keep): this page lacks it"
    if period.end > now:
        return f"the month is not over: this page ends at {time.strftime('%Y-%m-%d %H:%M', time.localtime(now))}"
    return ""


def _as_json(document: dict[str, Any]) -> str:
    return json.dumps({"ok": not document["in_clear"], **document}, indent=2)
