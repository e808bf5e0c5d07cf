"""Opening a worker's part of the shared queue: its folder under a lock, the tables up to date, a node of its own."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mta.adapters.durable import make_folder
from mta.adapters.postgres.faults import storage_error
from mta.adapters.postgres.store import PostgresQueueStore, Settings
from mta.errors import ShardLocked

_LOCK, _NODE = "lock", "node"


class OpenQueue(PostgresQueueStore):
    """A store with the lock of its folder."""

    def __init__(self, settings: Settings, lock: int) -> None:
        super().__init__(settings)
        self._lock = lock

    async def close(self) -> None:
        """Leave, and let another process have the folder."""
        await super().close()
        descriptor, self._lock = self._lock, -1
        if descriptor >= 0:
            os.close(descriptor)


async def open_queue(settings: Settings) -> PostgresQueueStore:
    """Join the shared queue. Raises ShardLocked, SchemaTooNew or StorageError."""
    folder = settings.folder
    try:
        make_folder(folder)
        make_folder(folder / "content")
        lock = _own(folder / _LOCK)
    except OSError as error:
        raise storage_error(error, f"use the folder {folder}") from error
    store = OpenQueue(settings, lock)
    try:
        await store.start(_former(folder / _NODE))
        (folder / _NODE).write_text(" ".join(map(str, store.place)))
    except BaseException:
        os.close(lock)
        raise
    return store


def _own(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ShardLocked(f"{path.parent} is in use by another process; a folder has one owner") from None
    return descriptor


def _former(path: Path) -> tuple[str, int]:
    """The queue and the incarnation of the last process that had this folder: we have its lock, so it is no more."""
    try:
        queue, node = path.read_text().split()
        return queue, int(node)
    except (OSError, ValueError):
        return "", 0
