"""Reads the From of a message, strictly: RFC 5322 §3.4 and §3.6.2, with the groups of RFC 6854.

Decisions rest on this, so it understands what the standard allows (comments, quoted strings, folding, dots in
display names) and calls everything else an error instead of guessing. Encoded words stay what they are in a display
name; in an address they must not stand, and some readers decode them to another one: an error as well.

The common shapes are read by one regular expression; `slow=True` takes the long way, to the same result.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from mta.model.address import Mailbox
from mta.model.author import FromField
from mta.model.message import HeaderBlock
from mta.rfc.mime.header import unfold
from mta.rfc.smtp.address import AddressError, ascii_domain, is_unprintable

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_UTEXT = _ATEXT + r"\x80-\U0010ffff"  # RFC 6532 §3.2; lone octets that are no UTF-8 are surrogates here

_DOT_ATOM = rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*"
_SITE = r"[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*"
_COMMON = re.compile(
    rf'[ \t]*+(?:({_DOT_ATOM})@({_SITE})|(?:"[^"\\\x00-\x08\x0a-\x1f\x7f-\xff]*+"|[{_ATEXT}][{_ATEXT}. \t]*+)?'
    rf"[ \t]*+<({_DOT_ATOM})@({_SITE})>)[ \t]*+".encode("ascii", "backslashreplace")
)

_ATOM, _QUOTED, _LITERAL = "atom", "quoted", "literal"
_TOKEN = re.compile(
    rf"(?P<atom>[{_UTEXT}]++(?:\.[{_UTEXT}]++)*)"
    r'|(?P<quoted>"[^"\\]*+(?:\\.[^"\\]*+)*")'
    r"|(?P<literal>\[[^\[\]\\]*+\])"
    r"|(?P<special>[<>@,:;.])"
    r"|(?P<space>[ \t]++)"
)
_COMMENT_MARK = re.compile(r"\\.|[()]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_JOINERS = "\u200c\u200d"  # some scripts are written with them
_END = ("end", "")

Token = tuple[str, str]


class _FromError(ValueError):
    """What was not as RFC 5322 wants it."""


def parse_from(block: HeaderBlock, limit: int, *, slow: bool = False) -> FromField:
    """Who the message says it is from; `limit` bounds the tokens (words, signs, comments) of all From fields.

    Never raises: what cannot be read is in `error`. A From that names nobody (an empty group) is an error as well;
    a message without any From has a `count` of 0 and no error.
    """
    values = block.values(b"from")
    if len(values) == 1 and not slow and b"from" not in block.extended:
        match = _COMMON.fullmatch(unfold(values[0]))
        author = _common_author(match) if match and limit >= len(values[0]) else None
        if author is not None:
            return FromField((author,), 1)
    reading = _Reading(limit)
    error = "a line behind the From is a part of it to some readers" if b"from" in block.extended else ""
    for value in values:
        try:
            reading.read(value)
        except (_FromError, AddressError) as problem:
            error = error or str(problem)
        if reading.left < 0:
            break
    return FromField(tuple(reading.authors), len(values), error)


def _common_author(match: re.Match[bytes]) -> Mailbox | None:
    local, domain = (match[1], match[2]) if match[1] else (match[3], match[4])
    if b"=?" in local:
        return None
    try:
        spelled = domain.decode("ascii")
        return Mailbox(local.decode("ascii"), spelled, ascii_domain(spelled))
    except AddressError:
        return None


@dataclass(slots=True)
class _Reading:
    """Reads fields one after the other; what was found before an error stays in `authors`.

    `left` is how many tokens may still come, in whatever field.
    """

    limit: int
    left: int = field(init=False)
    authors: list[Mailbox] = field(default_factory=list)
    _tokens: Iterator[Token] = field(default_factory=lambda: iter(()))
    _seen: Token = _END

    def __post_init__(self) -> None:
        self.left = self.limit

    def read(self, value: bytes) -> None:
        text = unfold(value).decode("utf-8", "surrogateescape")
        control = _CONTROL.search(text)
        if control is not None:
            raise _FromError(f"a control character, U+{ord(control[0]):04X}, in the From")
        before = len(self.authors)
        self._tokens = self._tokenize(text)
        self._advance()
        self._list(in_group=False)
        if len(self.authors) == before:
            raise _FromError("the From names nobody")

    def _tokenize(self, text: str) -> Iterator[Token]:
        position, length = 0, len(text)
        while position < length:
            if text[position] == "(":
                position = _skip_comment(text, position)
                kind = ""
            else:
                match = _TOKEN.match(text, position)
                if match is None:
                    raise _FromError(f"{text[position]!r} cannot stand at octet {position} of the From")
                position, kind = match.end(), match.lastgroup or ""
            if kind == "space":
                continue
            self.left -= 1
            if self.left < 0:
                raise _FromError(f"the From has more than {self.limit} words and signs")
            if kind:
                assert match is not None
                yield (match[0] if kind == "special" else kind), match[0]

    def _advance(self) -> Token:
        """The token in view; the next one comes into view."""
        token, self._seen = self._seen, next(self._tokens, _END)
        return token

    def _list(self, *, in_group: bool) -> None:
        """RFC 5322 §3.4: mailbox-list, or RFC 6854 §2.1: address-list; up to the end or a group's semicolon."""
        closing = ";" if in_group else "end"
        if in_group and self._seen[0] == closing:
            return  # a group may be empty
        while True:
            self._address(in_group)
            if self._seen[0] == closing:
                return
            if self._seen[0] != ",":
                raise _FromError(f"expected a comma or the end, saw {_show(self._seen)}")
            self._advance()

    def _address(self, in_group: bool) -> None:
        words = self._words()
        sign = self._seen[0]
        if sign == "@" and len(words) == 1 and words[0][0] != ".":
            self._add_spec(words[0][1])
        elif sign == "<" and (not words or words[0][0] != "."):
            self._advance()
            local = self._advance()
            if local[0] not in (_ATOM, _QUOTED) or self._seen[0] != "@":
                raise _FromError(f"expected an address between < and >, saw {_show(local)}")
            self._add_spec(local[1])
            if self._advance()[0] != ">":
                raise _FromError("expected > behind an address")
        elif sign == ":" and not in_group and words and words[0][0] != ".":
            self._advance()
            self._list(in_group=True)
            self._advance()
        else:
            raise _FromError(f"expected an address, saw {_show(self._seen)}")

    def _words(self) -> list[Token]:
        """RFC 5322 §3.2.5 and §4.1: a phrase may hold dots, though not begin with one."""
        words: list[Token] = []
        while self._seen[0] in (_ATOM, _QUOTED, "."):
            words.append(self._advance())
        return words

    def _add_spec(self, local: str) -> None:
        """The rest of an addr-spec whose `@` is in view."""
        self._advance()
        kind, domain = self._advance()
        if kind not in (_ATOM, _LITERAL):
            raise _FromError(f"expected a domain behind @, saw {_show((kind, domain))}")
        if "=?" in local and "?=" in local:
            raise _FromError("an address in the From holds an encoded word")
        if "\t" in local or (not (local + domain).isascii() and any(map(_is_unseen, local + domain))):
            raise _FromError("an address in the From holds a character that is not printable text")
        self.authors.append(Mailbox(local, domain, ascii_domain(domain)))


def _is_unseen(character: str) -> bool:
    """Whether some readers end an address there: what is not printable, and what has no width, but the joiners."""
    return is_unprintable(character) or (unicodedata.category(character) == "Cf" and character not in _JOINERS)


def _skip_comment(text: str, position: int) -> int:
    """Where the comment that begins at `position` ends (RFC 5322 §3.2.2: comments nest)."""
    depth = 0
    for match in _COMMENT_MARK.finditer(text, position):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if not depth:
                return match.end()
    raise _FromError(f"the comment at octet {position} of the From has no end")


def _show(token: Token) -> str:
    return "the end" if token == _END else repr(token[1][:40])
