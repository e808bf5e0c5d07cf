"""The macros of SPF records: RFC 7208 §7. A string is taken apart once and expanded for each message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

from mta.model.address import ascii_lower

MAX_NAME = 253  # octets of a domain name as text

_MACRO = re.compile(r"%(?:\{([slodiphvcrt])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_\-]))", re.IGNORECASE)
_LITERAL = re.compile(r"[\x21-\x24\x26-\x7e]*+")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_ONLY_IN_EXPLANATION = frozenset("crt")


class MacroError(ValueError):
    """A string that RFC 7208 §7.1 does not allow; says what was seen."""


@dataclass(frozen=True, slots=True)
class Macro:
    """One `%{...}`: the last `keep` parts (0: all of them) between any of `delimiters`, joined by dots."""

    letter: str  # in lower case
    keep: int = 0
    reverse: bool = False
    delimiters: str = "."
    escape: bool = False  # an upper case letter: URL escaping


@dataclass(frozen=True, slots=True)
class MacroString:
    """A string with macros, taken apart. `letters`: which macros are in it."""

    parts: tuple[str | Macro, ...]
    letters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MacroContext:
    """What the letters stand for. `client` is never an IPv4-mapped IPv6 address; `now` is in epoch seconds.

    `local` and `sender_domain` are those of the sender, `domain` the one whose record is evaluated.
    """

    local: str
    sender_domain: str
    domain: str
    client: IPv4Address | IPv6Address
    helo: str = ""
    receiver: str = ""
    validated_name: str = "unknown"
    now: float = 0.0

    def value(self, letter: str) -> str:
        """RFC 7208 §7.2: what one letter stands for."""
        match letter:
            case "s":
                return f"{self.local}@{self.sender_domain}"
            case "l":
                return self.local
            case "o":
                return self.sender_domain
            case "d":
                return self.domain
            case "i":
                return _dotted(self.client)
            case "p":
                return self.validated_name
            case "v":
                return "in-addr" if self.client.version == 4 else "ip6"
            case "h":
                return self.helo
            case "c":
                return str(self.client)
            case "r":
                return self.receiver or "unknown"
            case _:
                return str(int(self.now))


def parse_macro_string(text: str, *, explanation: bool = False) -> MacroString:
    """Take `text` apart; spaces and the letters c, r and t belong into explanations only. Raises MacroError."""
    parts: list[str | Macro] = []
    literal = ""
    for index, piece in enumerate(text.split(" ")):
        if index and not explanation:
            raise MacroError("a space within a name")
        literal += " " if index else ""
        at = 0
        while at < len(piece):
            end = _literal_end(piece, at)
            if end > at:
                literal, at = literal + piece[at:end], end
                continue
            match = _MACRO.match(piece, at)
            if match is None:
                raise MacroError(f"{piece[at : at + 12]!r} is neither text nor a macro")
            at = match.end()
            if match[5]:
                literal += _ESCAPES[match[5]]
                continue
            macro = _macro(match, explanation)
            parts += [literal, macro] if literal else [macro]
            literal = ""
    if literal:
        parts.append(literal)
    return MacroString(tuple(parts), frozenset(part.letter for part in parts if isinstance(part, Macro)))


def parse_domain_spec(text: str) -> MacroString:
    """A domain-spec of RFC 7208 §7.1: ends in a macro, or in a dot and a top label. Raises MacroError."""
    spec = parse_macro_string(text)
    if not (_ends_in_macro(text) or _ends_in_top_label(text)):
        raise MacroError(f"{_short(text)!r} is no domain name")
    return spec


def expand(string: MacroString, context: MacroContext) -> str:
    """The string with its macros replaced (RFC 7208 §7.3)."""
    return "".join(part if isinstance(part, str) else _expand_one(part, context) for part in string.parts)


def expand_name(spec: MacroString, context: MacroContext) -> str:
    """The domain that `spec` names now: lower case, no final dot, and cut from the left to 253 octets."""
    name = ascii_lower(expand(spec, context)).removesuffix(".")
    # RFC 7208 §7.3: labels go from the left until the name fits
    while len(name) > MAX_NAME:
        _, dot, rest = name.partition(".")
        if not dot:
            return name  # one endless label: no name that DNS could hold
        name = rest
    return name


def is_domain_name(name: str) -> bool:
    """Whether DNS could hold it: labels of 1 to 63 octets, 253 in all (RFC 7208 §4.3, RFC 1035 §2.3.4)."""
    return (
        0 < len(name) <= MAX_NAME
        and name.isascii()
        and name.isprintable()
        and "\\" not in name
        and all(0 < len(label) <= 63 for label in name.split("."))
    )


def _literal_end(piece: str, at: int) -> int:
    match = _LITERAL.match(piece, at)
    return match.end() if match else at


def _macro(match: re.Match[str], explanation: bool) -> Macro:
    letter = match[1].lower()
    if letter in _ONLY_IN_EXPLANATION and not explanation:
        raise MacroError(f"%{{{letter}}} stands outside an explanation")  # RFC 7208 §7.2
    if match[2] and not 0 < len(match[2].lstrip("0")) <= 9:
        raise MacroError(f"{_short(match[0])!r} keeps no part")  # RFC 7208 §7.1: the number is not zero
    return Macro(letter, int(match[2] or 0), bool(match[3]), match[4] or ".", match[1].isupper())


def _ends_in_macro(text: str) -> bool:
    if text.endswith("}"):
        return "%{" in text  # that every % is a macro is known already
    return len(text) >= 2 and text[-1] in _ESCAPES and _count_back(text, len(text) - 1) % 2 == 1


def _count_back(text: str, end: int) -> int:
    """How many percent signs stand together just before `end`: an odd number is the beginning of an escape."""
    return end - len(text[:end].rstrip("%"))


def _ends_in_top_label(text: str) -> bool:
    """RFC 7208 §7.1: letters and digits, not digits alone, hyphens within."""
    _, dot, label = text.removesuffix(".").rpartition(".")
    plain = label.replace("-", "")
    if not dot or not plain.isalnum() or not plain.isascii():
        return False
    return ("-" in label and label[0] != "-" and label[-1] != "-") or ("-" not in label and not label.isdigit())


def _expand_one(macro: Macro, context: MacroContext) -> str:
    value = context.value(macro.letter)
    if macro.keep or macro.reverse or macro.delimiters != ".":
        parts = re.split(f"[{re.escape(macro.delimiters)}]", value)
        if macro.reverse:
            parts.reverse()
        value = ".".join(parts[-macro.keep :])
    return quote(value, safe="-._~") if macro.escape else value


def _dotted(client: IPv4Address | IPv6Address) -> str:
    """RFC 7208 §7.3: an IPv6 address is its nibbles, each between dots."""
    return str(client) if client.version == 4 else ".".join(client.exploded.replace(":", "").upper())


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "..."
