"""A scripted HTTP server on loopback, for revocation lists and OCSP answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.patience import PATIENCE

Answer = bytes | Callable[[bytes], bytes] | tuple[int, dict[str, str], bytes]


class HttpPeer:
    """What is said at which path; `requests` are (method, path, Host, body) in their order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str, bytes]] = []
        self.gate: threading.Event | None = None  # answers wait for it
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    peer: HttpPeer

    def do_GET(self) -> None:
        self._reply("GET")

    def do_POST(self) -> None:
        self._reply("POST")

    def _reply(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.peer.requests.append((method, self.path, self.headers["Host"], body))
        if self.peer.gate is not None:
            self.peer.gate.wait(PATIENCE)
        answer: Any = self.peer.answers.get(self.path, (404, {}, b"no"))
        if callable(answer):
            answer = answer(body)
        status, headers, content = answer if isinstance(answer, tuple) else (200, {}, answer)
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def http_peer() -> Iterator[HttpPeer]:
    """A running server."""
    peer = HttpPeer()
    handler = type("Handler", (_Handler,), {"peer": peer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    peer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        if peer.gate is not None:
            peer.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)
