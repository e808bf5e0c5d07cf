"""Making other people's words safe for header fields and for lines of text."""

from __future__ import annotations

import re
from textwrap import TextWrapper

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FORBIDDEN = re.compile(r"[\r\n\0]")
_WORD = 900  # octets: a longer one is broken, so that no line reaches 998; an address is always shorter
_PIECE = 225  # characters, of at most four octets each
_COLUMNS = 76
_PEER_TEXT = 2000  # characters of a peer's words that are worth repeating


def printable(text: str) -> str:
    """`text` with every control character and lone surrogate shown as `?`."""
    return _UNSAFE.sub("?", text)


def plain_line(text: str) -> str:
    """Any text as one printable line: white space becomes single spaces, and an endless one is cut."""
    return printable(" ".join(text.split()))[:_PEER_TEXT]


def header_value(text: str) -> str:
    """`text` itself if it can be the value of a header field. Raises ValueError for CR, LF or NUL in it."""
    if match := _FORBIDDEN.search(text):
        raise ValueError(f"a header field must be one line of text, but holds {match[0]!r}: {text[:80]!r}")
    return text


def address_value(text: str) -> str:
    """An address that can stand between angle brackets. Raises ValueError."""
    if not text or printable(text) != text:
        raise ValueError(f"an address in a report must be printable, not {text!r}")
    return text


def fold(name: str, value: str) -> bytes:
    """`name: value` as a field of lines of at most 78 columns where it has spaces, and never above 998 octets."""
    start = f"{name}:"
    lines = [start]
    for word in _words(value):
        if len(lines[-1]) + 1 + len(word) <= _COLUMNS or lines[-1] == start:
            lines[-1] += f" {word}"
        elif word:
            lines.append(f"\t{word}")
    return "\r\n".join(line.rstrip(" ") for line in lines).encode("utf-8", "replace") + b"\r\n"


def wrap(text: str, indent: str) -> str:
    """A paragraph of readable lines, each ending in CRLF; made safe first."""
    wrapper = TextWrapper(
        _COLUMNS, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    lines = wrapper.wrap(" ".join(_words(plain_line(text))))
    return "".join(f"{line}\r\n" for line in lines)


def _words(text: str) -> list[str]:
    """The words of `text`, endless ones in pieces."""
    words = text.split(" ")
    if all(len(word) <= _PIECE for word in words):
        return words
    return [piece for word in words for piece in _pieces(word)]


def _pieces(word: str) -> list[str]:
    if len(word.encode("utf-8", "replace")) <= _WORD:
        return [word]
    return [word[start : start + _PIECE] for start in range(0, len(word), _PIECE)]
