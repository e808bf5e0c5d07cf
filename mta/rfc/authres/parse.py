"""Reads Authentication-Results fields: RFC 8601 §2.2, and finds those that claim to be ours (§5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mta.model.message import HeaderBlock, HeaderField

FIELD = b"authentication-results"
MAX_RESULTS = 100

_SPACE = re.compile(r"[ \t\r\n]*+")
_WITHIN_COMMENT = re.compile(r"[^()\\]*+(?:\\.[^()\\]*+)*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*)"', re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]++")  # RFC 2045 §5.1
_WORD = re.compile(r'[^\s()";=\\\x00-\x1f\x7f]++')  # a token, an address, or what sloppy writers leave without quotes
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NOISE = re.compile(r'[\s"\\\x00-\x1f\x7f]+')


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One `method=result`, in lower case, with its reason and its properties (`header.d` and the like)."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The value of a property, or an empty string."""
        return next((value for key, value in self.properties if key == name), "")


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """A field taken apart. `authserv_id` is in lower case."""

    authserv_id: str
    version: int
    results: tuple[MethodResult, ...]


def spans_to_remove(block: HeaderBlock, authserv_id: str) -> tuple[HeaderField, ...]:
    """The fields that bear our name though they came from outside (RFC 8601 §5): forged, and to be cut out.

    A field whose identifier cannot be read counts as well if ours stands anywhere in it: some reader may find it.
    """
    return tuple(
        field
        for field in block.fields
        if field.name == FIELD and is_ours(block.raw[field.value_start : field.end], authserv_id)
    )


def is_ours(value: bytes, authserv_id: str) -> bool:
    """Whether a field with this value claims to be written by `authserv_id`."""
    ours = authserv_id.lower().removesuffix(".")
    text = value.decode("latin-1")
    found = read_authserv_id(text)
    if found:
        return found.removesuffix(".") == ours
    return ours in _NOISE.sub("", text).lower()


def read_authserv_id(text: str) -> str:
    """The identifier in lower case, whatever follows it; empty if there is none to be read."""
    at = _skip(text, 0)
    if at is None:
        return ""
    quoted = _QUOTED.match(text, at)
    if quoted is not None:
        return _unquote(quoted[1]).strip(" \t\r\n").lower()
    token = _TOKEN.match(text, at)
    return token[0].lower() if token else ""


def parse_results(value: bytes) -> AuthenticationResults | None:
    """The whole field, or None if it does not follow the grammar (RFC 8601 §2.2)."""
    lexemes = _lexemes(value.decode("latin-1"))
    if lexemes is None:
        return None
    head, *parts = _split(lexemes)
    if not head or len(head) > 2 or len(parts) > MAX_RESULTS or head[0] == "=":
        return None
    version = head[1] if len(head) == 2 else "1"
    if not (version.isascii() and version.isdigit() and len(version) < 10) or not parts:
        return None
    authserv_id = _plain(head[0]).lower()
    if len(parts) == 1 and [word.lower() for word in parts[0]] == ["none"]:
        return AuthenticationResults(authserv_id, int(version), ())
    results = [_method_result(part) for part in parts if part or part is not parts[-1]]
    readable = tuple(result for result in results if result is not None)
    return AuthenticationResults(authserv_id, int(version), readable) if len(readable) == len(results) else None


def _method_result(words: list[str]) -> MethodResult | None:
    """`method=result [reason=value] {ptype.property=value}` from its lexemes."""
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        sign = at + 1
        name = words[at]
        while sign < len(words) and words[sign] != "=":  # space may stand around the dot of a property
            name += words[sign]
            sign += 1
        if sign + 1 >= len(words) or words[sign + 1] == "=" or name.startswith('"'):
            return None
        pairs.append((name.lower(), _plain(words[sign + 1])))
        at = sign + 2
    if not pairs:
        return None
    (method, result), rest = pairs[0], pairs[1:]
    reason = next((value for name, value in rest if name == "reason"), "")
    properties = tuple(pair for pair in rest if pair[0] != "reason")
    return MethodResult(method.split("/")[0], result.lower(), reason, properties)


def _split(lexemes: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for lexeme in lexemes:
        if lexeme == ";":
            parts.append([])
        else:
            parts[-1].append(lexeme)
    return parts


def _lexemes(text: str) -> list[str] | None:
    """Words, quoted strings (in their quotes), `=` and `;`; None if something else stands there."""
    lexemes: list[str] = []
    at = _skip(text, 0)
    while at is not None and at < len(text):
        match = _QUOTED.match(text, at) or _WORD.match(text, at)
        if match is None and text[at] not in "=;":
            return None
        end = match.end() if match else at + 1
        lexemes.append(text[at:end])
        at = _skip(text, end)
    return lexemes if at is not None else None


def _skip(text: str, at: int) -> int | None:
    """Past white space and comments (RFC 5322 §3.2.2: they nest); None if a comment does not end."""
    depth = 0
    while True:
        match = (_WITHIN_COMMENT if depth else _SPACE).match(text, at)
        at = match.end() if match else at
        sign = text[at : at + 1]
        if sign == "(":
            depth += 1
        elif depth and sign == ")":
            depth -= 1
        else:
            return None if depth else at
        at += 1


def _plain(lexeme: str) -> str:
    return _unquote(lexeme[1:-1]) if lexeme.startswith('"') else lexeme


def _unquote(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
