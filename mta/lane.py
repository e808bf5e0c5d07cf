"""One thread for work that may never end: a token that hangs takes this one, and nobody waits for it at the exit.

The threads of `concurrent.futures` are waited for when a process ends; those of a lane are not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Lane:
    """Does one thing after the other. The thread begins with the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._since: float | None = None

    @property
    def busy_for(self) -> float:
        """For how many seconds what is being done has been; 0: nothing is."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """What `work` will come to. One that is cancelled before its turn is not begun."""
        future: Future[T] = Future()
        self._waiting.put((future, work))
        with self._begin:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return future

    def _run(self) -> None:
        while True:
            self._do(*self._waiting.get())

    def _do(self, future: Future[Any], work: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self._since = time.monotonic()
        try:
            result = work()
        except BaseException as error:  # whoever waits hears of it
            self._since = None
            future.set_exception(error)
        else:
            self._since = None
            future.set_result(result)
