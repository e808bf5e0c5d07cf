"""A man in the middle of an SMTP conversation: he takes the offer of STARTTLS away, and lets all else through.

with tampering(peer.port) as thief:
    ...                             # deliver to 127.0.0.1:thief.port
    thief.stripping = False         # he has gone
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

from tests.support.patience import PATIENCE

_OFFER = re.compile(rb"^250-STARTTLS\r\n", re.MULTILINE | re.IGNORECASE)
_LAST_OFFER = re.compile(rb"250-([^\r\n]*)\r\n250 STARTTLS\r\n", re.IGNORECASE)


class Tampering:
    """The running proxy. `clear` is what the client said through it while it was stripping."""

    def __init__(self, target: int) -> None:
        self.stripping = True
        self.clear = bytearray()
        self.stripped = 0
        self._target = target
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            self._start(lambda a=client, b=server: self._copy(a, b, self._hear))  # type: ignore[misc]
            self._start(lambda a=server, b=client: self._copy(a, b, self._strip))  # type: ignore[misc]

    def _copy(self, source: socket.socket, sink: socket.socket, touch: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(touch(data))
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _hear(self, data: bytes) -> bytes:
        if self.stripping:
            self.clear += data
        return data

    def _strip(self, data: bytes) -> bytes:
        """The reply to EHLO comes in one piece: the peer writes it so."""
        if not self.stripping:
            return data
        left = _LAST_OFFER.sub(rb"250 \1\r\n", _OFFER.sub(b"", data))
        self.stripped += left != data
        return left


@contextlib.contextmanager
def tampering(target: int) -> Iterator[Tampering]:
    """A man between a client and the host at 127.0.0.1:`target`, for as long as the block lasts."""
    proxy = Tampering(target)
    try:
        yield proxy
    finally:
        proxy.close()
