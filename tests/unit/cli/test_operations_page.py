"""docs/operations.md keeps up with what the relay says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mta.cli.main import queue
from mta.policy.refusal import _TEXTS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/operations.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "mta").rglob("*.py"))
EVENTS = dict(re.findall(r'^([A-Z_]+) = "([a-z.-]+)"$', (ROOT / "mta/observe/events.py").read_text(), re.MULTILINE))
LOGGED = sorted(
    name
    for constant, name in EVENTS.items()
    if re.search(rf"log\.(info|warning|error)\(\s*events\.{constant}\b", SOURCE)
)


@pytest.mark.parametrize("word", _TEXTS)
def test_every_reason_for_a_refusal_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("name", LOGGED)
def test_every_event_of_the_log_is_listed(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_some_events_were_found() -> None:
    assert len(LOGGED) > 15


@pytest.mark.parametrize("command", [str(command.name) for command in queue.registered_commands])
def test_every_queue_command_is_shown(command: str) -> None:
    assert f"mta queue {command}" in PAGE
