"""The content of one message, as a server reads it: what is wrong with it, and how long that is listened to.

It comes behind DATA up to a final dot, or in chunks whose octets are counted (BDAT, RFC 3030).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mta.model.reply import Reply
from mta.rfc.smtp.data import ChunkReader, DataFault, DataReader
from mta.rfc.smtp.server_replies import OF_CONTENT
from mta.rfc.smtp.server_terms import Terms

_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE)
_FATAL = (DataFault.BARE_CR, DataFault.BARE_LF, DataFault.NUL)
# A message that was refused in the middle is read to its end, so that the client hears why; but no more of it than
# twice the size limit and a mebibyte.
_READ_ON_FACTOR = 2
_READ_ON_OCTETS = 1_048_576


@dataclass(frozen=True, slots=True)
class ContentFault:
    """Why a message is not taken. `fatal`: two readers might see two messages, so nothing behind it is believed."""

    reply: Reply
    reason: str
    fatal: bool


def bearable(terms: Terms) -> int:
    """Octets of one message that are read at most."""
    return _READ_ON_FACTOR * terms.message_size + _READ_ON_OCTETS


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a BDAT announces: octets that follow, and whether they are the message's last."""

    size: int
    last: bool


def read_chunk(argument: str) -> Chunk | None:
    """The argument of BDAT (RFC 3030 §2); None if it is none."""
    match = _CHUNK.fullmatch(argument)
    return Chunk(int(match[1]), match[2] is not None) if match else None


class IncomingContent:
    """Octets behind DATA, up to the final dot. `received` counts them as they travelled."""

    __slots__ = ("_bearable", "_reader", "done", "received")

    def __init__(self, terms: Terms) -> None:
        self._reader = DataReader(terms.message_size, terms.line_length)
        self._bearable = bearable(terms)
        self.received = 0
        self.done = False  # it has ended, or nobody listens any more

    @property
    def rest(self) -> bytes:
        """What came behind the end."""
        return self._reader.rest

    @property
    def verbatim(self) -> bool:
        """Model/message.py, Content."""
        return self._reader.verbatim

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, as far as it is certain."""
        self.received += len(data)
        piece = self._reader.feed(data)
        self.done = self._reader.done or self.received > self._bearable
        return piece

    @property
    def fault(self) -> ContentFault | None:
        """What is wrong with what is done."""
        if self.received > self._bearable:  # only what is faulty gets here
            return ContentFault(OF_CONTENT[DataFault.TOO_LARGE], "too large, and no end", fatal=True)
        found = self._reader.fault
        if found is None:
            return None
        return ContentFault(OF_CONTENT[found], found.name.lower().replace("_", " "), fatal=found in _FATAL)


class IncomingChunks:
    """Octets behind each BDAT of one message. `left` are those of the present chunk that are still to come."""

    __slots__ = ("_reader", "last", "left", "received")

    def __init__(self, terms: Terms) -> None:
        self._reader = ChunkReader(terms.message_size, terms.line_length)
        self.received = 0
        self.left = 0
        self.last = False

    def announce(self, chunk: Chunk) -> None:
        """Another BDAT."""
        self.left, self.last = chunk.size, chunk.last

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, which is of the present chunk."""
        self.received += len(data)
        self.left -= len(data)
        piece = self._reader.feed(data)
        return piece if self.left or not self.last else piece + self._reader.finish()

    @property
    def fault(self) -> ContentFault | None:
        """What is wrong with what came so far. None is fatal: where a chunk ends everybody counts alike."""
        found = self._reader.fault
        if found is None:
            return None
        return ContentFault(OF_CONTENT[found], found.name.lower().replace("_", " "), fatal=False)
