"""Asking the relay: its live workers over their control sockets, or the queue's files where nobody owns them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mta.app import ask_worker, control_paths, load, open_offline
from mta.config.contract import Configuration
from mta.errors import UsageError
from mta.queue.operations import answer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def ask(config: str, request: dict[str, Any]) -> dict[str, Any]:
    """One answer, gathered from every shard. Raises UsageError."""
    known = load(config)
    answers: list[dict[str, Any]] = []
    paths = control_paths(known)
    answered: set[int] = set()
    for _, path in paths:
        try:
            answers.append(ask_worker(path, request))
        except OSError:
            continue  # nobody serves it, or the worker that adopted it answers for it
        answered.update(answers[-1].pop("shards", ()))
    if offline := [number for number, _ in paths if number not in answered]:
        answers.append(asyncio.run(_ask_files(known, offline, request)))
    return merged(answers)


async def _ask_files(known: Configuration, numbers: list[int], request: dict[str, Any]) -> dict[str, Any]:
    async with open_offline(known, numbers) as shards:
        return await answer(shards, request, time.time(), lambda: None)


def merged(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Several shards' answers as one: lists are joined, numbers added."""
    whole: dict[str, Any] = {}
    for part in answers:
        for key, value in part.items():
            if isinstance(value, list):
                whole.setdefault(key, []).extend(value)
            elif isinstance(value, dict):
                whole[key] = merged_numbers(whole.get(key, {}), value)
            else:
                whole[key] = whole.get(key, 0) + value
    return whole


def merged_numbers(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Sums by key."""
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def since(text: str, now: float) -> float:
    """Epoch seconds of `4h` ago or of a local date and time. Raises UsageError."""
    if not text:
        return 0.0
    if text[-1] in _UNITS and text[:-1].isdigit():
        return now - int(text[:-1]) * _UNITS[text[-1]]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise UsageError(f"--since: expected 30m, 4h, 2d or 2026-11-23T10:00, saw {text!r}") from None
