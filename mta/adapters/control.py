"""The control socket of a worker: one JSON request, and an answer in parts, over a Unix socket only its user may open.

Every part is a line with a JSON object; `{}` says that the worker is still at it, `{"end": true}` that this was all.
Who hears nothing for a while therefore knows that the worker is stuck, however long a command takes. A worker that
cannot get rid of a part, because whoever asked has gone, stops there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any

from mta.adapters.privileges import acting_for
from mta.errors import MtaError, Unanswered, UsageError
from mta.observe.log import EventLog

_LONGEST_REQUEST = 64 * 1024
_LONGEST_ADDRESS = 107  # octets of sun_path without its final NUL
_PATIENCE = 30.0  # seconds without a word
_PULSE = 5.0  # seconds between two words of a worker that is busy
_STILL_AT_IT: dict[str, Any] = {}
_END = {"end": True}

Handler = Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]


async def serve_control(path: str, handler: Handler, log: EventLog) -> asyncio.AbstractServer:
    """Answer on `path` (mode 0600) until closed. A leftover of a dead worker is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
            async with contextlib.aclosing(_answer(line, handler, log)) as parts:
                await _tell(parts, writer)
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


async def _tell(parts: AsyncGenerator[dict[str, object], None], writer: asyncio.StreamWriter) -> None:
    """Every part as it comes, and a sign of life where none comes for a while."""
    while True:
        step = asyncio.ensure_future(anext(parts, None))
        try:
            while not (await asyncio.wait({step}, timeout=_PULSE))[0]:
                await _say(writer, _STILL_AT_IT)
        except BaseException:
            step.cancel()
            await asyncio.wait({step})
            raise
        part = step.result()
        await _say(writer, _END if part is None else part)
        if part is None:
            return


async def _say(writer: asyncio.StreamWriter, part: dict[str, Any]) -> None:
    writer.write(json.dumps(part).encode() + b"\n")
    async with asyncio.timeout(_PATIENCE):
        await writer.drain()


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


async def _answer(line: bytes, handler: Handler, log: EventLog) -> AsyncGenerator[dict[str, object], None]:
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        yield {"error": "the request is not a JSON object"}
        return
    try:
        async for part in handler(request):
            yield part
    except MtaError as error:
        yield {"error": str(error)}
    except Exception as error:  # a defect must not end the worker: the administrator hears that it is one
        log.defect("control request", error)
        yield {"error": f"internal error, see the log: {type(error).__name__}"}


def ask(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a running worker what it answers in one part; for the errors see `parts`."""
    answer: dict[str, Any] = {}
    for part in parts(path, request):
        answer |= part
    return answer


def parts(path: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a running worker answers, part by part.

    Raises FileNotFoundError or ConnectionRefusedError (nobody answers there), UsageError (its refusal, or ours to open
    the socket) or Unanswered (it is there, and was not heard to the end).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(_PATIENCE)
        _connect(channel, path)
        try:
            channel.sendall(json.dumps(request).encode() + b"\n")
            with channel.makefile("rb") as lines:
                for line in lines:
                    part = json.loads(line)
                    if "error" in part:
                        raise UsageError(str(part["error"]))
                    if part == _END:
                        return
                    if part:
                        yield part
        except TimeoutError:
            raise Unanswered(f"the worker at {path} said nothing for {_PATIENCE:.0f} s: is it stuck?") from None
        except (OSError, ValueError) as error:
            raise Unanswered(f"the worker at {path} could not be heard to the end: {error}") from error
        raise Unanswered(f"the worker at {path} closed the connection: has it ended?")


def _connect(channel: socket.socket, path: str) -> None:
    try:
        with acting_for(os.path.dirname(path)), reachable(path) as short:  # a link there leads to no socket of root's
            channel.connect(short)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise
    except PermissionError:
        raise UsageError(f"{path} may not be opened: run this as the user of the relay, or as root") from None
    except OSError as error:  # it is there, and its backlog is full
        raise Unanswered(f"the worker at {path} takes no command now: {error}") from error
