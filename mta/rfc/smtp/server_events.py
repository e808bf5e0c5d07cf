"""What an SMTP server tells whoever moves its octets. Those with a * are answered before the next is due."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mta.model.envelope import Envelope, Recipient
from mta.model.frozen import frozen
from mta.model.reply import Reply


@dataclass(frozen=True, slots=True)
class Proxied:
    """The balancer has said who the client is; `source` is None where it speaks for itself."""

    source: IPv4Address | IPv6Address | None
    port: int


@dataclass(frozen=True, slots=True)
class Opened:
    """* The client is there: `greet()`, or `close()` with a refusal."""


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """* The next octets belong to the handshake: `tls_established()`. After STARTTLS a transaction is forgotten."""


@frozen
class Hello:
    """EHLO (`esmtp`) or HELO; a transaction is forgotten."""

    name: str
    esmtp: bool


@frozen
class Mail:
    """* MAIL, without fault: `answer()`."""

    envelope: Envelope


@frozen
class Rcpt:
    """* RCPT, without fault: `answer()`."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class ContentBegins:
    """354 was said to DATA, or the first BDAT has come: pieces follow, then the end, or what was wrong with them.

    Between the chunks of BDAT other commands may come; a transaction that is forgotten takes its content along.
    """


@frozen
class Piece:
    """Some of the content, dots unstuffed; maybe empty."""

    data: bytes


@frozen
class MessageComplete:
    """* The last of the content, which is without fault: `answer()`. `verbatim`: model/message.py, Content."""

    data: bytes
    verbatim: bool


@dataclass(frozen=True, slots=True)
class TransactionReset:
    """The transaction is forgotten: RSET, or its content had a fault."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command that changes nothing."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """The client was told an error of grammar, order or limits; `line` shows what it had said."""

    reply: Reply
    line: str


@dataclass(frozen=True, slots=True)
class Delay:
    """What is to be sent shall wait so many seconds: the client errs too often."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more is read: write what is left and close. `reason` is for our log, and empty after QUIT."""

    reason: str


ServerEvent = (
    Proxied
    | Opened
    | TlsWanted
    | Hello
    | Mail
    | Rcpt
    | ContentBegins
    | Piece
    | MessageComplete
    | TransactionReset
    | Answered
    | Mistake
    | Delay
    | Ended
)
