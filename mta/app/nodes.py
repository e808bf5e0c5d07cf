"""What commands ask of a shared queue: its nodes, its tables, its promises."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from mta.contract.configuration import Configuration
from mta.contract.queue import SharedQueue
from mta.errors import UsageError


def shared_queue(configuration: Configuration) -> SharedQueue:
    """The shared queue of a configuration. Raises UsageError where it is this machine's alone."""
    shared = configuration.server.shared
    if shared is None:
        raise UsageError("server.queue.store is a folder of this machine: there are no other nodes (docs/cluster.md)")
    return shared


def list_nodes(configuration: Configuration) -> list[dict[str, Any]]:
    """Every living node; `differs`: its connectors.yaml is not ours. Raises UsageError or StorageError."""
    from mta.adapters.postgres.inspect import nodes

    found = asyncio.run(nodes(shared_queue(configuration).dsn))
    return [{**asdict(each), "differs": each.digest != configuration.digest} for each in found]


def migrate_tables(configuration: Configuration) -> tuple[int, int]:
    """Bring the tables up to date; the schema versions before and after. Raises UsageError or StorageError."""
    from mta.adapters.postgres.inspect import bring_up_to_date

    return asyncio.run(bring_up_to_date(shared_queue(configuration).dsn))


def database_doubts(configuration: Configuration) -> list[tuple[str, str]]:
    """What the database of the shared queue does not promise, each with what to do; nothing where there is none."""
    from mta.adapters.postgres.inspect import doubts

    shared = configuration.server.shared
    if shared is None:
        return []
    with ThreadPoolExecutor(1) as beside:  # a loop may be running here
        return beside.submit(asyncio.run, doubts(shared.dsn, shared.copies)).result()
