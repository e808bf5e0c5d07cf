"""`mta connectors suggest`: contracts that the traffic already seen would have kept."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from mta.app.load import load
from mta.cli.trace import find
from mta.contract.index import ConnectorIndex
from mta.importers.draft import render
from mta.policy.suggest import suggest

_MOST = 5_000  # messages, the newest


def run(config: str, since: str, least: int, json_output: bool) -> int:
    """Print connectors, in audit mode, for domains without a contract; 1 if there is nothing to propose.

    Raises UsageError and ConfigurationError.
    """
    history = find(config, {"since": since, "limit": _MOST})
    if len(history) == _MOST:
        print(f"mta: only the newest {_MOST} messages are looked at", file=sys.stderr)
    draft = suggest(ConnectorIndex(load(config)), history, least)
    text = render(
        draft, f"seen in {len(history)} messages; put it into the file, and see what it would refuse", whole=False
    )
    if json_output:
        notes = [asdict(found) for found in draft.differences]
        print(
            json.dumps(
                {"messages": len(history), "connectors": draft.connectors, "notes": notes, "yaml": text}, indent=2
            )
        )
    elif draft.connectors:
        print(text, end="")
    else:
        print(f"mta: {len(history)} messages give no reason for a new contract", file=sys.stderr)
    return 0 if draft.connectors else 1
