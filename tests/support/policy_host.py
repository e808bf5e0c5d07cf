"""An HTTPS host of MTA-STS policies, good or bad, in threads.

with policy_host(issued, folder) as host:
    host.policies["fabrikam.example"] = POLICY          # text, octets, an Answer, or HANG
    ...                                                 # https://mta-sts.fabrikam.example:PORT/…
    host.asked["fabrikam.example"]                      # how often
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mta.adapters.pki import Issued
from tests.support.patience import PATIENCE, patient

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx.{domain}\r\nmax_age: 86400\r\n"


@dataclass(frozen=True)
class Answer:
    """What is said. `endless`: the body again and again, 1 GB of it."""

    body: str | bytes = POLICY
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    type: str = "text/plain"
    endless: bool = False


class Hang:
    """Take the question and say nothing."""


HANG = Hang()


class PolicyHost:
    """The running host. `sent` counts octets of bodies, `sni` the names that were asked for."""

    def __init__(self, issued: Issued, folder: Path) -> None:
        chain, key = issued.write(folder, "policy-host")
        self.policies: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.sni: list[str | None] = []
        self.requests: list[str] = []
        self.sent = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain, key)
        self._context.sni_callback = lambda _sock, name, _context: self.sni.append(name)
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        self._stopping.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, run: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock.dup())
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(sock, server_side=True) as web:
            heard = b""
            while b"\r\n\r\n" not in heard:
                data = web.recv(65536)
                if not data:
                    return
                heard += data
            request = heard.decode("latin-1")
            self.requests.append(request)
            host = next(line[6:] for line in request.split("\r\n") if line.lower().startswith("host: "))
            domain = host.partition(":")[0].removeprefix("mta-sts.")
            self.asked[domain] += 1
            self._answer(web, domain, self.policies.get(domain, Answer("not here", "404 Not Found")))

    def _answer(self, web: ssl.SSLSocket, domain: str, answer: Any) -> None:
        if isinstance(answer, Hang):
            self._stopping.wait(patient(60))
            return
        if isinstance(answer, str | bytes):
            answer = Answer(answer)
        body = answer.body.replace("{domain}", domain).encode() if isinstance(answer.body, str) else answer.body
        length = 2**30 if answer.endless else len(body)
        headers = {"Content-Type": answer.type, "Content-Length": str(length), **answer.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        web.sendall(f"HTTP/1.1 {answer.status}\r\n{head}\r\n".encode() + body)
        self.sent += len(body)
        while answer.endless and self.sent < length:
            web.sendall(body)
            self.sent += len(body)


@contextlib.contextmanager
def policy_host(issued: Issued, folder: Path) -> Iterator[PolicyHost]:
    """A host with this certificate on a free port of 127.0.0.1."""
    host = PolicyHost(issued, folder)
    try:
        yield host
    finally:
        host.close()
