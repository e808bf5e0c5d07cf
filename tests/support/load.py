"""Load from several sessions, every message with an id and a content of its own, so that each can be told apart.

with Load(relay) as load:
    load.wait_for(100)                      # of them were answered 250
    ...                                     # kill something
load.assert_arrived(peer)                   # whatever was answered 250 arrived, whole, however often it was killed
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import TracebackType

from tests.support.running_mta import PATIENCE, RunningMta, until
from tests.support.smtp_peer import SmtpPeer

LARGE = 400_000  # octets: travels by a spool file
_ID = re.compile(rb"^X-Id: (\S+)\r$", re.MULTILINE)


def content_of(id_: str) -> bytes:
    """The content that belongs to an id; every tenth is large."""
    size = LARGE if id_.endswith("9") else Random(id_).randrange(200, 6000)
    line = Random(id_).randbytes(30).hex().encode() + b"\r\n"
    body = line * (size // len(line) + 1)
    return b"X-Id: %s\r\nSubject: load\r\n\r\n%sEND %s\r\n" % (id_.encode(), body, id_.encode())


def id_of(data: bytes) -> str:
    """The id in a message that arrived; asserts that its content is whole."""
    found = _ID.search(data)
    assert found, data[:500]
    id_ = found[1].decode()
    assert data.endswith(content_of(id_)), f"{id_} is not what was sent"
    return id_


@dataclass
class Load:
    """Threads that send until the block ends. A session that breaks is opened again."""

    relay: RunningMta
    sessions: int = 4
    sender: str = "a@fabrikam.example"
    to: str = "b@contoso.example"
    most: int = 100_000  # messages in all
    pause: float = 0.0  # seconds between two messages of a session
    name: str = "m"
    acknowledged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # sent whole, but the reply never came
    refused: list[str] = field(default_factory=list)  # what was said instead of 250
    broken: list[str] = field(default_factory=list)  # connections that could not be made or were lost
    on_open: Callable[[smtplib.SMTP], None] = lambda session: None

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.sessions)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every session end its message."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def wait_for(self, count: int, seconds: float = PATIENCE) -> None:
        """Until so many messages were answered 250."""
        until(
            lambda: len(self.acknowledged) >= count,
            seconds,
            describe=lambda: (
                f"{count} messages are taken, not {len(self.acknowledged)}: {self.refused[-3:]} {self.broken[-3:]}"
                f"\n{self.relay.story()}"
            ),
        )

    def wait_for_more(self, count: int, seconds: float = PATIENCE) -> None:
        """Until so many more messages than now were answered 250."""
        self.wait_for(len(self.acknowledged) + count, seconds)

    def _work(self) -> None:
        while not self._stop.is_set() and self._next < self.most:
            try:
                with smtplib.SMTP("127.0.0.1", self.relay.port, "load.example", timeout=PATIENCE) as session:
                    self.on_open(session)
                    session.ehlo()
                    while (id_ := self._take()) is not None:
                        self._send(session, id_)
                        time.sleep(self.pause)
            except (OSError, smtplib.SMTPException) as error:
                self.broken.append(repr(error))
                time.sleep(0.01)  # whoever is not there answers at once

    def _take(self) -> str | None:
        with self._lock:
            if self._stop.is_set() or self._next >= self.most:
                return None
            self._next += 1
            return f"{self.name}-{self._next}"

    def _send(self, session: smtplib.SMTP, id_: str) -> None:
        for command in (f"MAIL FROM:<{self.sender}>", f"RCPT TO:<{self.to}>", "DATA"):
            code, text = session.docmd(command)
            if code not in (250, 354):
                self.refused.append(f"{command}: {code} {text.decode()}")
                if code == 421:
                    raise smtplib.SMTPServerDisconnected(f"421 {text.decode()}")
                with contextlib.suppress(smtplib.SMTPServerDisconnected):
                    session.rset()
                return
        session.send(content_of(id_) + b".\r\n")
        try:
            code, text = session.getreply()
        except (OSError, smtplib.SMTPException):
            self.unknown.append(id_)
            raise
        if code == 250:
            self.acknowledged.append(id_)
        else:
            self.refused.append(f"{id_}: {code} {text.decode()}")

    def assert_arrived(self, peer: SmtpPeer, *, seconds: float = PATIENCE) -> Counter[str]:
        """Each acknowledged message at least once, none that was never sent, none half; how often each did."""
        wanted = set(self.acknowledged)

        def arrived() -> Counter[str]:
            return Counter(id_of(message.data) for message in list(peer.messages))

        until(
            lambda: len(peer.messages) >= len(wanted) and wanted <= arrived().keys(),
            seconds,
            describe=lambda: (
                f"{len(wanted)} messages arrive; missing {sorted(wanted - arrived().keys())[:5]}\n{self.relay.story()}"
            ),
        )
        times = arrived()
        assert times.keys() <= wanted | set(self.unknown)
        return times
