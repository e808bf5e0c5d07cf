"""The page is given to whoever asks for it properly, and nobody else keeps the server busy."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mta.adapters.metrics_server import serve_metrics
from mta.observe.log import EventLog
from tests.support.patience import PATIENCE


async def page() -> str:
    return "mta_sessions 1\n"


async def broken() -> str:
    raise RuntimeError("a defect")


def ask(request: bytes, content=page) -> bytes:
    async def story() -> bytes:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        async with asyncio.timeout(PATIENCE):
            server = await serve_metrics(bound, content, EventLog(2, "json"))
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(request)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            server.close()
        return answer

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("request_", "beginning", "end"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK", b"\r\n\r\nmta_sessions 1\n"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK", b"mta_sessions 1\n"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK", b"close\r\n\r\n"),
        (b"GET /health HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK", b"alive\n"),
        (b"GET /ready HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK", b"ready\n"),
        (b"HEAD /ready HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK", b"close\r\n\r\n"),
        (b"POST /ready HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 ", b"GET only\n"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 ", b"GET only\n"),
        (b"GET /secrets HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 ", b"see /metrics\n"),
        (b"nonsense", b"", b""),
        (b"x" * 20_000, b"", b""),
    ],
)
def test_requests_and_their_answers(request_, beginning, end):
    answer = ask(request_)
    assert answer.startswith(beginning)
    assert answer.endswith(end)
    assert bool(answer) is bool(end)


def test_a_defect_of_the_page_ends_this_answer_only(capfd):
    assert ask(b"GET /metrics HTTP/1.1\r\n\r\n", broken) == b""
    assert '"where":"metrics"' in capfd.readouterr().err
