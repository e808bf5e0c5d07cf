"""One thread that reads: questions that wait together are answered in one turn, and heard of in one.

A way to a thread and back costs more than most questions, so that many openings at once would pay for nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import apsw

Files = tuple[apsw.Connection, apsw.Connection]  # shares.db, vault.db


@dataclass(slots=True)
class _Question:
    """What is to be looked up, and who waits for it."""

    work: Callable[[Files], Any]
    waiting: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    value: Any = None
    fault: Exception | None = None


class Reader:
    """Looks things up in both files."""

    def __init__(self, files: Files, name: str) -> None:
        self._files = files
        self._thread = ThreadPoolExecutor(1, name)
        self._lock = threading.Lock()
        self._questions: list[_Question] = []
        self._busy = False

    async def read(self, work: Callable[[Files], Any]) -> Any:
        """What `work` gives. It sees all that was durable when this was called. Raises what it raises."""
        loop = asyncio.get_running_loop()
        question = _Question(work, loop.create_future(), loop)
        with self._lock:
            self._questions.append(question)
            idle, self._busy = not self._busy, True
        if idle:
            self._thread.submit(self._run)
        return await question.waiting

    def _run(self) -> None:
        while True:
            with self._lock:
                batch, self._questions = self._questions, []
                self._busy = bool(batch)
            if not batch:
                return
            for question in batch:
                self._answer(question)
            settle_all(batch)

    def _answer(self, question: _Question) -> None:
        if question.waiting.cancelled():
            return
        try:
            question.value = question.work(self._files)
        except Exception as error:  # of whoever asked
            question.fault = error

    def close(self) -> None:
        """Answer what was asked, then end."""
        self._thread.shutdown()


def settle_all(done: Any) -> None:
    """Tell all who wait what came of theirs: each loop is woken once. Each has waiting, loop, value and fault."""
    by_loop = defaultdict(list)
    for one in done:
        by_loop[one.loop].append(one)
    for loop, ones in by_loop.items():
        with contextlib.suppress(RuntimeError):  # its loop has ended, and so has whoever waited
            loop.call_soon_threadsafe(_settle, ones)


def _settle(done: list[Any]) -> None:
    for one in done:
        if one.waiting.done():
            continue
        if one.fault is not None:
            one.waiting.set_exception(one.fault)
        else:
            one.waiting.set_result(one.value)
