"""Outcomes that are known while the database is away: one line each, fsynced, settled when it is back.

A line is written before the outcome is told to anybody but the next hop, so a crash of this process meanwhile, or of
the machine, sends nothing again that was taken. In ordinary times the journal is empty and nothing is written to it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from mta.adapters.durable import sync_folder
from mta.adapters.postgres.group import Fate, Outcome
from mta.adapters.postgres.rows import Incoming, IncomingForm


class Journal:
    """One file of outcomes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[int] = set()  # ids of outcomes of this process that stand in it
        self._there = path.exists()

    def append(self, outcomes: list[Outcome]) -> None:
        """Write down those that are not yet. Raises OSError."""
        fresh = [each for each in outcomes if id(each) not in self._known]
        if not fresh:
            return
        lines = b"".join(_line(each) for each in fresh)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(descriptor)
        if not self._there:
            sync_folder(self._path.parent)
            self._there = True
        self._known.update(map(id, fresh))

    def read(self) -> list[Outcome]:
        """What a former process left; a last line that a crash cut off was never told to anybody."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [_outcome(json.loads(line, object_hook=_bytes_in)) for line in lines[:-1] if line]

    def settled(self, outcome: Outcome) -> None:
        """One is; with the last of them the file goes."""
        if id(outcome) in self._known:
            self._known.discard(id(outcome))
            if not self._known:
                self.clear()

    def clear(self) -> None:
        """All of it is settled."""
        if self._there:
            self._path.unlink(missing_ok=True)
            self._there = False


def _line(outcome: Outcome) -> bytes:
    return json.dumps(dataclasses.asdict(outcome), default=_bytes_out, separators=(",", ":")).encode() + b"\n"


def _bytes_out(value: object) -> dict[str, str]:
    assert isinstance(value, bytes | bytearray)
    return {"b64": base64.b64encode(value).decode()}


def _bytes_in(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["b64"]) if value.keys() == {"b64"} else value


def _outcome(raw: dict[str, Any]) -> Outcome:
    raw["fates"] = tuple(Fate(**fate) for fate in raw["fates"])
    raw["notices"] = tuple(Incoming(**_tuples(notice)) for notice in raw["notices"])
    raw["forms"] = tuple(IncomingForm(**_tuples(form)) for form in raw["forms"])
    raw["events"] = tuple(tuple(event) for event in raw["events"])
    return Outcome(**raw)


def _tuples(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: _tuple(value) for key, value in raw.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
