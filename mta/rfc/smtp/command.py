"""One command line: RFC 5321 §4.1.1, with UTF-8 in arguments as RFC 6531 §3.3 allows."""

from __future__ import annotations

import re

from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.rfc.smtp.address import AddressError, ascii_domain

MAX_COMMAND = 1000  # octets with CRLF; RFC 5321 §4.5.3.1.4 asks for 512 and lets extensions add to it
MAX_HELO = 255

_VERB = re.compile(rb"[A-Za-z][A-Za-z0-9]*+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class CommandError(ValueError):
    """A line that is no command; `reply` is what the peer hears, the text is for our log."""

    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply


@frozen
class Command:
    """`verb` is in upper case; `argument` is what followed the space, without white space at its end."""

    verb: str
    argument: str


def parse_command(line: bytes, limit: int = MAX_COMMAND) -> Command:
    """The command in `line`, which may carry its CRLF; `limit` counts it. Raises CommandError."""
    text = line[:-2] if line.endswith(b"\r\n") else line
    if len(text) + 2 > limit:
        raise CommandError(Reply(500, "5.5.6", ("Line too long",)), f"a command line of {len(text) + 2} octets")
    if _CONTROL.search(text) is not None:
        raise _syntax("a control character, or a bare CR or LF, in a command")
    match = _VERB.match(text)
    if match is None:
        raise _syntax(f"a command begins with a word, saw {text[:40]!r}")
    end = match.end()
    if text[end : end + 1] not in (b"", b" ", b"\t"):
        raise _syntax(f"a space must follow the verb, saw {text[: end + 20]!r}")
    try:
        argument = text[end:].decode("utf-8")
    except UnicodeDecodeError:
        raise _syntax("octets beyond ASCII that are not UTF-8 in a command") from None
    # RFC 5321 §2.4: verbs are known in any case; §4.1.1: trailing white space is tolerated
    return Command(match[0].decode("ascii").upper(), argument.strip(" \t"))


def path_of(argument: str, keyword: str) -> str:
    """What follows `FROM:` or `TO:` (`keyword`, in upper case with its colon). Raises CommandError.

    The space that some clients put behind the colon is forgiven, as everyone does.
    """
    if argument[: len(keyword)].upper() != keyword:
        reply = Reply(501, "5.5.4", (f"Syntax error, expected {keyword}<address>",))
        raise CommandError(reply, f"expected {keyword}, saw {argument[:40]!r}")
    return argument[len(keyword) :].lstrip(" ")


def valid_helo(text: str) -> bool:
    """Whether the argument of HELO or EHLO is a domain or an address literal (RFC 5321 §4.1.1.1).

    Underscores and a final dot are let pass: many honest machines are called so. A bare IP address is neither.
    """
    if not text.isascii() or len(text) > MAX_HELO:
        return False
    try:
        ascii_domain(text if text.startswith("[") else text.removesuffix("."))
    except AddressError:
        return False
    return True


def _syntax(reason: str) -> CommandError:
    return CommandError(Reply(500, "5.5.2", ("Syntax error, command unrecognized",)), reason)
