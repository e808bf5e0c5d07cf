"""`mta status` and `mta top`: how the relay is, on one screen; the same again and again, with rates."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from mta import __version__
from mta.app.commands import ask_worker
from mta.app.folders import control_paths
from mta.app.in_force import Need
from mta.cli.ask import look
from mta.cli.paint import duration, octets, paint_for
from mta.errors import MtaError, UsageError
from mta.observe.log import printable

_CLEAR = "\x1b[H\x1b[2J"
_COUNTERS = ("accepted", "refused", "delivered", "deferred", "failed", "expired")
_HEADS = ("CONNECTOR", "ACCEPTED", "REFUSED", "DELIVERED", "DEFERRED", "FAILED", "OLDEST", "TLS")


def status(config: str, json_output: bool) -> int:
    """Print it; 1 if no worker answers, or one that should does not. Raises ConfigurationError."""
    document = seen(config)
    print(json.dumps(document, indent=2) if json_output else "\n".join(screen(document, None)))
    return 0 if document["workers"]["up"] and not document["workers"]["silent"] else 1


def top(config: str, seconds: float, rounds: int) -> int:
    """Draw it every few seconds, until Ctrl-C or so many times (0: without end)."""
    if not 0.2 <= seconds <= 3600:
        raise UsageError(f"--every: expected 0.2 to 3600 seconds, saw {seconds:g}")
    before: dict[str, Any] | None = None
    drawn = 0
    try:
        while True:
            now = seen(config)
            print((_CLEAR if sys.stdout.isatty() else "") + "\n".join(screen(now, before)), flush=True)
            before, drawn = now, drawn + 1
            if drawn == rounds:
                return 0
            time.sleep(seconds)
    except KeyboardInterrupt:
        return 0


def seen(config: str) -> dict[str, Any]:
    """What all workers count, as one document."""
    known = look(config, Need.QUEUE)
    up, silent, samples = [], [], []
    for number, path in control_paths(known):
        try:
            samples += ask_worker(path, {"command": "metrics"})["samples"]
            up.append(number)
        except (FileNotFoundError, ConnectionRefusedError):
            if number < known.server.workers:
                silent.append(number)
        except (MtaError, KeyError) as error:
            silent.append(number)
            print(f"mta: {error}", file=sys.stderr)
    return {
        "time": round(time.time(), 3),
        "version": __version__,
        "workers": {"up": up, "silent": silent},
        **summed(samples),
    }


# metric -> where its number is added up: of the relay, of the relay by a label, of a connector, of it by a label
_SUMS = {"mta_sessions": "sessions", "mta_queue_octets": "octets", "mta_defects_total": "defects"}
_SUMS |= {"mta_storage_failures_total": "storage_failures"}
_TABLES = {"mta_queue_recipients": "queue", "mta_alarms_total": "alarms"}
_OF_CONNECTOR = {"mta_messages_accepted_total": "accepted", "mta_messages_refused_total": "refused"}
_BY_LABEL = {
    "mta_messages_refused_total": ("reasons", 2),
    "mta_not_delivered_total": ("reasons", 2),
    "mta_outbound_tls_total": ("tls", 1),
}


def summed(samples: Iterable[tuple[str, list[str], float]]) -> dict[str, Any]:
    """Samples of metrics, sorted to where people look for them."""
    document: dict[str, Any] = {**dict.fromkeys(_SUMS.values(), 0), "queue": {}, "alarms": {}, "connectors": {}}
    for name, labels, number in samples:
        if name in _SUMS:
            document[_SUMS[name]] += number
        elif name in _TABLES:
            _add(document[_TABLES[name]], labels[0], number)
        elif labels:
            _of_connector(document["connectors"], name, labels, number)
    return document


def _of_connector(connectors: dict[str, dict[str, Any]], name: str, labels: list[str], number: float) -> None:
    counted = _OF_CONNECTOR.get(name, labels[1] if name == "mta_deliveries_total" else "")
    if not (counted in _COUNTERS or name in _BY_LABEL or name == "mta_queue_oldest_seconds"):
        return
    fresh = {**dict.fromkeys(_COUNTERS, 0), "oldest": 0.0, "tls": {}, "reasons": {}}
    each = connectors.setdefault(labels[0], fresh)
    if counted in _COUNTERS:
        each[counted] += number
    if name in _BY_LABEL:
        table, place = _BY_LABEL[name]
        _add(each[table], labels[place], number)
    if name == "mta_queue_oldest_seconds":
        each["oldest"] = max(each["oldest"], number)


def _add(table: dict[str, float], key: str, number: float) -> None:
    table[key] = table.get(key, 0) + number


def screen(now: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """Lines for people; with what was seen `before`, numbers are rates a second."""
    paint, workers, queue = paint_for(sys.stdout), now["workers"], now["queue"]
    bad = f", silent: {', '.join(map(str, workers['silent']))}" if workers["silent"] else ""
    waits = f"{queue.get('queued', 0):.0f} wait, {queue.get('held', 0):.0f} are held, {octets(int(now['octets']))}"
    lines = [
        f"mta {now['version']}  workers: {len(workers['up'])} answer{bad}  sessions: {now['sessions']:.0f}",
        f"queue: {waits}",
        *_troubles(now),
        "",
    ]
    rows = [_row(name, each, *_previous(name, now, before)) for name, each in sorted(now["connectors"].items())]
    widths = [max(map(len, column)) for column in zip(_HEADS, *rows, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (_HEADS, *rows)
    ]
    return [*lines, paint("head", table[0]), *table[1:]]


def _troubles(now: dict[str, Any]) -> list[str]:
    paint = paint_for(sys.stdout)
    told = [f"{number:.0f} x alarm {name}" for name, number in now["alarms"].items()]
    told += [f"{now['defects']:.0f} defects"] if now["defects"] else []
    told += [f"{now['storage_failures']:.0f} storage failures"] if now["storage_failures"] else []
    return [paint("bad", f"since the start: {', '.join(told)}; the log has the stories")] if told else []


def _previous(name: str, now: dict[str, Any], before: dict[str, Any] | None) -> tuple[dict[str, Any] | None, float]:
    if before is None:
        return None, 0.0
    return before["connectors"].get(name, {}), max(now["time"] - before["time"], 0.001)


def _row(name: str, each: dict[str, Any], before: dict[str, Any] | None, seconds: float) -> tuple[str, ...]:
    def number(*keys: str) -> str:
        count = sum(each[key] for key in keys)
        if before is None:
            return f"{count:.0f}"
        return f"{max(0.0, count - sum(before.get(key, 0) for key in keys)) / seconds:.1f}/s"

    tls = " ".join(f"{version}:{count:.0f}" for version, count in sorted(each["tls"].items()))
    oldest = duration(each["oldest"]) if each["oldest"] else "-"
    counts = (
        number("accepted"),
        number("refused"),
        number("delivered"),
        number("deferred"),
        number("failed", "expired"),
    )
    return printable(name) or "-", *counts, oldest, tls or "-"
