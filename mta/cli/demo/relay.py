"""One company's relay: a real `mta serve` as a child process, its log read line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mta.errors import MtaError
from mta.observe import events

_PATIENCE = 20.0  # seconds without a word from a relay that is to become ready: a busy machine is slow, not silent
_DRAIN = 10.0  # seconds for it to end after SIGTERM
_LONGEST_LINE = 1 << 20
_KEPT = 200  # log lines kept for the case that something goes wrong


class RelayFailed(MtaError):
    """A relay ended, or did not come up."""


class Relay:
    """`mta serve` for one configuration; `hear` gets each log line as a dictionary (`text` if it is none)."""

    def __init__(self, name: str, config: Path, parent: int, hear: Callable[[str, dict[str, object]], None]) -> None:
        self.name = name
        self._config = config
        self._parent = parent
        self._hear = hear
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._heard = 0  # lines so far

    async def start(self) -> None:
        """Start it; it dies with us whatever happens to us. `ready` waits for it."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mta", "serve"),
            *("--config", str(self._config), "--parent", str(self._parent)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # an interrupt at the terminal is ours to pass on, in order
        )
        self._reading = asyncio.create_task(self._read())

    async def ready(self) -> None:
        """Wait until it listens. Raises RelayFailed with its last words."""
        ended = asyncio.ensure_future(self.ended())
        ready = asyncio.ensure_future(self._ready.wait())
        try:
            heard = -1
            while heard != self._heard and not (ended.done() or ready.done()):
                heard = self._heard
                await asyncio.wait((ended, ready), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            ready.cancel()
        if not self._ready.is_set():
            last = self.lines[-1].removeprefix("mta: ") if self.lines else "it said nothing"
            raise RelayFailed(f"{self.name}'s relay did not start: {last}")

    async def ended(self) -> None:
        """Wait for its end, and for its last line."""
        assert self._process is not None
        assert self._reading is not None
        await self._process.wait()
        await asyncio.shield(self._reading)

    async def stop(self) -> None:
        """SIGTERM; SIGKILL if that was not heard."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _DRAIN)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # longer than any line of ours
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(text)
            self._heard += 1
            event = _parsed(text)
            if event.get("event") == events.SERVER_READY:
                self._ready.set()
            self._hear(self.name, event)


def _parsed(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"event": "", "text": text}
