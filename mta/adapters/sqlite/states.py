"""The lifecycle (model/lifecycle.py) as conditions of SQL."""

from __future__ import annotations

from collections.abc import Set

from mta.model.lifecycle import BY_COMMAND, FINAL, OPEN, QUEUED, STATES


def _one_of(states: Set[str]) -> str:
    return ", ".join(f"'{state}'" for state in BY_COMMAND if state in states)


IS_QUEUED = f"state = '{QUEUED}'"  # as the index of due recipients has it
IS_OPEN = f"state IN ({_one_of(OPEN)})"
IS_NO_STATE = f"state NOT IN ({_one_of(STATES)})"
# From where a recipient comes to its end, nearly always: the index of due recipients finds it.
ENDS_FROM_QUEUED = IS_QUEUED if BY_COMMAND[QUEUED] >= FINAL else "0"
