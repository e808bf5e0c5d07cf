"""The durable queue of one worker: one SQLite file, one writer thread, one fsync for many messages."""

from mta.adapters.sqlite.store import SqliteQueueStore, open_shard
from mta.adapters.sqlite.work import Tuning

__all__ = ["SqliteQueueStore", "Tuning", "open_shard"]
