"""Both ends of a TLS connection on loopback or in memory, with a protocol that writes down what it sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from OpenSSL import SSL

from mta.adapters.tls.handshake import start_client_tls, start_server_tls
from mta.adapters.tls.transport import TlsTransport
from mta.errors import TlsFailed
from mta.model.tls import TlsFacts
from tests.support.patience import PATIENCE

TIMEOUT = PATIENCE


class Recorder(asyncio.Protocol):
    """Keeps what it was told. `keep_open` is its answer to the end of what comes in; `echo` sends all back."""

    def __init__(self, *, keep_open: bool = False, echo: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.eof = False
        self.connected = 0
        self.can_write = asyncio.Event()
        self.can_write.set()
        self.pauses = 0
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self._keep_open, self._echo = keep_open, echo

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected += 1
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()
        if self._echo:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.eof = True
        self.changed.set()
        return self._keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        assert not self.lost.done(), "connection_lost was told twice"
        self.lost.set_result(exc)
        self.changed.set()
        self.can_write.set()

    def pause_writing(self) -> None:
        self.pauses += 1
        self.can_write.clear()

    def resume_writing(self) -> None:
        self.can_write.set()

    @property
    def facts(self) -> TlsFacts:
        return self.transport.get_extra_info("tls_facts")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def send(self, data: bytes) -> None:
        """Write as a polite application does: no more once it was asked to pause."""
        view = memoryview(data)
        for start in range(0, len(view), 200_000):
            await self.can_write.wait()
            self.transport.write(view[start : start + 200_000])


@dataclass
class Listener:
    """`accepted` yields the application of each finished handshake, or the TlsFailed of one that did not finish."""

    port: int
    accepted: asyncio.Queue[Recorder | TlsFailed] = field(default_factory=asyncio.Queue)
    applications: list[Recorder] = field(default_factory=list)

    async def next(self) -> Recorder | TlsFailed:
        async with asyncio.timeout(TIMEOUT):
            return await self.accepted.get()


@contextlib.asynccontextmanager
async def listening(
    context: SSL.Context, make: Callable[[], Recorder] = Recorder, *, timeout: float = TIMEOUT
) -> AsyncIterator[Listener]:
    """A listener with implicit TLS on a port of its own."""
    loop, tasks = asyncio.get_running_loop(), set()
    listener = Listener(0)

    class Accept(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            app = make()
            started = start_server_tls(transport, app, context, timeout=timeout)
            task = loop.create_task(handshake(app, started))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def handshake(app: Recorder, started: Coroutine[None, None, TlsTransport]) -> None:
        listener.applications.append(app)
        try:
            app.transport = await started
        except TlsFailed as error:
            listener.accepted.put_nowait(error)
        else:
            listener.accepted.put_nowait(app)

    server = await loop.create_server(Accept, "127.0.0.1", 0)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        for app in listener.applications:
            if app.transport:
                app.transport.abort()


async def connect(
    port: int, context: SSL.Context, app: Recorder | None = None, *, sni: str = "", timeout: float = TIMEOUT
) -> Recorder:
    """Connect to loopback and be the TLS client."""
    app = app or Recorder()
    raw, _ = await asyncio.get_running_loop().create_connection(lambda: app, "127.0.0.1", port)
    app.transport = await start_client_tls(raw, app, context, sni=sni, timeout=timeout)
    return app


class MemoryTransport(asyncio.Transport):
    """A raw transport without a network: `sent` is what was written; a test feeds `protocol` what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol | None = None
        self.sent = bytearray()
        self.closed = self.reading = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        self.sent += data

    def take(self) -> bytes:
        data = bytes(self.sent)
        self.sent.clear()
        return data

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


def run(factory: Callable[[], asyncio.AbstractEventLoop], story: Coroutine[Any, Any, None]) -> None:
    """Run a story on a loop of its own; an error that nobody caught fails it."""
    unhandled: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with asyncio.timeout(PATIENCE):
            await story

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(watched())
    assert not unhandled
