"""Large contents: pieces in the database, and a file of the same bytes on the node that has the message in hand.

The database is what counts: a piece is written in a transaction of its own as it arrives, and what makes the pieces
mail is the row of the message. The file is for reading again and again while the message is delivered; it is lost
without harm, and made anew from the pieces where a message is claimed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import asyncpg

from mta.adapters.postgres.faults import storage_error
from mta.adapters.postgres.rows import LARGEST, ORPHANED, PIECE, Body, Numbers, Stored, cut, in_memory, number_at
from mta.adapters.sqlite.spool import FileSpool, Room, read_head
from mta.errors import LocalProtocolError, MtaError, StorageError
from mta.model.message import Content

T = TypeVar("T")
Use = Callable[[Callable[[asyncpg.Connection], Awaitable[T]], str], Awaitable[T]]  # on a connection; doing what

_PIECE_OUT = "INSERT INTO content (body, n, data) VALUES ($1, $2, $3)"
_PIECE_IN = "SELECT data FROM content WHERE body = $1 AND n = $2"
_UNUSED = 3600.0  # seconds after which the file of a message that is not in hand goes


class PiecewiseSpool(FileSpool):
    """Takes a large message while it arrives: into a file here, and piece by piece into the database."""

    def __init__(self, bodies: Bodies, number: int) -> None:
        super().__init__(bodies.folder, bodies.files, bodies.spools, bodies.room)
        self.name = f"{number:016x}"
        self.path = bodies.folder / self.name
        self.number = number
        self._bodies = bodies
        self._rest = bytearray()
        self._sent = 0

    async def write(self, data: bytes) -> None:
        """Append. Raises StorageFull, or StorageError if the disk or the database says something else."""
        await super().write(data)
        self._rest += data
        while len(self._rest) >= PIECE:
            piece = bytes(self._rest[:PIECE])
            del self._rest[:PIECE]
            number, self._sent = self._sent, self._sent + 1
            await self._bodies.send(self.number, number, piece)

    def body(self, head_size: int) -> Body:
        """What is not in the database yet, for the transaction that takes the message.

        Raises StorageError if it has been arriving for so long that the sweep might come between.
        """
        if self._sent and self.number < number_at(time.time() - ORPHANED / 2):
            raise StorageError("the message took longer to arrive than its pieces are kept for")
        return Body(self.number, cut(bytes(self._rest), self._sent), self.checksum, head_size)

    def keep(self) -> None:
        """The database has it all: the file needs no fsync."""
        self._close()

    async def discard(self) -> None:
        """Forget it, unless it belongs to the queue; never raises."""
        taken = self._taken
        await super().discard()
        if self._sent and not taken:
            await self._bodies.forget(self.number)


class Bodies:
    """Contents of one worker's messages."""

    def __init__(self, folder: Path, reserve: int, numbers: Numbers, use: Use[Any]) -> None:
        self.folder = folder
        self.files = ThreadPoolExecutor(4, thread_name_prefix="queue-file")
        self.spools: dict[str, FileSpool] = {}  # those that became content, by path
        self.room = Room(folder, reserve, _no_spare)
        self._numbers = numbers
        self._use = use

    def spool(self) -> PiecewiseSpool:
        """Where a large message goes while it arrives."""
        return PiecewiseSpool(self, self._numbers.next())

    async def place(self, content: Content, owner: str) -> tuple[Content, Body, PiecewiseSpool | None]:
        """A content as it shall be kept: a small one in memory, others as a spool that is taken now."""
        if content.data is not None and len(content.data) <= LARGEST:
            return content, in_memory(content, self._numbers), None
        ours = content.data is not None
        if content.data is not None:
            content = await self._to_spool(content.data)
        spool = self.spools.pop(content.path or "", None)
        if not isinstance(spool, PiecewiseSpool):
            raise LocalProtocolError(f"message {owner}: its content is no finished spool of this queue")
        try:
            body = spool.body(len(content.head))
            spool.take()
        finally:
            if ours:  # nobody else knows of it: it goes unless it becomes the queue's
                await spool.discard()
        return content, body, spool

    async def _to_spool(self, data: bytes) -> Content:
        spool = self.spool()
        try:
            for start in range(0, len(data), PIECE):
                await spool.write(data[start : start + PIECE])
        except BaseException:
            await spool.discard()
            raise
        end = data.find(b"\r\n\r\n")
        return spool.content(data if end < 0 else data[: end + 4])

    async def send(self, body: int, number: int, piece: bytes) -> None:
        """Write one piece. Raises StorageError."""

        async def run(db: asyncpg.Connection) -> None:
            await db.execute(_PIECE_OUT, body, number, piece)

        await self._use(run, "write a large message")

    async def forget(self, body: int) -> None:
        """Delete the pieces of what never became mail; what cannot be deleted now, the sweep finds."""

        async def run(db: asyncpg.Connection) -> None:
            await db.execute("DELETE FROM content WHERE body = $1", body)

        with contextlib.suppress(MtaError):
            await self._use(run, "forget a large message")

    async def fetch(self, db: asyncpg.Connection, stored: Stored) -> Content:
        """A body as content, checked to the last octet. Raises StorageError if it is not what was written."""
        if stored.size <= LARGEST:
            rows = await db.fetch("SELECT data FROM content WHERE body = $1 ORDER BY n", stored.body)
            data = rows[0]["data"] if len(rows) == 1 else b"".join(row["data"] for row in rows)
            check(len(data), crc32(data), stored)
            return Content(stored.size, data=data)
        path = self.folder / f"{stored.body:016x}"
        run = asyncio.get_running_loop().run_in_executor
        if not await run(self.files, _is_whole, path, stored):
            await self._copy(db, stored, path)
        head = await run(self.files, read_head, path, stored.head_size)
        return Content(stored.size, path=str(path), head=head)

    async def _copy(self, db: asyncpg.Connection, stored: Stored, path: Path) -> None:
        run = asyncio.get_running_loop().run_in_executor
        fresh = path.with_suffix(".part")
        size = crc = number = 0
        try:
            with fresh.open("wb", buffering=0) as file:
                while (piece := await db.fetchval(_PIECE_IN, stored.body, number)) is not None:
                    await run(self.files, file.write, piece)
                    size, crc, number = size + len(piece), crc32(piece, crc), number + 1
            check(size, crc, stored)
            fresh.replace(path)
        except OSError as error:
            raise storage_error(error, "write a large message to its file") from error
        finally:
            fresh.unlink(missing_ok=True)

    def remove(self, numbers: set[int]) -> None:
        """The files of bodies that are gone."""
        for number in numbers:
            (self.folder / f"{number:016x}").unlink(missing_ok=True)

    def remove_unused(self, in_hand: set[int]) -> None:
        """Files of messages that are not in hand any more, those of the last hour left for their next attempt."""
        for path in self.folder.iterdir():
            with contextlib.suppress(ValueError, OSError):
                if int(path.stem, 16) not in in_hand and time.time() - path.stat().st_mtime > _UNUSED:
                    path.unlink()

    def clear(self) -> None:
        """All files, where nothing is in hand."""
        for path in self.folder.iterdir():
            path.unlink()


def check(size: int, crc: int, stored: Stored) -> None:
    """Raise StorageError unless that is the body which was stored."""
    if size != stored.size or crc != stored.crc:
        raise StorageError(f"the content is damaged: {size} octets, expected {stored.size}, or another checksum")


def _is_whole(path: Path, stored: Stored) -> bool:
    crc = 0
    try:
        if path.stat().st_size != stored.size:
            return False
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                crc = crc32(piece, crc)
    except OSError:
        return False
    os.utime(path)
    return crc == stored.crc


async def _no_spare() -> int:
    return 0
