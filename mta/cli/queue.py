"""`mta queue list` and its kin: what waits, and changing it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from mta.cli.ask import look, parts
from mta.cli.paint import STATES, Paint, duration, octets, paint_for
from mta.cli.queue_summary import counted, dry_run
from mta.cli.screen import known_connector, known_state
from mta.errors import MtaError, Unanswered, UsageError
from mta.observe.log import printable
from mta.queue.operations import FILTERS, MEANT, joined

_HEADINGS = ("ID", "AGE", "SIZE", "FROM", "TO", "STATE", "NEXT", "REASON")
_STATE = _HEADINGS.index("STATE")
_DONE = {
    "hold": "held",
    "release": "released",
    "retry": "will be tried now:",
    "delete": "deleted",
    "bounce": "will be returned:",
}
_PAST = {**_DONE, "retry": "put up for a try", "bounce": "given up"}
_MANY = 20  # ids that a person counts


def queue(config: str, request: dict[str, Any], json_output: bool) -> int:
    """Ask or change the queue; 0, or 1 where a change found nothing to change. For the errors see `ask.parts`."""
    known_state(str(request.get("state") or ""), waiting=True)
    if request["command"] != "list":
        if request.pop("dry_run", False):
            return dry_run(config, request, MEANT[str(request["command"])], json_output)
        return _change(config, request, json_output)
    limit = int(request.get("limit") or 1000)
    answer = joined(parts(config, {**request, "limit": limit + 1}))  # one more tells whether there is more
    found = sorted(answer.get("messages", []), key=lambda message: (message["received"], message["id"]))
    messages, more = found[:limit], len(found) > limit
    if not messages:
        _check_connector(config, request)
    if json_output:
        print(json.dumps({"messages": messages, "more": more}, indent=2))
    elif not messages and any(request.get(name) for name in FILTERS):
        print("nothing that waits matches")
    else:
        print("\n".join(table(messages, time.time(), paint_for(sys.stdout))))
    if more:
        states = joined(parts(config, {"command": "counts"})).get("states", {})
        waiting = states.get("queued", 0) + states.get("held", 0)
        print(
            f"mta: these are the oldest {limit}, and there are more: --limit N shows more of them"
            f" ({waiting} recipients wait in the whole queue)",
            file=sys.stderr,
        )
    return 0


def _check_connector(config: str, request: dict[str, object]) -> None:
    """Nothing was found: it may be a name that nothing has. (Mail of one that was taken out is found by its name.)"""
    if name := str(request.get("connector") or ""):
        known_connector(name, look(config).connectors)


def _change(config: str, request: dict[str, object], json_output: bool) -> int:
    """Tell what was changed as it is, and how far it came where it ended too soon."""
    command = str(request["command"])
    show, done, progress = _Changes(command, json_output), 0, _Progress(config, request)
    try:
        for part in parts(config, request):
            for name in part.get("changed", ()):
                show(name)
                done += 1
            progress(done)
    except MtaError as error:
        if isinstance(error, UsageError) and not done:
            raise  # nothing was begun
        show.end()
        raise Unanswered(f"{error}; {done} messages were {_PAST[command]} by then, the same command goes on") from error
    if not done:
        _check_connector(config, request)
    show.end()
    if not done:
        print(f"mta: {command}: nothing matched", file=sys.stderr)
    elif done > _MANY and not json_output:
        print(f"mta: {done} messages were {_PAST[command]}", file=sys.stderr)
    return 0 if done else 1


class _Progress:
    """How far it is, how fast, and how long it takes: on the terminal, where the ids go somewhere else."""

    def __init__(self, config: str, request: dict[str, Any]) -> None:
        self._shows = sys.stderr.isatty() and not sys.stdout.isatty()
        self._begun = time.monotonic()
        self._of = counted(config, request)[0] if self._shows else 0

    def __call__(self, done: int) -> None:
        if done and self._shows:
            rate = done / max(time.monotonic() - self._begun, 0.001)
            left = duration(max(self._of - done, 0) / rate)
            print(f"\r{done} of {self._of}, {rate:.0f}/s, {left} left   \r", end="", file=sys.stderr, flush=True)


class _Changes:
    """Prints ids one by one: as lines, or as the document `{"changed": [...]}`."""

    def __init__(self, command: str, json_output: bool) -> None:
        self._done, self._json = _DONE[command], json_output
        self._between = '{"changed": ['

    def __call__(self, name: str) -> None:
        if self._json:
            print(f"{self._between}\n  {json.dumps(name)}", end="")
            self._between = ","
        else:
            print(f"{self._done} {printable(name)}")

    def end(self) -> None:
        """Nothing follows."""
        if self._json:
            print("\n]}" if self._between == "," else f"{self._between}]}}")
        sys.stdout.flush()


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
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS) - 1)]
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
