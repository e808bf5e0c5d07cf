"""`mta queue summary`: what waits by connector or domain and by age, and how many a command would change."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from mta.cli.ask import parts
from mta.cli.paint import duration, paint_for
from mta.observe.log import printable
from mta.ports.queue import AGES

_MOST_REASON = 60  # characters of a reason in a table


def counted(config: str, request: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """How many messages a request means, and their recipients in groups. For the errors see `ask.parts`."""
    messages, groups = 0, []
    for part in parts(config, {**request, "command": "survey"}):
        messages += part.get("messages", 0)  # a part may be a mere sign of life
        groups += part.get("groups", [])
    return messages, groups


def dry_run(config: str, request: dict[str, Any], meant: tuple[str, ...], json_output: bool) -> int:
    """Say how many messages wait that a command is about, and change nothing; 1: none."""
    states = [request["state"]] if request.get("state") else list(meant)
    sums: dict[str, tuple[int, int]] = {}
    for state in states:
        messages, groups = counted(config, {**request, "state": state})
        sums[state] = messages, sum(group["recipients"] for group in groups)
    if json_output:
        print(json.dumps({state: {"messages": m, "recipients": r} for state, (m, r) in sums.items()}, indent=2))
    else:
        for state, (messages, recipients) in sums.items():
            print(f"{messages} messages with {recipients} recipients that are {state}")
    return 0 if any(recipients for _, recipients in sums.values()) else 1


def summary(config: str, request: dict[str, Any], by: str, json_output: bool) -> int:
    """The table; 1 where nothing waits."""
    rows = _merged(counted(config, request)[1], by)
    now = time.time()
    if json_output:
        print(json.dumps({"by": by, "ages": list(AGES), "groups": rows}, indent=2))
    elif rows:
        print("\n".join(_table(rows, by, now)))
    else:
        print("nothing waits")
    return 0 if rows else 1


def _merged(groups: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """One row for each connector or domain, most recipients first."""
    rows: dict[str, dict[str, Any]] = {}
    for group in groups:
        row = rows.setdefault(group[by], {by: group[by], "queued": 0, "held": 0, "by_age": [0] * (len(AGES) + 1)})
        row[group["state"]] += group["recipients"]
        row["by_age"][group["age"]] += group["recipients"]
        row["oldest"] = min(row.get("oldest", group["oldest"]), group["oldest"])
        if group["state"] == "queued":
            row["due"] = min(row.get("due", group["due"]), group["due"])
        if group["attempts"] >= row.get("attempts", 0):
            row["attempts"], row["reason"] = group["attempts"], group["reason"]
    return sorted(rows.values(), key=lambda row: (-row["queued"] - row["held"], row[by]))


def _table(rows: list[dict[str, Any]], by: str, now: float) -> list[str]:
    ages = ["<5m", *(f"{age // 60}m+" for age in AGES)]
    heads = [by.upper(), "WAIT", "HELD", *ages, "OLDEST", "TRIES", "NEXT", "LAST REPLY"]
    cells = [[heads[0], *heads[1:]], *(_cells(row, by, now) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(heads) - 1)]
    paint = paint_for(sys.stdout)
    lines = [
        "  ".join(
            (cell.ljust if place in (0, len(heads) - 1) else cell.rjust)(width)
            for place, (cell, width) in enumerate(zip(line, (*widths, 0), strict=True))
        ).rstrip()
        for line in cells
    ]
    return [paint("head", lines[0]), *lines[1:]]


def _cells(row: dict[str, Any], by: str, now: float) -> list[str]:
    due = row.get("due")
    wait = "held" if due is None else "now" if due <= now else f"in {duration(due - now)}"
    reason = printable(row["reason"]) or "first attempt"
    short = reason if len(reason) <= _MOST_REASON else reason[: _MOST_REASON - 3] + "..."
    counts = [str(number) if number else "." for number in (row["queued"], row["held"], *row["by_age"])]
    return [printable(row[by]) or "-", *counts, duration(now - row["oldest"]), str(row["attempts"]), wait, short]
