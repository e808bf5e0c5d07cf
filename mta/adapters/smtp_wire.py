"""The octets of one outbound connection: a lean asyncio protocol with one waiting future and one lazy timer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import cast


class Wire(asyncio.Protocol):
    """Hands what arrives to `receive`, which says whether the waiting coroutine is to be woken.

    `ended` becomes True once nothing more can arrive; `reason` then says why, if there is more to say than that the
    peer closed. One coroutine at a time may wait.
    """

    def __init__(self, receive: Callable[[bytes], bool]) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self.reason = ""
        self.paused = False  # the transport holds as much as it wants to
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf

    # --- told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Octets have arrived."""
        if self._receive(data):
            self._wake()

    def eof_received(self) -> None:
        """The peer closed; the transport closes itself."""
        self._end("")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(str(exc) if exc else "")

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self.paused = False
        self._wake()

    # --- told by the connection

    def write(self, data: bytes) -> None:
        """Send, without waiting; what is written to a lost connection is dropped."""
        if data and self.transport and not self.ended:
            self.transport.write(data)

    def arm(self, seconds: float) -> None:
        """From now on a wait may last until `seconds` from now. The timer itself is touched only if it is too late."""
        self._deadline = self._loop.time() + seconds
        if self._timer and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def disarm(self) -> None:
        """Nothing is waited for."""
        self._deadline = math.inf

    def changed(self) -> asyncio.Future[None]:
        """To be awaited until something happened. Raises TimeoutError when the deadline passes first."""
        if self._loop.time() >= self._deadline:
            raise TimeoutError
        self._waiter = self._loop.create_future()
        return self._waiter

    def close(self) -> None:
        """Close once what was written is sent."""
        self._let_go()
        if self.transport:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._let_go()
        if self.transport:
            self.transport.abort()

    def _let_go(self) -> None:
        self.ended = True
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._let_go()
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline == math.inf:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._waiter and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())
