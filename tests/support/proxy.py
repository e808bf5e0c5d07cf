"""A way to the database that breaks when a story says so: in the middle, on COMMIT, or without a word.

The proxy listens on a Unix socket named as PostgreSQL names its own; a node is told its folder as the host.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.postgres import Server

_NAME = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\0"


class Proxy:
    """Passes everything on until told otherwise."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        self.folder = folder
        self.cut = False  # connections are refused
        self.lose_commit = False  # the next COMMIT reaches the server, its answer nobody
        self.lost = threading.Event()
        self.flowing = threading.Event()
        self.flowing.set()
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _NAME))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def dsn(self, database: str) -> str:
        """How a node reaches the database by this way."""
        return f"postgresql://{self.server.user}@/{database}?host={self.folder}&port=5432"

    def drop(self) -> None:
        """Every connection ends, and none is made."""
        self.cut = True
        self._end_all()

    def stall(self) -> None:
        """Nothing moves any more, and nothing ends."""
        self.flowing.clear()

    def mend(self) -> None:
        """As if nothing had been."""
        self.cut = False
        self.flowing.set()

    def close(self) -> None:
        """Stop for good."""
        self.flowing.set()
        self._listener.close()
        self._end_all()

    def _end_all(self) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.cut:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self.server.folder / _NAME))
            self._open += [near, far]
            commit = threading.Event()
            for source, target, asking in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pass, args=(source, target, asking, commit), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, asking: bool, commit: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.flowing.wait()
                if asking and self.lose_commit and _COMMIT in data:
                    self.lose_commit = False
                    commit.set()
                if not asking and commit.is_set():  # what the server said of the COMMIT
                    self.lost.set()
                    break
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy in a folder of its own, on a path short enough."""
    with tempfile.TemporaryDirectory(prefix="px") as folder:
        os.chmod(folder, 0o700)
        running = Proxy(Path(folder), server)
        try:
            yield running
        finally:
            running.close()
