"""The pool for callers in threads: an event loop of its own in a thread of its own, which no exit waits for."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

from mta.adapters.token_pool.pool import PoolSettings, TokenPool, Wish


class BlockingPool:
    """Begins with the first wish."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._begin = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: TokenPool | None = None

    def do(self, wish: Wish) -> Any:
        """As TokenPool.do, and it waits."""
        return self._run(self._do(wish)).result()

    async def _do(self, wish: Wish) -> object:
        if self._pool is None:
            self._pool = TokenPool(self._settings)
        return await self._pool.do(wish)

    def _run(self, work: Any) -> Future[Any]:
        with self._begin:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="token-pool", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the processes."""
        if self._loop is not None and self._pool is not None:
            self._run(self._pool.close()).result()
