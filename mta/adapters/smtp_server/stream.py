"""The way of a client's octets into the state machine: how far ahead is read, and when there is something new."""

from __future__ import annotations

import asyncio

from mta.rfc.smtp.server import SmtpServer

HIGH_WATER = 128 * 1024  # octets held before the transport is told to stop reading
LOW_WATER = 32 * 1024


class StreamEnded(Exception):
    """The client has closed its side, or we have hung up."""


class ClientStream:
    """Fed by the protocol, waited for by one coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: SmtpServer) -> None:
        self._loop = loop
        self._server = server
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self.paused = False
        self.transport: asyncio.Transport | None = None

    def feed(self, data: bytes) -> None:
        """Octets from the transport. What comes after the end was declared (we have hung up) is not looked at."""
        if self._ended:
            return
        held = self._server.receive_data(data)
        if held > HIGH_WATER and not self.paused and self.transport is not None:
            self.transport.pause_reading()
            self.paused = True
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake()

    def relax(self) -> None:
        """Some of what was held is gone: read on if it was enough."""
        if self.paused and self._server.buffered < LOW_WATER and self.transport is not None:
            self.paused = False
            self.transport.resume_reading()

    def more(self) -> asyncio.Future[None]:
        """To be awaited until something new arrives. Raises StreamEnded."""
        if self._ended:
            raise StreamEnded
        if self.paused and self.transport is not None:
            self.paused = False  # what is here is not enough: the reader must have more
            self.transport.resume_reading()
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
