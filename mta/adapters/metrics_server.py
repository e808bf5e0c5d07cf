"""One page over HTTP, for Prometheus: `GET /metrics`. Nothing of a request but its first line means anything."""

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


async def serve_metrics(bound: socket.socket, page: Page, log: EventLog) -> asyncio.AbstractServer:
    """Answer on a bound socket until closed."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE), gate:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await _answer(head, page))
                await writer.drain()
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            return  # whoever asked has gone, or asked nothing
        except Exception as error:  # a defect here must not end the supervisor
            log.defect("metrics", error)
        finally:
            writer.close()

    return await asyncio.start_server(converse, sock=bound, limit=_LONGEST)


async def _answer(head: bytes, page: Page) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path not in (b"/metrics", b"/"):
        return _response("404 Not Found", "see /metrics\n")
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", "GET only\n", "Allow: GET, HEAD\r\n")
    return _response("200 OK", await page(), body=method == b"GET")


def _response(status: str, text: str, more: str = "", *, body: bool = True) -> bytes:
    content = text.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(content)}\r\n{more}Connection: close\r\n"
    )
    return head.encode() + b"\r\n" + (content if body else b"")
