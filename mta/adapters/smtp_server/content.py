"""Reading a message after DATA: small ones stay in memory, larger ones go to the queue's spool as they arrive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mta.errors import StorageError
from mta.model.message import Content
from mta.model.reply import Reply
from mta.ports import Spool
from mta.rfc.smtp.data import DataFault, DataReader

if TYPE_CHECKING:
    from mta.adapters.smtp_server.commands import Commands

_FAULTS = {
    DataFault.BARE_CR: Reply(550, "5.6.0", ("Bare CR in message",)),
    DataFault.BARE_LF: Reply(550, "5.6.0", ("Bare LF in message",)),
    DataFault.NUL: Reply(550, "5.6.0", ("NUL in message",)),
    DataFault.LINE_TOO_LONG: Reply(500, "5.6.0", ("Line too long in message",)),
    DataFault.TOO_LARGE: Reply(552, "5.3.4", ("Message too large",)),
}
_FATAL = (
    DataFault.BARE_CR,
    DataFault.BARE_LF,
    DataFault.NUL,
)  # two readers might see two messages: nothing behind it is believed
_NO_STORAGE = Reply(452, "4.3.1", ("Insufficient system storage, try again later",))
# A message that was refused in the middle is read to its end, so that the client hears why; but no more of it than
# twice the size limit and a mebibyte.
_READ_ON_FACTOR = 2
_READ_ON_OCTETS = 1_048_576
_PIECES = 512  # pieces held at most; then they become one


class ContentFault(Exception):
    """The message cannot be taken."""

    def __init__(self, reply: Reply, reason: str, *, fatal: bool) -> None:
        super().__init__(reason)
        self.reply = reply
        self.reason = reason
        self.fatal = fatal


class Arrived:
    """A message as it arrives: a list of pieces, and from the threshold on a spool."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._pieces: list[bytes] = []
        self._held = 0
        # the whole header must be in the part that stays in memory
        self._threshold = max(commands.settings.spool_threshold, commands.settings.header_size + 4096)
        self._spool: Spool | None = None
        self._head = b""
        self.verbatim = False
        self.full = ""

    async def take(self, piece: bytes) -> None:
        """Keep one piece. A full disk is remembered: the client hears of it where it waits for a reply."""
        if not piece or self.full:
            return
        if self._spool is None:
            self._pieces.append(piece)
            self._held += len(piece)
            if self._held <= self._threshold:
                if len(self._pieces) > _PIECES:  # a client of many small packets costs us no more than another
                    self._pieces = [b"".join(self._pieces)]
                return
            self._spool = self._commands.decider.spool()
            piece = self._head = b"".join(self._pieces)
            self._pieces.clear()
        try:
            await self._spool.write(piece)
        except StorageError as error:
            self.full = str(error)
            await self.discard()

    async def discard(self) -> None:
        """The message is not wanted; no effect on one that has become the queue's."""
        self._pieces.clear()
        if self._spool is not None:
            await self._spool.discard()

    def content(self) -> Content:
        """What came."""
        if self._spool is not None:
            return self._spool.content(self._head)
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        return Content(len(data), data, verbatim=self.verbatim)


async def receive_content(commands: Commands) -> Arrived:
    """The message up to its final dot. Raises ContentFault, or StreamEnded when the client left.

    Whoever gets it discards it unless it was stored.
    """
    settings = commands.settings
    reader = DataReader(settings.message_size, settings.line_length)
    sink = Arrived(commands)
    begun, received = time.monotonic(), 0
    bearable = _READ_ON_FACTOR * settings.message_size + _READ_ON_OCTETS
    try:
        while not reader.done:
            commands.set_deadline(_patience(commands, begun, received))
            chunk = await commands.stream.some()
            commands.clear_deadline()
            received += len(chunk)
            await sink.take(reader.feed(chunk))
            if received > bearable:  # only what is faulty gets here
                raise ContentFault(_FAULTS[DataFault.TOO_LARGE], "too large, and no end", fatal=True)
    except BaseException:
        await sink.discard()
        raise
    if reader.rest:
        commands.stream.unread(reader.rest)
    fault = reader.fault
    if fault is not None:
        await sink.discard()
        raise ContentFault(_FAULTS[fault], fault.name.lower().replace("_", " "), fatal=fault in _FATAL)
    sink.verbatim = reader.verbatim
    if sink.full:
        raise ContentFault(_NO_STORAGE, sink.full, fatal=False)
    return sink


def _patience(commands: Commands, begun: float, received: int) -> float:
    """Seconds until the next piece must be here: a pause limit, and a least rate over the whole message."""
    settings = commands.settings
    if settings.data_rate <= 0:
        return settings.data_timeout
    earned = settings.data_timeout + received / settings.data_rate - (time.monotonic() - begun)
    return max(0.0, min(settings.data_timeout, earned))
