"""Large contents: files below content/, written while a message arrives.

A file has its final name from its first byte: no reader is ever left with a name that a rename took away. What makes
it part of the queue is the row that names it, and that is committed after the file and its folder were fsynced. A file
no row names is what a crash left of an unfinished message; opening the shard removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from uuid import uuid4
from zlib import crc32

from mta.adapters.sqlite.faults import Unreadable, storage_error
from mta.errors import LocalProtocolError, StorageError, StorageFull
from mta.model.message import Content

PIECE = 262_144  # octets that are buffered before a thread writes them, and of one piece read


class FileSpool:
    """One large content. Belongs to the session until `enqueue` takes it, to the queue from then on."""

    def __init__(self, folder: Path, pool: Executor, finished: dict[str, FileSpool], room: Room | None = None) -> None:
        self.name = uuid4().hex
        self.path = folder / self.name
        self._room = room
        self.size = 0
        self.checksum = 0
        self.fault: StorageError | None = None
        self._pool = pool
        self._finished = finished  # by path: where `enqueue` looks for the spool of a content
        self._descriptor = -1
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._taken = False
        self._unwanted = False
        self._complete = False

    async def write(self, data: bytes) -> None:
        """Append. Raises StorageFull, or StorageError if the disk says something else; then the spool is spoilt."""
        if self._complete:
            raise LocalProtocolError("a spool takes nothing more once it became content")
        self._keep(data)
        if self._buffered >= PIECE:
            if self._room and not self.fault:
                await self._room.require()
            pieces, self._buffer, self._buffered = self._buffer, [], 0
            await asyncio.get_running_loop().run_in_executor(self._pool, self._append, pieces)
        if self.fault:
            raise self.fault

    def _keep(self, data: bytes) -> None:
        self._buffer.append(data)
        self._buffered += len(data)
        self.size += len(data)

    def _append(self, pieces: list[bytes]) -> None:
        if self.fault:
            return
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            for piece in pieces:
                self.checksum = crc32(piece, self.checksum)
                _write_all(self._descriptor, piece)
        except OSError as error:
            self.spoil(error)

    def spoil(self, error: OSError) -> None:
        """Nothing of it is to be believed any more."""
        fault = storage_error(error, "write a message to its file")
        self.fault = fault if isinstance(fault, StorageError) else StorageError(str(fault))

    def content(self, head: bytes) -> Content:
        """What was written, as content of a message about to be enqueued.

        The rest of the buffer (at most 256 KiB) goes to the file here; a fault of that is raised by `enqueue`.
        """
        self._complete = True
        pieces, self._buffer, self._buffered = self._buffer, [], 0
        self._append(pieces)
        self._finished[str(self.path)] = self
        return Content(size=self.size, path=str(self.path), head=head)

    def take(self) -> None:
        """`enqueue` begins: from now on a `discard` waits for what becomes of it."""
        if self.fault:
            raise self.fault
        if self._taken:
            raise LocalProtocolError("a spool can become the content of one message only")
        self._taken = True

    def make_durable(self) -> None:
        """fsync and close; called by the writer thread before the row that names the file is committed.

        Once it failed it is not asked for again: the kernel forgets what it could not write, and says 0 the next time.
        """
        if self.fault:
            raise self.fault
        if self._descriptor < 0:
            return  # done by an earlier try: the same transaction is attempted again
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self.spoil(error)
            raise storage_error(error, "write a message to its file") from error
        self._close()

    def give_back(self) -> None:
        """`enqueue` failed: the file is the session's again, or goes if the session is no more."""
        self._taken = False
        if self._unwanted:
            self._remove()
        else:
            self._finished[str(self.path)] = self

    async def discard(self) -> None:
        """Forget it, unless it belongs to the queue; never raises."""
        self._unwanted = True
        if not self._taken:
            self._finished.pop(str(self.path), None)
            await asyncio.get_running_loop().run_in_executor(self._pool, self._remove)

    def _remove(self) -> None:
        self._close()
        remove(self.path)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # it is closed all the same, and what must be durable was fsynced
                os.close(descriptor)


# Where twice the reserve is free, the disk is not asked again for 50 ms: it cannot fill up in that time.
_PLENTY_FACTOR = 2
_ASK_AGAIN = 0.05  # seconds


class Room:
    """Free space that new mail must leave: a queue that has used up its disk could not even settle what it holds.

    `spare` tells how many octets the queue's own files hold unused; it is asked only where the disk is nearly full.
    """

    def __init__(self, folder: Path, reserve: int, spare: Callable[[], Awaitable[int]]) -> None:
        self._folder = folder
        self._reserve = reserve
        self._spare = spare
        self._sure_until = 0.0

    @property
    def ample(self) -> bool:
        """Whether there was much more than enough a moment ago."""
        return time.monotonic() < self._sure_until

    async def require(self) -> None:
        """Raise StorageFull unless there is enough."""
        if self.ample:
            return
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            raise storage_error(error, "look for free space") from error
        free = disk.f_bavail * disk.f_frsize
        if free > _PLENTY_FACTOR * self._reserve:
            self._sure_until = time.monotonic() + _ASK_AGAIN
            return
        if free < self._reserve and free + await self._spare() < self._reserve:
            raise StorageFull(
                f"the queue takes no new mail: {free >> 20} MiB are free where {self._folder} is, "
                f"{self._reserve >> 20} MiB are kept for what it holds already; make room"
            )


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def read_head(path: Path, size: int) -> bytes:
    """The first `size` octets. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise Unreadable(f"the content file {path.name} cannot be read: {error.strerror}") from error


def remove(path: Path) -> bool:
    """Unlink a content; one that cannot be removed is left to the next opening of the shard."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # say nothing of the file


def verify(path: Path, size: int, crc: int) -> str:
    """What is wrong with a content file, in words; empty: it is whole.

    Raises StorageFull if we cannot look now, and Unreadable where the disk may give it another time.
    """
    seen = checksum = 0
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                seen += len(piece)
                checksum = crc32(piece, checksum)
    except OSError as error:
        if error.errno in _OURS:
            raise storage_error(error, f"look at {path}") from error
        told = f"the content file {path.name} cannot be read: {error.strerror}"
        if error.errno == errno.ENOENT:
            return told
        raise Unreadable(told) from error
    if seen != size:
        return f"the content file {path.name} has {seen} octets, expected {size}"
    return "" if checksum == crc else f"the content file {path.name} has checksum {checksum:08x}, expected {crc:08x}"


async def pieces(content: Content, pool: Executor) -> AsyncIterator[bytes]:
    """A content in pieces of at most 256 KiB. Raises StorageError if the file is short or cannot be read."""
    if content.data is not None:
        for start in range(0, len(content.data), PIECE):
            yield content.data[start : start + PIECE]
        return
    loop = asyncio.get_running_loop()
    descriptor = await loop.run_in_executor(pool, _open, content.path or "")
    try:
        left = content.size
        while left:
            piece = await loop.run_in_executor(pool, _read, descriptor, min(PIECE, left))
            left -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(error, f"open the content {path!r}") from error


def _read(descriptor: int, size: int) -> bytes:
    try:
        piece = os.read(descriptor, size)
    except OSError as error:
        raise storage_error(error, "read a content") from error
    if not piece:
        raise StorageError("a content file is shorter than its record says")
    return piece
