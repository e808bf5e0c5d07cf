"""The control socket of a worker: one JSON request, one JSON answer, over a Unix socket only its user may open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from mta.adapters.privileges import acting_for
from mta.errors import UsageError
from mta.observe.log import EventLog

_LONGEST_REQUEST = 64 * 1024
_LONGEST_ADDRESS = 107  # octets of sun_path without its final NUL
_PATIENCE = 30.0  # seconds

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def serve_control(path: str, handler: Handler, log: EventLog) -> asyncio.AbstractServer:
    """Answer on `path` (mode 0600) until closed. A leftover of a dead worker is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await _answer(await reader.readline(), handler, log)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            return  # whoever asked has gone, or sent no line
        finally:
            writer.close()

    before = os.umask(0o177)
    try:
        with reachable(path) as short:
            return await asyncio.start_unix_server(converse, short, limit=_LONGEST_REQUEST)
    finally:
        os.umask(before)


@contextlib.contextmanager
def reachable(path: str) -> Iterator[str]:
    """A name for `path` that fits into a socket address (unix(7): 107 octets), however deep the queue's folder is."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield path
        return
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)


async def _answer(line: bytes, handler: Handler, log: EventLog) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        return {"error": "the request is not a JSON object"}
    try:
        return await handler(request)
    except UsageError as error:
        return {"error": str(error)}
    except Exception as error:  # a defect must not end the worker: the administrator hears that it is one
        log.defect("control request", error)
        return {"error": f"internal error, see the log: {type(error).__name__}"}


def ask(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a running worker. Raises ConnectionError (nobody answers there) or UsageError (its refusal)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(_PATIENCE)
        with acting_for(os.path.dirname(path)), reachable(path) as short:  # a link there leads to no socket of root's
            channel.connect(short)
        channel.sendall(json.dumps(request).encode() + b"\n")
        parts = []
        while part := channel.recv(1 << 20):
            parts.append(part)
    answer: dict[str, Any] = json.loads(b"".join(parts) or b'{"error": "the worker closed the connection"}')
    if "error" in answer:
        raise UsageError(str(answer["error"]))
    return answer
