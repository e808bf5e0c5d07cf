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
from typing import Any, Self

from mta.adapters.token_pool.wire import pack, unpack

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


class Member(asyncio.Protocol):
    """A token process and the socket to it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lost = False
        self.tokens: set[str] = set()  # where it is logged in
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._number = 0
        self._answer: asyncio.Future[dict[str, Any]] | None = None

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
            await asyncio.wait_for(member._asked(0, hello), _STARTING)
        except (TimeoutError, Gone) as error:
            member.end()
            raise Gone from error
        return member

    async def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request. Raises Gone."""
        self._number += 1
        return await self._asked(self._number, asked)

    async def _asked(self, number: int, frame: dict[str, Any]) -> dict[str, Any]:
        if self.lost:
            raise Gone
        self._answer = asyncio.get_running_loop().create_future()
        self._send({"n": number, **frame})
        return await self._answer

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
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102 - as its base
        self._data += data
        try:
            for frame in unpack(self._data):
                if self._answer and not self._answer.done() and frame.get("n") == self._number:
                    self._answer.set_result(frame)
        except ValueError:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102 - as its base
        self.lost = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(Gone())


def _environment() -> dict[str, str]:
    """As ours, so that the module finds its settings; the house where we have it, and the home of whom we act for."""
    path = os.pathsep.join(filter(None, (_HOUSE, os.environ.get("PYTHONPATH", ""))))
    found = {**os.environ, "PYTHONPATH": path}
    if os.geteuid() != os.getuid():
        with contextlib.suppress(KeyError):
            found["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
    return found
