"""`mta connectors replay`: what a changed file would have done to recent mail."""

from __future__ import annotations

import json
import sys

from mta.app.load import load
from mta.cli.trace import find
from mta.config.problems import one_line
from mta.contract.index import ConnectorIndex
from mta.policy.replay import SAME, WORSE, replay, summary, words

_MOST = 5_000  # messages, the newest


def run(config: str, file: str, since: str, everything: bool, json_output: bool) -> int:
    """Judge the mail in the history of `config`'s relay by the configuration in `file`; 1 if any would fare worse.

    Raises UsageError and ConfigurationError.
    """
    index = ConnectorIndex(load(file or config))
    history = find(config, {"since": since, "limit": _MOST})
    if len(history) == _MOST:
        print(f"mta: only the newest {_MOST} messages are looked at", file=sys.stderr)
    found = (replay(index, message) for message in history)
    documents = [document for document in found if document is not None]
    counts = summary(documents)
    shown = [document for document in documents if everything or document["outcome"] != SAME]
    if json_output:
        print(json.dumps({"file": file or config, "summary": counts, "messages": shown}, indent=2))
    else:
        for document in shown:
            print("\n".join(one_line(line) for line in words(document)))
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        print(f"{len(documents)} messages: {told}")
    return 1 if counts[WORSE] else 0
