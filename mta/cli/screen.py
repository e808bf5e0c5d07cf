"""Between the commands and whoever typed them: letters that a terminal lacks, words that a command does not take."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import typer
from typer.exceptions import TyperException

from mta.config.problems import did_you_mean, one_line
from mta.errors import UsageError
from mta.model.lifecycle import OPEN, STATES
from mta.model.message import OUR_OWN

_SWITCHED = ("true", "false", "yes", "no", "on", "off", "1", "0")


def run_command(app: typer.Typer) -> int:
    """Run what was typed; its exit status. Words that are not understood are told with what was meant, perhaps."""
    try:
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        for hint in _hints(sys.argv[1:], error.format_message()):
            print(one_line(f"mta: {hint}"), file=sys.stderr)
        return 2
    except typer.Abort:
        return 1


def _hints(words: list[str], message: str) -> Iterable[str]:
    if "unexpected extra argument" not in message:
        return
    for before, word in pairwise(words):
        if before.startswith("--") and word.lower() in _SWITCHED:
            yield f"{before} is a switch: write it alone, or leave it away"
    for word in words[1:]:
        if not word.startswith("-") and (word.endswith((".yaml", ".yml")) or Path(word).is_file()):
            yield f"the configuration is named by --config {word}"


def known_state(text: str, *, waiting: bool) -> None:
    """Raise UsageError for what is no state; `waiting`: of mail that waits, which others never are."""
    if not text or text in (OPEN if waiting else STATES):
        return
    if text in STATES:
        raise UsageError(f"--status: what waits is queued or held; `mta trace --status {text}` finds what is over")
    hint = did_you_mean(text, OPEN if waiting else STATES)
    listed = ", ".join(sorted(OPEN if waiting else STATES))
    raise UsageError(f"--status: {text!r} is no state, they are {listed}" + (f": {hint}" if hint else ""))


def known_connector(name: str, connectors: Iterable[str]) -> None:
    """Raise UsageError for a name that no connector has."""
    names = {*connectors, *OUR_OWN}
    if name and name not in names:
        hint = did_you_mean(name, names) or f"there are {', '.join(sorted(names - OUR_OWN))}"
        raise UsageError(f"--connector: no connector is called {name!r}: {hint}")
