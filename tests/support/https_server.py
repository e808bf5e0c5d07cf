"""An HTTPS server on 127.0.0.1 that takes POSTs, in a thread of its own.

    with https_server(authority, "collector.example") as server:
        ...                                     # POST to https://collector.example:{server.port}/
        [request] = server.wait_for(1)          # path, headers, body

`server.status` is what it answers from now on; a redirect has its `location`.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mta.adapters.pki import Authority
from tests.support.running_mta import until


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


class HttpsServer:
    """The running server."""

    def __init__(self, authority: Authority, name: str) -> None:
        self.requests: list[Posted] = []
        self.status = 201
        self.location = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*authority.issue(dns_names=[name]).write(Path(folder), "server"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.requests.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(owner.status)
                if owner.location:
                    self.send_header("Location", owner.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quietly."""

        return Handler

    def wait_for(self, number: int) -> list[Posted]:
        """The requests, once there are so many."""
        until(lambda: len(self.requests) >= number, describe=lambda: f"{number} requests; seen: {self.requests}")
        return list(self.requests)

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def https_server(authority: Authority, name: str) -> Iterator[HttpsServer]:
    """A server for `name`, for as long as the block lasts."""
    server = HttpsServer(authority, name)
    try:
        yield server
    finally:
        server.close()
