"""Bodies that were set aside beside a queue: what they tell, and the way back into it, for a person who asks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mta.adapters.sqlite import envelopes
from mta.adapters.sqlite.aside import CONTENT, ENVELOPE
from mta.adapters.sqlite.spool import PIECE, remove, verify
from mta.errors import StorageError
from mta.model.message import Content, QueuedMessage
from mta.ports import QueueStore

_HEAD = 1024 * 1024  # octets in which the whole header is looked for


@dataclass(frozen=True, slots=True)
class Body:
    """One of them. `kept`: what is known of its envelope; `fault`: why it is not as it came, if that is known."""

    path: Path
    size: int
    head: bytes
    kept: envelopes.Kept | None
    fault: str

    @property
    def name(self) -> str:
        """What it is called by: its file's name."""
        return self.path.name


def bodies(folder: Path) -> Iterator[Body]:
    """All that lie aside in the folder of a shard. Blocks. Raises StorageError."""
    try:
        for source in sorted(folder.glob(f"{CONTENT}.corrupt-*")):
            kept = folder / source.name.replace(CONTENT, ENVELOPE, 1)
            with os.scandir(source) as entries:  # a link there, or whatever else is no file, is nobody's mail
                files = [(entry.stat(), entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
            for status, path in sorted(files, key=lambda each: each[0].st_mtime):
                yield _body(Path(path), status.st_size, envelopes.read(kept / os.path.basename(path)))
    except OSError as error:
        raise StorageError(f"what was set aside cannot be read: {error}") from error


def _body(path: Path, size: int, kept: envelopes.Kept | None) -> Body:
    """One that cannot be read (any more) keeps the others from nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        fault = verify(path, kept.size, kept.crc) if kept else ""
    except (OSError, StorageError) as error:
        return Body(path, size, b"", kept, str(error))
    end = head.find(b"\r\n\r\n")
    return Body(path, size, head if end < 0 else head[: end + 4], kept, fault)


async def take_back(store: QueueStore, body: Body, message: QueuedMessage) -> None:
    """Queue it as `message` (whose content is not looked at); then it lies aside no more. Raises StorageError."""
    loop = asyncio.get_running_loop()
    spool = store.spool()
    try:
        with await loop.run_in_executor(None, body.path.open, "rb") as file:
            while piece := await loop.run_in_executor(None, file.read, PIECE):
                await spool.write(piece)
        content: Content = spool.content(body.head)
        await store.enqueue(replace(message, content=content))
    except OSError as error:
        raise StorageError(f"{body.path} cannot be read: {error.strerror}") from error
    finally:
        await spool.discard()  # no effect on one that has become the queue's
    remove(body.path.parent.with_name(body.path.parent.name.replace(CONTENT, ENVELOPE, 1)) / body.name)
    remove(body.path)
