"""The content of one message, as a server reads it: what is wrong with it, and how long that is listened to."""

from __future__ import annotations

from dataclasses import dataclass

from mta.model.reply import Reply
from mta.rfc.smtp.data import DataFault, DataReader
from mta.rfc.smtp.server_replies import OF_CONTENT
from mta.rfc.smtp.server_terms import Terms

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


class IncomingContent:
    """Octets behind DATA, up to the final dot. `received` counts them as they travelled."""

    __slots__ = ("_bearable", "_reader", "done", "received")

    def __init__(self, terms: Terms) -> None:
        self._reader = DataReader(terms.message_size, terms.line_length)
        self._bearable = _READ_ON_FACTOR * terms.message_size + _READ_ON_OCTETS
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
