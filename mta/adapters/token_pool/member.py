"""One token process, as its parent sees it: started, asked one thing at a time, ended by its pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from mta.adapters.token_pool.wire import Fault, pack, unpack

_PROGRAM = (sys.executable, "-P", "-m", "mta.adapters.token_pool.process")
_STARTING = 30.0  # seconds that an interpreter may take to begin, on a busy machine
_HOUSE = str(Path(__file__).resolve().parents[3])  # the folder that `mta` is in


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """What a token process is given. `log`: the form of its log lines on standard error; empty: none.

    `writes`: it makes and removes keys. `program` is started with a descriptor and our pid as its last words.
    """

    module: str
    pin: str = field(repr=False)
    log: str = ""
    writes: bool = False
    program: tuple[str, ...] = _PROGRAM


class Gone(Exception):
    """The token process has ended."""


class NotBegun(Gone):
    """The token process has ended before it came to this request."""


class Member(asyncio.Protocol):
    """A token process and the socket to it. It does one thing after the other; what comes next may be sent ahead."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lost = False
        self.tokens: set[str] = set()  # where it is logged in
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._number = 0
        self._awaited: dict[int, asyncio.Future[dict[str, Any]]] = {}  # by number, in the order of sending
        self._between = False  # it ends, and has begun none of those that are awaited

    @classmethod
    async def start(cls, settings: MemberSettings) -> Self:
        """A new process, to be logged in. Raises OSError, Gone.

        Started here and not in a helper thread: the kernel ends it with the thread that it was started by.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            words = [*settings.program, str(theirs.fileno()), str(os.getpid())]
            try:
                process = subprocess.Popen(  # noqa: ASYNC220, S603
                    words, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=2, env=_environment()
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        member = cls(process)
        await asyncio.get_running_loop().create_connection(lambda: member, sock=ours)
        hello = {"module": settings.module, "pin": settings.pin, "writes": settings.writes, "log": settings.log}
        try:
            await member._asked(hello, _STARTING)
        except (TimeoutError, Gone) as error:
            member.end()
            raise Gone from error
        return member

    async def ask(self, asked: dict[str, Any], patience: float) -> dict[str, Any]:
        """The answer to a request, `patience` seconds after what was sent before it is done.

        Raises TimeoutError where the process hangs, which ends it, NotBegun or Gone where it has ended.
        """
        try:
            return await self._asked(asked, patience)
        except TimeoutError:
            self._between = True
            self.end()
            raise

    async def _asked(self, frame: dict[str, Any], patience: float) -> dict[str, Any]:
        if self.lost:
            raise NotBegun
        number, before = self._number, list(self._awaited.values())
        self._number += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._awaited[number] = answer
        self._send({"n": number, **frame})
        try:
            if before:
                await asyncio.wait(before)  # they have deadlines of their own
            async with asyncio.timeout(patience):
                return await answer
        finally:
            self._awaited.pop(number, None)

    def _send(self, frame: dict[str, Any]) -> None:
        assert self._transport is not None
        self._transport.write(pack(frame))

    def end(self) -> None:
        """Kill it, whatever it is doing."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - as its base
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:  # noqa: D102 - as its base
        self._data += data
        try:
            for frame in unpack(self._data):
                self._between = frame.get("fault") == Fault.AWAY  # its last word
                answer = self._awaited.get(frame.get("n", -1))
                if answer and not answer.done():
                    answer.set_result(frame)
        except ValueError:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102 - as its base
        self.lost = True
        left = [answer for answer in self._awaited.values() if not answer.done()]
        for number, answer in enumerate(left):
            answer.set_exception(NotBegun() if number or self._between else Gone())


def _environment() -> dict[str, str]:
    """As ours, so that the module finds its settings; the house where we have it, and the home of whom we act for."""
    path = os.pathsep.join(filter(None, (_HOUSE, os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path}
    if os.geteuid() != os.getuid():
        with contextlib.suppress(KeyError):
            environment["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
    return environment
