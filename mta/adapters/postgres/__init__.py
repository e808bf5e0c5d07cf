"""The durable queue of many nodes: one PostgreSQL database. Imported only where it is configured."""

from mta.adapters.postgres.lane import Database
from mta.adapters.postgres.lease import Identity
from mta.adapters.postgres.opening import open_queue
from mta.adapters.postgres.store import PostgresQueueStore, Settings

__all__ = ["Database", "Identity", "PostgresQueueStore", "Settings", "open_queue"]
