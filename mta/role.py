"""A process beside the workers: started, watched, renewed at a reload, drained at the end.

It takes its orders like a worker, in one line of standard input, which ends with the supervisor. At a reload a new
process begins on the same sockets before the old one is told to finish: nobody is refused in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from mta.contract.configuration import Configuration
from mta.contract.handed import pack
from mta.observe import events
from mta.observe.log import EventLog

_QUICK_DEATH = 5.0  # seconds: a process that dies sooner is restarted with growing patience
_LONGEST_PAUSE = 30.0
_GRACE = 5.0  # seconds beyond `drain` before it is killed


@dataclass(frozen=True, slots=True)
class Role:
    """What a process is for. `argv` follows `python -m mta`.

    `wanted` says whether a configuration needs it; `concerns` gives what of a configuration it works with: it is
    renewed where that has changed. `drain`: seconds that it is given to finish.
    """

    name: str
    argv: tuple[str, ...]
    sockets: tuple[socket.socket, ...]
    wanted: Callable[[Configuration], bool]
    concerns: Callable[[Configuration], object]
    drain: float = 20.0


class RoleKeeper:
    """Keeps the process of one role."""

    def __init__(self, role: Role, log: EventLog) -> None:
        self._role, self._log = role, log
        self._configuration: Configuration | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def renew(self, configuration: Configuration) -> None:
        """This configuration is in force from now on."""
        before, self._configuration = self._configuration, configuration
        concerns = self._role.concerns
        if before is not None and concerns(before) == concerns(configuration):
            return
        old = self._keeper
        wanted = self._role.wanted(configuration)
        self._keeper = asyncio.create_task(self._keep(configuration)) if wanted else None
        if old is not None:
            self._end(old)

    async def stop(self) -> None:
        """Drain and end."""
        if self._keeper is not None:
            self._end(self._keeper)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self, keeper: asyncio.Task[None]) -> None:
        keeper.cancel()
        task = asyncio.ensure_future(_quietly(keeper))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _keep(self, configuration: Configuration) -> None:
        """Start it, and start it again whenever it dies; cancelled, it drains."""
        pause = 0.0
        while True:
            begun = time.monotonic()
            try:
                process = await self._start(configuration)
                code: int | str = await self._follow(process)
            except OSError as error:
                code = str(error.strerror)
            lived = time.monotonic() - begun
            pause = min(_LONGEST_PAUSE, max(0.5, pause * 2)) if lived < _QUICK_DEATH else 0.0
            self._log.error(
                events.WORKER_DIED, worker=self._role.name, status=code, lived=round(lived, 1), again_in=pause
            )
            await asyncio.sleep(pause)

    async def _start(self, configuration: Configuration) -> asyncio.subprocess.Process:
        numbers = [bound.fileno() for bound in self._role.sockets]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "mta",
            *self._role.argv,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=numbers,
            process_group=0,  # a terminal's interrupt is for the supervisor
        )
        orders = {"held": pack(configuration), "sockets": numbers, "parent": os.getpid()}
        assert process.stdin is not None
        process.stdin.write(json.dumps(orders).encode() + b"\n")
        return process

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        try:
            return await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self._role.drain + _GRACE)
            except TimeoutError:
                process.kill()
                await process.wait()
            raise


async def _quietly(keeper: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
