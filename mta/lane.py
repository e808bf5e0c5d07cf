"""One thread for work that may never end: a token that hangs takes this one, and nobody waits for it at the exit.

The threads of `concurrent.futures` are waited for when a process ends; those of a lane are not.
"""

from __future__ import annotations

import threading
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
        try:
            result = work()
        except BaseException as error:  # whoever waits hears of it
            future.set_exception(error)
        else:
            future.set_result(result)
