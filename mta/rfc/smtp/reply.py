"""Replies of a next hop, read piece by piece and within bounds (RFC 5321 §4.2, RFC 2034, RFC 3463).

Strict where it matters: a line begins with a three-digit code of class 2 to 5, then space, hyphen or nothing, and all
lines of a reply agree in their code. Lenient where nothing can come of it: a line may end in a bare LF, and may be
longer than the 512 octets of RFC 5321 §4.5.3.1.5, up to 2048. A reply ends nothing but itself, so neither can be used
to smuggle anything; control characters in its text are replaced before anyone logs it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mta.errors import RemoteProtocolError
from mta.model.reply import Reply

MAX_LINE = 2048  # octets with CRLF
MAX_LINES = 256
MAX_REPLY = 65_536  # octets
_REMEMBERED_LINE = 120  # octets

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)
# RFC 3463 §2: class "." subject "." detail, one to three digits each
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: +|\Z)")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class ReplyReader:
    """Turns bytes into replies. After garbage it is broken for good: `error` says why."""

    __slots__ = ("_buffer", "_code", "_lines", "_octets", "error")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = b""
        self._lines: list[bytes] = []
        self._octets = 0
        self.error: RemoteProtocolError | None = None

    @property
    def pending(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes.

        Garbage raises RemoteProtocolError. Where complete replies stand before it they are returned first, `error`
        is set, and the next call raises: a 250 for a message must not be lost to what the peer says after it.
        """
        if self.error:
            raise self.error
        replies: list[Reply] = []
        try:
            self._read(data, replies)
        except RemoteProtocolError as error:
            self.error = error
            if not replies:
                raise
        return replies

    def _read(self, data: bytes, replies: list[Reply]) -> None:
        *lines, rest = (self._buffer + data).split(b"\n")
        self._buffer = rest
        for line in lines:
            reply = self._line(line)
            if reply is not None:
                replies.append(reply)
        if len(rest) >= MAX_LINE:
            raise RemoteProtocolError(f"a reply line is longer than {MAX_LINE} octets: {show(rest[:60])}")

    def _line(self, line: bytes) -> Reply | None:
        if not self._lines and len(line) < _REMEMBERED_LINE and line[3:4] == b" ":
            cached = _single_line(line)
            if cached is not None:
                return cached
        if len(line) >= MAX_LINE:
            raise RemoteProtocolError(f"a reply line is longer than {MAX_LINE} octets: {show(line[:60])}")
        match = _LINE.match(line[:-1] if line.endswith(b"\r") else line)
        if match is None:
            raise RemoteProtocolError(f"expected a reply (three digits and a text), got {show(line[:60])}")
        code, separator, text = match.groups()
        self._take(code, text or b"", len(line) + 1)
        return None if separator == b"-" else self._finish()

    def _take(self, code: bytes, text: bytes, octets: int) -> None:
        if self._lines and code != self._code:  # RFC 5321 §4.2.1: the code of each line must be the same
            raise RemoteProtocolError(f"the lines of one reply disagree: {show(self._code)} and then {show(code)}")
        self._code = code
        self._lines.append(text)
        self._octets += octets
        if len(self._lines) > MAX_LINES or self._octets > MAX_REPLY:
            raise RemoteProtocolError(f"a reply is longer than {MAX_LINES} lines or {MAX_REPLY} octets")

    def _finish(self) -> Reply:
        reply = make_reply(int(self._code), self._lines)
        self._lines = []
        self._octets = 0
        return reply


@lru_cache(maxsize=512)
def _single_line(line: bytes) -> Reply | None:
    """A whole reply in one line, remembered: hops say the same few things; None if it needs a closer look."""
    match = _LINE.match(line.removesuffix(b"\r"))
    return make_reply(int(match[1]), [match[3] or b""]) if match else None


def make_reply(code: int, lines: list[bytes]) -> Reply:
    """The reply of one code with these lines (codes and line ends already gone)."""
    texts = [clean(line) for line in lines]
    match = _ENHANCED.match(texts[0])
    # RFC 2034 §4: the class of the enhanced code is the first digit of the reply's; anything else is mere text
    if match is None or int(match[1]) != code // 100:
        return Reply(code, "", tuple(texts))
    enhanced = f"{match[1]}.{int(match[2])}.{int(match[3])}"
    mark = match[0].rstrip(" ")
    return Reply(code, enhanced, tuple(_without(text, mark) for text in texts))


def _without(text: str, mark: str) -> str:
    """The text of a line that repeats the enhanced code (RFC 2034 §4), or does not."""
    if text == mark:
        return ""
    return text[len(mark) :].lstrip(" ") if text.startswith(mark + " ") else text


def clean(text: bytes) -> str:
    """Text of a peer, fit for a log line: UTF-8 with replacement, no control characters, no end of line."""
    if text.isascii() and text.decode("ascii").isprintable():
        return text.decode("ascii")
    return _CONTROLS.sub("�", text.decode("utf-8", "replace"))


def show(octets: bytes) -> str:
    """Octets of a peer, quoted for an error text."""
    return repr(clean(octets))
