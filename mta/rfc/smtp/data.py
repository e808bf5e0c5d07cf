"""The bytes between DATA and the final dot, both ways: RFC 5321 §4.1.1.4 and §4.5.2.

Only CRLF . CRLF ends a message, and a CR or LF that is not half of a CRLF is a fault wherever it stands: two servers
that disagree about either can be made to disagree about where one message ends and the next begins. So is a NUL
(RFC 5322 §4.1, RFC 2045 §2.7): a server that strips it sees an end where there was none.

Everything here works on whole buffers; nothing looks at single lines.
"""

from __future__ import annotations

import re
from enum import IntEnum

from mta.errors import LocalProtocolError

_END = b"\r\n.\r\n"
_DOT = re.compile(rb"\r\n\.")  # a search for this is faster than bytes.find of it
_IS_CR = bytes(octet == 13 for octet in range(256))
_IS_LF = bytes(octet == 10 for octet in range(256))
_BLOCK = 16_384  # small enough that its copies stay in the processor's cache


class DataFault(IntEnum):
    """What is wrong with the data. Where several are, the lowest counts."""

    BARE_CR = 1
    BARE_LF = 2
    NUL = 3
    LINE_TOO_LONG = 4
    TOO_LARGE = 5


class DataReader:
    """Reads the data of one message, in whatever pieces it arrives. No IO.

    `feed` returns content, dots unstuffed, until `done`; `rest` then holds what the peer sent behind the end. After
    a fault `feed` returns nothing more, but the end is still looked for: the peer hears of the fault at the place
    where it waits for a reply. What was fed and its verdict do not depend on how it was cut into pieces.

    `max_size` counts octets of content (RFC 1870 §5), `max_line` octets of a line with its CRLF and without the
    stuffed dot (RFC 5321 §4.5.3.1.6); 0 stands for no limit. At most four octets are kept between calls.
    """

    __slots__ = (
        *("_column", "_dots", "_held", "_max_line", "_max_size", "_started", "_virtual"),
        *("done", "faults", "rest", "size"),
    )

    def __init__(self, max_size: int, max_line: int) -> None:
        self._max_size = max_size
        self._max_line = max_line
        self._held = b""
        self._dots = False  # there were stuffed ones
        self._column = 0  # octets of the unfinished line that were given out
        self._started = False
        self._virtual = 0  # octets put in front of the first ones that are not content
        self.size = 0
        self.done = False
        self.rest = b""
        self.faults: frozenset[DataFault] = frozenset()

    @property
    def fault(self) -> DataFault | None:
        """The fault that decides the reply, if there is one; final once `done`."""
        return min(self.faults) if self.faults else None

    @property
    def verbatim(self) -> bool:
        """Whether the content came as it is and can be sent so: no line begins with a dot, each ends in CRLF."""
        return self.done and not self._dots and not self.faults

    def feed(self, data: bytes) -> bytes:
        """Take in `data`; the content that is certain by now. Raises LocalProtocolError after the end."""
        if self.done:
            raise LocalProtocolError("data was fed to a reader that has seen the end")
        if not data:
            return b""
        if not self._started:
            self._started = True
            if data.startswith(b"."):  # the first line begins where a CRLF of the command ended
                self._held, self._virtual = b"\r\n", 2
        buffer = self._held + data if self._held else data
        dot = _DOT.search(buffer)
        end = buffer.find(_END, dot.start()) if dot else -1
        if end >= 0:
            self.done = True
            self.rest = buffer[end + len(_END) :]
            self._held = b""
            return self._take(buffer[: end + 2], dot is not None and dot.start() < end)
        kept = _undecided(buffer)
        self._held = buffer[len(buffer) - kept :]
        return self._take(buffer[: len(buffer) - kept], dot is not None)

    def _take(self, piece: bytes, stuffed: bool) -> bytes:
        """Check and unstuff a piece that ends neither within a line end nor within a stuffed dot."""
        if not piece:
            return piece
        if not _is_paired(piece):
            self._name_bare(piece)
        if b"\0" in piece:
            self._blame(DataFault.NUL)
        content = piece
        if stuffed:  # RFC 5321 §4.5.2: a dot at the beginning of a line is deleted
            content = piece.replace(b"\r\n.", b"\r\n")
            self._dots = self._dots or len(content) != len(piece)
        if self._virtual:
            content, self._virtual = content[self._virtual :], 0
        self.size += len(content)
        if self._max_size and self.size > self._max_size:
            self._blame(DataFault.TOO_LARGE)
        if self._max_line and DataFault.LINE_TOO_LONG not in self.faults:
            self._measure(content)
        return b"" if self.faults else content

    def _name_bare(self, piece: bytes) -> None:
        pairs = piece.count(b"\r\n")
        if piece.count(b"\n") != pairs:
            self._blame(DataFault.BARE_LF)
        if piece.count(b"\r") != pairs:
            self._blame(DataFault.BARE_CR)

    def _measure(self, content: bytes) -> None:
        """Find a line longer than the limit by leaps of about that length, from the last LF in reach to the next."""
        limit, length, rfind = self._max_line, len(content), content.rfind
        position = -self._column
        while length - position >= limit:
            newline = rfind(b"\n", position if position > 0 else 0, position + limit)
            if newline < 0:
                self._blame(DataFault.LINE_TOO_LONG)
                return
            position = newline + 1
        newline = content.rfind(b"\n", max(position, 0))
        self._column = length - position if newline < 0 else length - newline - 1

    def _blame(self, fault: DataFault) -> None:
        self.faults |= {fault}


class ChunkReader(DataReader):
    """Reads content whose end is counted and not marked (BDAT, RFC 3030 §2): a dot is a dot. No IO.

    The same is a fault as behind DATA: BODY=BINARYMIME is not offered, so content is lines that end in CRLF. It may
    leave as DATA.
    """

    __slots__ = ("_at_line_start",)

    def __init__(self, max_size: int, max_line: int) -> None:
        super().__init__(max_size, max_line)
        self._at_line_start = True

    def feed(self, data: bytes) -> bytes:
        """Take in `data`; the content that is certain by now. Raises LocalProtocolError after the end."""
        if self.done:
            raise LocalProtocolError("data was fed to a reader that has seen the end")
        buffer = self._held + data
        self._held = b"\r" if buffer.endswith(b"\r") else b""
        piece = buffer[:-1] if self._held else buffer
        self._at_line_start = piece.endswith(b"\n") if piece else self._at_line_start
        self._dots = True  # nobody has looked for them: it cannot be sent as it is
        return self._take(piece, stuffed=False)

    def finish(self) -> bytes:
        """The end; the CRLF that the last line lacks, as DATA would have it."""
        self.done = True
        if self._held:
            self._blame(DataFault.BARE_CR)
        if self._at_line_start:
            return b""
        return self._take(b"\r\n", stuffed=False)


def _is_paired(piece: bytes) -> bool:
    """Whether each CR of `piece` is followed by an LF, and each LF follows a CR.

    The map of all CRs, moved by one, must be the map of all LFs: two table look-ups an octet, whatever it holds.
    """
    if piece[0] == 10 or piece[-1] == 13:
        return False
    for start in range(0, len(piece), _BLOCK):
        block = piece[start : start + _BLOCK + 1]
        if block.translate(_IS_CR)[:-1] != block.translate(_IS_LF)[1:]:
            return False
    return True


def _undecided(buffer: bytes) -> int:
    """How many octets at the end of `buffer` could be the beginning of the end."""
    if buffer[-1] not in b"\r\n.":
        return 0
    for length in (4, 3, 2, 1):
        if buffer.endswith(_END[:length]):
            return length
    return 0


def stuff(data: bytes, at_line_start: bool) -> bytes:
    """`data` with each dot at the beginning of a line doubled (RFC 5321 §4.5.2); its lines end in CRLF."""
    stuffed = data.replace(b"\r\n.", b"\r\n..") if _DOT.search(data) else data
    return b"." + stuffed if at_line_start and stuffed.startswith(b".") else stuffed


class DotStuffer:
    """Writes the data of one message, in whatever pieces it comes. No IO.

    What leaves holds no bare CR or LF, whatever came in: each becomes CRLF. (Whoever signs a message has made its
    lines end in CRLF before; this is the last gate, not the place to repair.)
    """

    __slots__ = ("_at_line_start", "_carriage_return")

    def __init__(self) -> None:
        self._at_line_start = True
        self._carriage_return = False  # the last octet fed was a CR: undecided

    def feed(self, data: bytes) -> bytes:
        """The bytes to send for `data`."""
        if not data:
            return b""
        if self._carriage_return:
            data = b"\r" + data
        self._carriage_return = data.endswith(b"\r")
        if self._carriage_return:
            data = data[:-1]
            if not data:
                return b""
        if not _is_paired(data):
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        stuffed = stuff(data, self._at_line_start)
        self._at_line_start = data.endswith(b"\n")
        return stuffed

    def feed_verbatim(self, data: bytes) -> bytes:
        """The same for data of which DataReader said that it is verbatim: nothing needs to be looked for."""
        if self._carriage_return or not self._at_line_start:
            return self.feed(data)
        return data

    def finish(self) -> bytes:
        """The end: the CRLF that the last line may lack, and the final dot."""
        if self._carriage_return or not self._at_line_start:
            return _END
        return _END[2:]  # RFC 5321 §4.1.1.4: no second CRLF, it would be part of the message
