"""BDAT, as an SMTP server reads it (RFC 3030): content in chunks whose octets are counted."""

from __future__ import annotations

from dataclasses import dataclass

from mta.model.reply import Reply
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp import server_replies as replies
from mta.rfc.smtp.data import DataFault
from mta.rfc.smtp.server_content import Chunk, ContentFault, IncomingChunks, IncomingContent, bearable, read_chunk
from mta.rfc.smtp.server_opening import ServerOpening
from mta.rfc.smtp.server_state import State
from mta.rfc.smtp.server_terms import Terms

_NO_END = ContentFault(replies.OF_CONTENT[DataFault.TOO_LARGE], "too large, and no end", fatal=True)


@dataclass(slots=True)
class _Skipped:
    """The octets of a BDAT that is refused, and where to go on behind them."""

    left: int
    reply: Reply
    back: State


class ServerChunks(ServerOpening):
    """Content of either kind, and what becomes of one with a fault. The commands are in server.py."""

    def __init__(self, terms: Terms, *, implicit_tls: bool) -> None:
        super().__init__(terms, implicit_tls=implicit_tls)
        self._content: IncomingContent | IncomingChunks = IncomingContent(terms)
        self._chunks = IncomingChunks(terms)
        self._skipped = _Skipped(0, replies.OK, State.START)

    def _bdat(self, argument: str, leads_to: State | Reply) -> None:
        """RFC 3030 §2. What a BDAT announces is never read as commands, whether or not it is taken."""
        chunk = read_chunk(argument)
        if chunk is None:  # nobody knows how many octets follow
            self._mistake(replies.BAD_CHUNK, argument)
            self._end("BDAT without a size")
        elif isinstance(leads_to, Reply):
            self._skip(chunk, leads_to)
        elif not self._esmtp:
            self._skip(chunk, replies.HELO_FIRST)
        else:
            self._take_chunk(chunk, leads_to)

    def _take_chunk(self, chunk: Chunk, leads_to: State) -> None:
        if self.state is State.CHUNKS:
            self._events.append(events.Answered())
        else:
            self._content = self._chunks = IncomingChunks(self._terms)
            self._events.append(events.ContentBegins())
        if self._chunks.received + chunk.size > bearable(self._terms):
            self._fail_content(_NO_END)
            return
        self.state = leads_to
        self._chunks.announce(chunk)
        if not chunk.size:  # BDAT 0 LAST is how some say that there is no more
            self._add_to_chunk(b"")

    def _read_chunk(self) -> None:
        self._add_to_chunk(self._input.take(min(self._chunks.left, self.buffered)))

    def _add_to_chunk(self, data: bytes) -> None:
        chunks = self._chunks
        piece = chunks.feed(data)
        if chunks.left:
            self._events.append(events.Piece(piece))
        elif fault := chunks.fault:
            self._fail_content(fault)
        elif chunks.last:
            self.state = State.ASKED_MESSAGE
            self._events.append(events.MessageComplete(piece, verbatim=False))
        else:
            self.state = State.CHUNKS
            self._events.append(events.Piece(piece))
            self._say(Reply(250, "2.0.0", (f"{chunks.received} octets received",)))

    def _skip(self, chunk: Chunk, reply: Reply) -> None:
        if chunk.size > bearable(self._terms):
            self._mistake(reply, "BDAT")
            self._end("too large, and no end")
            return
        self._skipped = _Skipped(chunk.size, reply, self.state)
        self.state = State.SKIP
        self._read_skipped()

    def _read_skipped(self) -> None:
        skipped = self._skipped
        skipped.left -= len(self._input.take(min(skipped.left, self.buffered)))
        if not skipped.left:
            self.state = skipped.back
            self._mistake(skipped.reply, "BDAT")

    def _fail_content(self, fault: ContentFault) -> None:
        self.state = State.IDLE
        self._events.append(events.TransactionReset())
        self._events.append(events.Mistake(fault.reply, fault.reason))
        if fault.fatal:
            self._say(fault.reply)
            self._end(fault.reason)
        else:
            self._count_error(fault.reply)
