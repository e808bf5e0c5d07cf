"""The queues that a worker has: its own shard and those that others left, or its part of the queue that many share."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mta.app.folders import in_house, shard_folders
from mta.contract.configuration import Configuration
from mta.contract.queue import SharedQueue
from mta.errors import SchemaTooNew, ShardLocked, StorageError
from mta.observe import events
from mta.observe.log import EventLog
from mta.pipeline.site import Shard

if TYPE_CHECKING:
    from mta.adapters.postgres import PostgresQueueStore, Settings

SHARED = "shared"  # the folder below a shard's of what the shared queue keeps there
_DATABASE = "queue.db"
_AGAIN_AFTER = 2.0  # seconds between tries to reach the database before there is anything to serve
POLL_EVERY = 1.0  # seconds: mail that others have given back


async def open_shards(worker: int, workers: int, configuration: Configuration, log: EventLog) -> tuple[Shard, ...]:
    """A worker's queues; the first takes new mail. Old shards drain beside a shared queue."""
    shared = configuration.server.shared
    if shared is None:
        return _own_shards(worker, workers, configuration, log)
    folder = shard_folders(configuration)[worker] / SHARED
    store = await _join(settings(configuration, shared, worker, folder, log), log)
    return Shard(worker, store), *_old_shards(worker, workers, configuration, log)


def settings(configuration: Configuration, shared: SharedQueue, worker: int, folder: Path, log: EventLog) -> Settings:
    """How this worker takes part in the shared queue."""
    from mta.adapters.postgres import Database, Identity, Settings
    from mta.model.lease import Terms

    return Settings(
        Database(shared.dsn, shared.copies, max(1.0, shared.lease / 2)),
        folder,
        Identity.of_this_host(worker, version("mta"), configuration.digest, shared.generation),
        Terms(shared.lease, shared.takeover_delay),
        tell=functools.partial(_tell, log),
    )


def _tell(log: EventLog, event: str, **details: Any) -> None:
    (log.info if event in (events.STORE_BACK, events.NODE_JOINED) else log.warning)(event, **details)


async def _join(settings: Settings, log: EventLog) -> PostgresQueueStore:
    """Until the database can be reached there is nothing to serve."""
    from mta.adapters.postgres import open_queue

    while True:
        try:
            store = await open_queue(settings)
        except (ShardLocked, SchemaTooNew):
            raise
        except StorageError as error:
            log.warning(events.STORE_AWAY, error=str(error))
            log.flush()
            await asyncio.sleep(_AGAIN_AFTER)
        else:
            log.info(events.NODE_JOINED, node=store.place[1])
            return store


async def _open_alone(configuration: Configuration, number: int) -> list[Shard]:
    """The queues of a worker that does not run, for a command. Raises ShardLocked or StorageError."""
    from mta.adapters.postgres import open_queue

    folder, shared = shard_folders(configuration)[number], configuration.server.shared
    log = EventLog(2, "text")
    found = []
    if shared is not None and number == 0:
        found.append(Shard(0, await open_queue(settings(configuration, shared, 0, folder / SHARED, log))))
    if folder.is_dir() and (shared is None or (folder / _DATABASE).exists()):
        found += _open([number], number, configuration, log)
    return found


@contextlib.asynccontextmanager
async def open_offline(configuration: Configuration, numbers: list[int]) -> AsyncIterator[list[Any]]:
    """Queues that nobody serves here, opened under their locks. Raises ShardLocked or StorageError."""
    shards: list[Any] = []
    with in_house(configuration):
        try:
            for number in numbers:
                shards += await _open_alone(configuration, number)
            yield shards
        finally:
            for shard in shards:
                await shard.store.close()


def renew_shared(shards: Sequence[Shard], configuration: Configuration) -> None:
    """A node of the shared queue shows, and claims by, the configuration that it has now."""
    shared = configuration.server.shared
    for shard in shards:
        if (under := getattr(shard.store, "under", None)) and shared is not None:
            under(configuration.digest, shared.generation)


def answering(shards: Sequence[Shard], first: bool) -> tuple[Shard, ...]:
    """The queues that a worker answers commands for: one worker is enough for what all share."""
    return tuple(shard for shard in shards if first or not is_shared(shard))


def is_shared(shard: Shard) -> bool:
    """Whether it is a part of the shared queue."""
    return hasattr(shard.store, "under")


def _own_shards(worker: int, workers: int, configuration: Configuration, log: EventLog) -> tuple[Shard, ...]:
    """This worker's own shard, and every one whose number has no worker any more."""
    numbers = [number for number in shard_folders(configuration) if number % workers == worker]
    return tuple(_open(sorted(numbers, key=lambda number: number != worker), worker, configuration, log))


def _old_shards(worker: int, workers: int, configuration: Configuration, log: EventLog) -> tuple[Shard, ...]:
    """What was queued here before the queue was shared: it is delivered, and nothing comes to it."""
    folders = shard_folders(configuration)
    numbers = [n for n, folder in folders.items() if n % workers == worker and (folder / _DATABASE).exists()]
    return tuple(_open(numbers, -1, configuration, log))


def _open(numbers: list[int], own: int, configuration: Configuration, log: EventLog) -> list[Shard]:
    from mta.adapters.sqlite import Tuning, open_shard

    loop, folders = asyncio.get_running_loop(), shard_folders(configuration)
    tuning = Tuning(overwrites=configuration.protection is not None)
    shards = []
    for number in numbers:
        try:
            alarm = functools.partial(_alarm, log, number)
            store = open_shard(folders[number], loop=loop, tuning=tuning, alarm=alarm)
        except ShardLocked:
            if number == own:
                raise
            continue  # somebody looks at it offline: the next start finds it
        shards.append(Shard(number, store))
        if number != own:
            log.info(events.SHARD_ADOPTED, shard=number)
    return shards


def _alarm(log: EventLog, number: int, text: str) -> None:
    log.error(events.SHARD_ALARM, shard=number, alarm=text)
