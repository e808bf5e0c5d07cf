"""What can still be used of a connectors.yaml with problems in it: for looking at things, never for running a relay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from mta.config.load import examine_text
from mta.config.marks import parse
from mta.config.problems import Problem, dotted
from mta.contract.configuration import Configuration
from mta.contract.server import Server

_ROUNDS = 8  # of leaving out what has a problem: what is gone may be missing elsewhere
_NAMED = ("connectors", "domains")  # whose entries can be left out one by one
_STORE = re.compile(r"sqlite:[^\s\"'{},#]+")
_STATE = re.compile(r"(?m)(?:^ *|[{,] *)state: *[\"']?([^\s\"'{},#]+)")


@dataclass(frozen=True, slots=True)
class Salvage:
    """A configuration without the parts in `left_out`, dotted."""

    configuration: Configuration
    left_out: tuple[str, ...]


def salvage(text: str, path: str, *, now: float, cpus: int) -> Salvage | None:
    """As much of the text as makes a configuration; None where nothing does."""
    data: Any = parse(text, path).data
    left_out: dict[str, None] = {}
    for _ in range(_ROUNDS):
        if not isinstance(data, dict):
            return None
        found = examine_text(yaml.safe_dump(data, sort_keys=False), path, now=now, cpus=cpus)
        if found.configuration is not None:
            return Salvage(found.configuration, tuple(left_out))
        for problem in found.problems:
            left_out.setdefault(_leave_out(data, problem))
    return None


def _leave_out(data: dict[str, Any], problem: Problem) -> str:
    """Take out of `data` what a problem is about; its dotted name."""
    for key in _NAMED:
        entries = data.get(key)
        if not isinstance(entries, dict):
            continue
        for name in sorted(entries, key=lambda name: -len(str(name))):
            whole = dotted((key, name))
            if problem.path == whole or problem.path.startswith((f"{whole}.", f"{whole}[")):
                del entries[name]
                return whole
    top, _, rest = problem.path.partition(".")
    under = re.split(r"[.\[]", rest)[0]
    inner = data.get(top)
    if isinstance(inner, dict) and under in inner:
        del inner[under]
        return f"{top}.{under}"
    data.pop(top, None)
    if problem.path in ("server", "server.hostname"):
        data["server"] = {**(inner if isinstance(inner, dict) else {}), "hostname": "localhost.invalid"}
    return top


def only_the_queue(text: str, path: str) -> Configuration:
    """A configuration that knows where the queue is and nothing else: text that is no YAML may still say it."""
    found, beside = _STORE.search(text), _STATE.search(text)
    queue, state = found[0] if found else "sqlite:var/queue", beside[1] if beside else ""
    server = Server("localhost.invalid", "", "", (), queue=queue, state=state)
    return Configuration(server, {}, {}, path)
