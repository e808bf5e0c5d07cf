"""`mta nodes` and `mta queue migrate`: who works on the shared queue, and its tables."""

from __future__ import annotations

import json
import time

from mta.app.nodes import list_nodes, migrate_tables
from mta.cli.ask import look


def nodes(config: str, json_output: bool) -> int:
    """Print every node; 1 if one has passed its lease or has another connectors.yaml than this one. Raises MtaError."""
    found = list_nodes(look(config))
    if json_output:
        print(json.dumps({"nodes": found}, indent=2))
    else:
        heads = ("node", "host", "worker", "version", "since", "lease", "in hand")
        print("{:>6}  {:20} {:>6} {:10} {:16} {:>6} {:>7}  generation".format(*heads))
        for each in found:
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(each["started"]))
            notes = ["another connectors.yaml than this one"] if each["differs"] else []
            notes += ["its lease has passed"] if each["lease"] < 0 else []
            print(
                f"{each['id']:>6}  {each['host']:20} {each['worker']:>6} {each['version']:10} {since:16}"
                f" {each['lease']:>5.0f}s {each['in_hand']:>7}  {each['generation']} {each['digest'][:12]}"
                f"{'  ! ' + ', '.join(notes) if notes else ''}"
            )
    return int(any(each["differs"] or each["lease"] < 0 for each in found))


def migrate(config: str) -> int:
    """Bring the tables of the shared queue up to date. Raises MtaError."""
    before, after = migrate_tables(look(config))
    print(f"schema {after}" + (f", was {before}" if before != after else ": nothing to do"))
    return 0
