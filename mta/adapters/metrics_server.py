"""Pages over HTTP: `/metrics` for Prometheus, `/ready` and `/health` for whoever starts us.

Nothing of a request but its first line means anything.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from mta.observe.log import EventLog

_PATIENCE = 10.0  # seconds for a whole request and its answer
_LONGEST = 8192  # octets of a request
_AT_ONCE = 16
_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Page = Callable[[], Awaitable[str]]


async def _always() -> str:
    return ""


async def serve_metrics(
    bound: socket.socket, page: Page, log: EventLog, ready: Page = _always
) -> asyncio.AbstractServer:
    """Answer on a bound socket until closed. `ready` tells what is missing; empty: nothing."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE), gate:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _answer(head, page, ready))
                await writer.drain()
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            return  # whoever asked has gone, or asked nothing
        except Exception as error:  # a defect here must not end the supervisor
            log.defect("metrics", error)
        finally:
            writer.close()

    return await asyncio.start_server(converse, sock=bound, limit=_LONGEST)


async def _answer(head: bytes, page: Page, ready: Page) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path not in (b"/metrics", b"/", b"/ready", b"/health"):
        return _response("404 Not Found", "see /metrics\n")
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", "GET only\n", "Allow: GET, HEAD\r\n")
    if path == b"/health":  # whoever can answer is alive
        return _response("200 OK", "alive\n", body=method == b"GET")
    if path == b"/ready":
        missing = await ready()
        status = "503 Service Unavailable" if missing else "200 OK"
        return _response(status, f"{missing or 'ready'}\n", body=method == b"GET")
    return _response("200 OK", await page(), body=method == b"GET")


def _response(status: str, text: str, more: str = "", *, body: bool = True) -> bytes:
    content = text.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(content)}\r\n{more}Connection: close\r\n"
    )
    return head.encode() + b"\r\n" + (content if body else b"")
