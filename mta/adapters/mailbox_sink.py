"""A mailbox host for the demo: takes every message over TLS, keeps it as a file, tells who is watching.

It stands where a company's real mail store would stand behind its relay. It keeps no promise about power cuts.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mta.adapters.privileges import acting_for
from mta.adapters.smtp_server.protocol import SmtpServerProtocol
from mta.adapters.smtp_server.settings import ServerSettings
from mta.adapters.tls.context import server_context
from mta.errors import LocalProtocolError
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.observe.log import EventLog
from mta.ports import Spool

_OK = Reply(250, "2.1.0", ("Ok",))
_STARTTLS_FIRST = Reply(530, "5.7.0", ("Must issue a STARTTLS command first",))  # RFC 3207 §4
_NO_STORAGE = Reply(452, "4.3.1", ("Insufficient system storage",))
_LARGEST = 52_428_800


@dataclass(frozen=True, slots=True)
class SinkPlace:
    """Where a sink listens, under which name and certificate, and where it keeps what it gets."""

    host: str
    port: int
    hostname: str
    chain: Path
    key: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that has arrived, as kept in `path`."""

    path: Path
    sender: str
    recipients: tuple[str, ...]
    size: int
    tls: str  # the version


class _TroubleOnly(EventLog):
    """A log without what goes well."""

    def info(self, event: str, **fields: object) -> None:
        return


async def open_sink(sink: SinkPlace, arrived: Callable[[Arrival], None]) -> asyncio.AbstractServer:
    """Listen at `sink`; `arrived` hears of each message. Raises OSError (port taken) or ConfigurationError."""
    with acting_for(sink.folder):
        sink.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = ServerSettings(
        hostname=sink.hostname,
        tls=server_context(sink.chain, sink.key, ask_client=False),
        message_size=_LARGEST,
        spool_threshold=2 * _LARGEST,  # never reached: a mailbox of the demo holds a message in memory
    )
    receiver = _Mailbox(sink.folder, arrived)
    log, connections = _TroubleOnly(), set[object]()
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: SmtpServerProtocol(receiver, settings, log, connections), sink.host, sink.port
    )


class _Mailbox:
    """Opens sessions (ports.Receiver)."""

    def __init__(self, folder: Path, arrived: Callable[[Arrival], None]) -> None:
        self.folder = folder
        self.arrived = arrived
        self.counter = itertools.count(1)

    def session(self) -> _MailboxSession:
        """For a client that has just connected."""
        return _MailboxSession(self)

    def keep(self, data: bytes) -> Path:
        """Write a message under a name nobody has yet; it appears whole or not at all."""
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}-{next(self.counter):04}.eml"
        unfinished = self.folder / f".{name}"
        with acting_for(self.folder):
            unfinished.write_bytes(data)
            return unfinished.rename(self.folder / name)


class _MailboxSession:
    """One client's conversation (ports.InboundSession)."""

    def __init__(self, mailbox: _Mailbox) -> None:
        self._mailbox = mailbox
        self._sender = ""
        self._recipients: list[str] = []

    def opened(self, facts: SessionFacts) -> Reply | None:
        """Everyone may talk."""
        return None

    def mail(self, facts: SessionFacts, envelope: Envelope) -> Reply:
        """Over TLS, from anyone."""
        if facts.tls is None:
            return _STARTTLS_FIRST
        self._sender = envelope.sender_text
        return _OK

    async def recipient(self, facts: SessionFacts, recipient: Recipient) -> Reply:
        """Everyone has a mailbox here."""
        self._recipients.append(str(recipient.mailbox))
        return _OK

    def data_begins(self) -> None:
        """Nothing to prepare."""

    def spool(self) -> Spool:
        """Never asked for: the threshold is above the largest message."""
        raise LocalProtocolError("a mailbox of the demo has no spool")

    async def message(self, facts: SessionFacts, content: Content) -> Reply:
        """Keep it, then tell."""
        stamp = f"Return-Path: <{self._sender}>\r\n".encode()  # RFC 5321 §4.4: final delivery adds it
        try:
            path = await asyncio.to_thread(self._mailbox.keep, stamp + content.beginning)
        except OSError:
            return _NO_STORAGE
        version = facts.tls.version if facts.tls else ""
        self._mailbox.arrived(Arrival(path, self._sender, tuple(self._recipients), content.size, version))
        return Reply(250, "2.0.0", (f"Kept as {path.name}",))

    def reset(self) -> None:
        """The transaction is over."""
        self._sender = ""
        self._recipients = []

    def error(self, facts: SessionFacts, reply: Reply, line: str) -> None:
        """A client's slip: nobody here reads about it."""

    def closed(self, facts: SessionFacts, reason: str) -> None:
        """Nothing is kept of a session."""
