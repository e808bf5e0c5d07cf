"""Asking the relay: its live workers over their control sockets, or the queue's files where nobody owns them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from mta.app.commands import worker_parts
from mta.app.folders import control_paths
from mta.app.in_force import Need, standing
from mta.app.rescue import answer_rescue
from mta.app.shards import open_offline
from mta.config.problems import one_line
from mta.contract.configuration import Configuration
from mta.contract.index import ConnectorIndex
from mta.errors import UsageError
from mta.queue.operations import answer, joined

_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_RATES = {"s": 60.0, "min": 1.0, "m": 1.0, "h": 1 / 60}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


_told: set[str] = set()


def look(config: str, need: Need = Need.PARTS) -> Configuration:
    """The configuration for looking at things: a problem in the file keeps nobody from that (app/in_force.py).

    Where it is not that of the file, standard error says so, once. Raises ConfigurationError.
    """
    found = standing(config, need)
    if found.note and found.note not in _told:
        _told.add(found.note)
        print(one_line(f"mta: {found.note}"), file=sys.stderr)
    return found.configuration


def ask(config: str, request: dict[str, Any]) -> dict[str, Any]:
    """One answer, gathered from every shard; for the errors see `parts`."""
    return joined(parts(config, request))


def parts(config: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What every shard answers, part by part.

    Raises UsageError, Unanswered (a live worker was not heard to the end: its files are left alone) or StorageError.
    """
    routed = request.get("command") == "rescue-requeue"  # by the contracts in force, never by what can be read of them
    known = look(config, Need.WHOLE if routed else Need.QUEUE)
    paths = control_paths(known)
    answered: set[int] = set()
    for _, path in paths:
        try:
            for part in worker_parts(path, request):
                answered.update(part.pop("shards", ()))
                yield part
        except (FileNotFoundError, ConnectionRefusedError):
            continue  # nobody serves it, or the worker that adopted it answers for it
    if offline := [number for number, _ in paths if number not in answered]:
        yield from _step_by_step(_of_files(known, offline, request))


async def _of_files(known: Configuration, numbers: list[int], request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async with open_offline(known, numbers) as shards:
        if str(request.get("command", "")).startswith("rescue"):
            coming = answer_rescue(shards, ConnectorIndex(known), request, time.time(), lambda: None)
        else:
            coming = answer(shards, request, time.time(), lambda: None)
        async for part in coming:
            yield part


def _step_by_step(coming: AsyncIterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    async def following() -> dict[str, Any] | None:
        return await anext(coming, None)

    with asyncio.Runner() as runner:  # which closes what was left in the middle, too
        while (part := runner.run(following())) is not None:
            yield part


def octets_of(text: str, option: str) -> int:
    """The octets in `200K` or `5M` (of 1024). Raises UsageError."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if text and not (number.isascii() and number.isdigit() and unit in _SIZES):
        raise UsageError(f"{option}: expected a size as 800, 200K or 5M, saw {text!r}")
    return int(number or 0) * _SIZES.get(unit, 1)


def rate_of(text: str) -> int:
    """Messages a minute in `50/min` or `5/s`; 0 where nothing is said. Raises UsageError."""
    number, _, unit = text.partition("/")
    if text and not (number.isascii() and number.isdigit() and int(number) and unit in _RATES):
        raise UsageError(f"--rate: expected 50/min, 5/s or 900/h, saw {text!r}")
    return max(1, round(int(number) * _RATES[unit])) if text else 0


def since(text: str, now: float, option: str = "--since") -> float:
    """Epoch seconds of `4h` ago or of a local date and time. Raises UsageError."""
    if not text:
        return 0.0
    if text[-1] in _UNITS and text[:-1].isdigit():
        return now - int(text[:-1]) * _UNITS[text[-1]]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(f"{option}: expected 30m, 4h, 2d or 2026-11-23T10:00, saw {text!r}") from None
