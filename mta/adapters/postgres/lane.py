"""One connection to the database of the shared queue: opened when it is needed, and again when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from mta.errors import StorageError

T = TypeVar("T")

_CONNECT = 5.0  # seconds to open a connection in
_SILENCE = 20_000  # milliseconds that sent octets may stay unacknowledged
_CHECK_CLIENT_SINCE = 14  # PostgreSQL that ends a statement nobody waits for


@dataclass(frozen=True, slots=True)
class Database:
    """Where the queue is, and what must hold there. `patience`: seconds that a transaction may take."""

    dsn: str
    copies: int = 1  # machines on which a change must be durable before it is told
    patience: float = 30.0
    commit: str = "on"  # `local`: durable here is enough, whatever standby there is


class Lane:
    """One connection. `number` tells it from the others of this process."""

    def __init__(self, database: Database, number: int) -> None:
        self.database = database
        self.number = number
        self.not_durable = False  # a COMMIT was told without waiting for the standby
        self._db: asyncpg.Connection | None = None

    async def connection(self) -> asyncpg.Connection:
        """An open connection. Raises what asyncpg does."""
        if self._db is None or self._db.is_closed():
            self._db = await self._open()
        return self._db

    async def _open(self) -> asyncpg.Connection:
        # What is told to be durable is: whatever the server's own default says.
        settings = {
            "application_name": "mta",
            "synchronous_commit": self.database.commit,
            "client_min_messages": "warning",
        }
        db = await asyncpg.connect(self.database.dsn, timeout=_CONNECT, server_settings=settings)
        db.add_log_listener(self._heard)
        _keep_alive(db)
        if db.get_server_version().major >= _CHECK_CLIENT_SINCE:
            await db.execute("SET client_connection_check_interval = '5s'")
        return db

    def _heard(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        # A wait for the standby that is cancelled ends with success and this warning.
        if getattr(message, "server_source_function", "") == "SyncRepWaitForLSN":
            self.not_durable = True

    async def use(self, run: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run something on the connection, within the patience. One that is late or cancelled loses the connection:

        the server is never asked to cancel, for a cancelled COMMIT says that it is done.
        """
        task = asyncio.ensure_future(self._run(run))
        try:
            done, _ = await asyncio.wait({task}, timeout=self.database.patience)
        except asyncio.CancelledError:
            self.drop()
            await asyncio.wait({task})
            _forget(task)
            raise
        if not done:
            self.drop()
            await asyncio.wait({task}, timeout=1.0)
            task.cancel()
            _forget(task)
            raise TimeoutError(f"no answer within {self.database.patience:g} s")
        return task.result()

    async def _run(self, run: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        return await run(await self.connection())

    def drop(self) -> None:
        """Cut the connection."""
        db, self._db = self._db, None
        if db is not None:
            db.terminate()

    async def close(self) -> None:
        """Say goodbye."""
        db, self._db = self._db, None
        if db is not None and not db.is_closed():
            with contextlib.suppress(Exception):  # whatever it is, nothing depends on it any more
                await db.close(timeout=1.0)


def _forget(task: asyncio.Future[Any]) -> None:
    """Nobody asks what it came to."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _keep_alive(db: asyncpg.Connection) -> None:
    """A host that vanished without a word is noticed by the system."""
    transport = getattr(db, "_transport", None)
    plug = transport.get_extra_info("socket") if transport else None
    if plug is None or plug.family == socket.AF_UNIX:
        return
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE)


async def require_copies(db: asyncpg.Connection, copies: int) -> None:
    """Raise StorageError where a COMMIT would not wait for a standby, though it must."""
    if copies > 1 and not await db.fetchval("SELECT current_setting('synchronous_standby_names')"):
        raise StorageError(
            "the database waits for no standby (synchronous_standby_names is empty), and `copies` demands "
            f"{copies} machines: no mail is taken until it does"
        )
