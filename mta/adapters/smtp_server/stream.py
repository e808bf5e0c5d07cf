"""The bytes a client has sent and we have not looked at yet: bounded, and open to the question whether there are any.

asyncio's StreamReader cannot take bytes back nor say what it holds; both matter here (a message's end is found
inside a piece; bytes behind STARTTLS must be noticed).
"""

from __future__ import annotations

import asyncio

HIGH_WATER = 128 * 1024  # octets held before the transport is told to stop reading
LOW_WATER = 32 * 1024


class Hangup(Exception):
    """End the connection; what is to be said has been queued."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StreamEnded(Exception):
    """The client has closed its side."""


class LineTooLong(Exception):
    """A line was longer than allowed; it has been read and forgotten. `bare`: it did not end in CRLF."""

    def __init__(self, *, bare: bool) -> None:
        super().__init__()
        self.bare = bare


class ClientStream:
    """Fed by the protocol, read by one coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buffer: bytes | bytearray = b""  # what has come in one piece and was not touched yet is not copied
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._paused = False
        self.transport: asyncio.Transport | None = None

    @property
    def buffered(self) -> int:
        """Octets that have arrived and were not read."""
        return len(self._buffer)

    @property
    def has_line(self) -> bool:
        """Whether a whole line has arrived."""
        return b"\n" in self._buffer

    def feed(self, data: bytes) -> None:
        """Bytes from the transport. What comes after the end was declared (we have hung up) is not looked at."""
        if self._ended:
            return
        if self._buffer:
            self._changeable().extend(data)
        else:
            self._buffer = data
        if len(self._buffer) > HIGH_WATER and not self._paused and self.transport is not None:
            self.transport.pause_reading()
            self._paused = True
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    async def line(self, limit: int) -> bytes:
        """The next line with its end. Raises LineTooLong (the line is gone) or StreamEnded."""
        searched = 0
        while True:
            found = self._buffer.find(b"\n", searched, limit)
            if found >= 0:
                return self._take(found + 1)
            if len(self._buffer) >= limit:
                raise LineTooLong(bare=await self._skip_line())
            searched = len(self._buffer)
            await self.more()

    async def some(self) -> bytes:
        """Whatever is there, at least one octet. Raises StreamEnded."""
        while not self._buffer:
            await self.more()
        return self._take(len(self._buffer))

    async def exactly(self, count: int) -> bytes:
        """`count` octets. Raises StreamEnded."""
        while len(self._buffer) < count:
            await self.more()
        return self._take(count)

    def peek(self, count: int) -> bytes:
        """Up to `count` octets that have arrived, left where they are."""
        return bytes(self._buffer[:count])

    def unread(self, data: bytes) -> None:
        """Give back what belongs to the next command."""
        self._buffer = data + self._buffer

    def take_all(self) -> bytes:
        """Everything that has arrived."""
        return self._take(len(self._buffer))

    async def _skip_line(self) -> bool:
        """Read past the end of a line; whether that was a bare LF."""
        while (found := self._buffer.find(b"\n")) < 0:
            self._buffer = self._buffer[-1:]  # the last octet may be the CR of the line's end
            await self.more()
        return not self._take(found + 1).endswith(b"\r\n")

    def _take(self, count: int) -> bytes:
        if count == len(self._buffer):
            data, self._buffer = bytes(self._buffer), b""
        else:
            buffer = self._changeable()
            data = bytes(memoryview(buffer)[:count])
            del buffer[:count]
        if self._paused and len(self._buffer) < LOW_WATER and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        return data

    def more(self) -> asyncio.Future[None]:
        """To be awaited until something new arrives. Raises StreamEnded."""
        if self._ended:
            raise StreamEnded
        if self._paused and self.transport is not None:
            self._paused = False  # what is here is not enough: the reader must have more
            self.transport.resume_reading()
        self._waiter = self._loop.create_future()
        return self._waiter

    def _changeable(self) -> bytearray:
        """The buffer, as one that grows and shrinks at either end for little."""
        if isinstance(self._buffer, bytearray):
            return self._buffer
        self._buffer = changeable = bytearray(self._buffer)
        return changeable

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
