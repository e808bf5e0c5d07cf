"""A queue with many messages in it, written in one go."""

from __future__ import annotations

from pathlib import Path

from mta.adapters.sqlite.changes import insert_message
from mta.adapters.sqlite.claims import Numbers
from mta.adapters.sqlite.rows import prepare
from mta.adapters.sqlite.shard import open_folder
from mta.adapters.sqlite.work import Tuning, Work
from mta.model.message import QueuedMessage


def fill(folder: Path, messages: list[QueuedMessage]) -> None:
    """Put messages into the shard `folder`, which nobody has open."""
    shard = open_folder(folder, Tuning())
    work = Work(shard.db, Numbers(shard.db))
    with shard.db:
        for message in messages:
            insert_message(work, prepare(message, None))
        for name, change in work.counts.items():
            sql = "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = value + ?2"
            shard.db.execute(sql, (name, change))
    shard.db.close()
    shard.unlock()
