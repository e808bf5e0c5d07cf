"""`mta queue list` and its kin: what waits, and changing it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from mta.cli.ask import ask
from mta.cli.paint import STATES, Paint, duration, octets, paint_for
from mta.observe.log import printable

_HEADINGS = ("ID", "AGE", "SIZE", "FROM", "TO", "STATE", "NEXT", "REASON")
_STATE = _HEADINGS.index("STATE")
_DONE = {"hold": "held", "release": "released", "retry": "will be tried now:", "delete": "deleted"}


def queue(config: str, request: dict[str, Any], json_output: bool) -> int:
    """Ask or change the queue; 0, or 1 where a change found nothing to change."""
    answer = ask(config, request)
    if request["command"] != "list":
        return _changed(str(request["command"]), sorted(answer.get("changed", [])), json_output)
    limit = int(request.get("limit") or 1000)
    messages = sorted(answer.get("messages", []), key=lambda message: (message["received"], message["id"]))[:limit]
    if json_output:
        print(json.dumps({"messages": messages}, indent=2))
    else:
        print("\n".join(table(messages, time.time(), paint_for(sys.stdout))))
    return 0


def _changed(command: str, ids: list[str], json_output: bool) -> int:
    if json_output:
        print(json.dumps({"changed": ids}, indent=2))
    else:
        for name in ids:
            print(f"{_DONE[command]} {printable(name)}")
    if not ids:
        print(f"mta: {command}: nothing matched", file=sys.stderr)
    return 0 if ids else 1


def table(messages: list[dict[str, Any]], now: float, paint: Paint) -> list[str]:
    """One line per recipient that still waits, under headings; columns as wide as they need."""
    rows = [
        _row(message, recipient, now)
        for message in messages
        for recipient in message["recipients"]
        if recipient["state"] in ("queued", "held")
    ]
    if not rows:
        return ["nothing waits"]
    widths = [max(len(row[place]) for row in (_HEADINGS, *rows)) for place in range(len(_HEADINGS) - 1)]
    head = "  ".join(word.ljust(width) for word, width in zip(_HEADINGS, (*widths, 0), strict=True))
    return [paint("head", head), *(_line(row, widths, paint) for row in rows)]


def _line(row: tuple[str, ...], widths: list[int], paint: Paint) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)]
    cells[_STATE] = paint(STATES[row[_STATE]], cells[_STATE])
    return "  ".join(cells).rstrip()


def _row(message: dict[str, Any], recipient: dict[str, Any], now: float) -> tuple[str, ...]:
    cells = (
        message["id"],
        duration(now - message["received"]),
        octets(message["size"]),
        message["sender"] or "<>",
        recipient["address"],
        recipient["state"],
        _next(recipient, now),
        recipient["reason"] or "first attempt",
    )
    return tuple(printable(str(cell)) for cell in cells)


def _next(recipient: dict[str, Any], now: float) -> str:
    if recipient["state"] == "held":
        return "when released"
    wait = recipient["due"] - now
    return f"in {duration(wait)}" if wait >= 1 else "now"
