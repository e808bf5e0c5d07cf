"""The states of an SMTP server, as tables: what a command leads to or is told, and what a decision leads to.

```
START → [PROXY →] [FIRST_TLS →] GREETING → HELLO → IDLE → ASKED_MAIL → MAIL → ASKED_FIRST → RCPT ⇄ ASKED_RCPT
                                             ↑ TLS ← STARTTLS                                │
                                            IDLE ← ASKED_MESSAGE ← CONTENT ← DATA ───────────┤
                                                        ↑ CHUNK ⇄ CHUNKS   ← BDAT ───────────┘
EHLO, HELO, RSET → IDLE      any → CLOSED      a BDAT out of order → SKIP → back
```
"""

from __future__ import annotations

from enum import Enum

from mta.model.reply import Reply
from mta.rfc.smtp.server_replies import CHUNKS_BEGUN, HELO_FIRST, MAIL_FIRST, NESTED, NO_RECIPIENTS, NOT_OFFERED


class State(Enum):
    """What the server waits for: octets of the client, or (ASKED, GREETING, TLS) whoever runs it."""

    __hash__ = object.__hash__  # each is one object: Enum's own hash, of the name, is computed anew for every look-up

    START = "start"
    PROXY = "proxy"  # the balancer's header comes first
    FIRST_TLS = "first-tls"  # implicit TLS: the handshake comes before the greeting
    GREETING = "greeting"  # whether the client is welcome is being decided
    HELLO = "hello"  # greeted; EHLO or HELO is to come
    TLS = "tls"  # 220 was said to STARTTLS: the next octets belong to the handshake
    IDLE = "idle"  # no transaction
    ASKED_MAIL = "asked-mail"
    MAIL = "mail"  # a transaction without recipient
    ASKED_FIRST = "asked-first"  # about a recipient, while there is none
    ASKED_RCPT = "asked-rcpt"  # about a further one
    RCPT = "rcpt"  # a transaction with at least one recipient
    CONTENT = "content"  # 354 was said
    CHUNK = "chunk"  # the octets of a BDAT come
    CHUNKS = "chunks"  # a BDAT was taken, and it was not the last
    SKIP = "skip"  # the octets of a BDAT come that is refused
    ASKED_MESSAGE = "asked-message"
    CLOSED = "closed"


def _commands(here: State, rset: State, **mail: State | Reply) -> dict[str, State | Reply]:
    """What may be said where `here` is the state; the transaction's own commands as given, the others everywhere."""
    return {
        "EHLO": State.IDLE,  # RFC 5321 §4.1.4: at any time, and as RSET
        "HELO": State.IDLE,
        "STARTTLS": State.TLS,
        "RSET": rset,
        "NOOP": here,
        "HELP": here,
        "VRFY": here,
        "EXPN": NOT_OFFERED,
        "AUTH": NOT_OFFERED,  # a peer is identified by network or certificate
        "QUIT": State.CLOSED,
        **mail,
    }


# What each command leads to, or the reply of one that comes out of order (RFC 5321 §4.1.4).
ON_COMMAND: dict[State, dict[str, State | Reply]] = {
    State.HELLO: _commands(
        State.HELLO, rset=State.HELLO, MAIL=HELO_FIRST, RCPT=MAIL_FIRST, DATA=MAIL_FIRST, BDAT=MAIL_FIRST
    ),
    State.IDLE: _commands(
        State.IDLE, rset=State.IDLE, MAIL=State.ASKED_MAIL, RCPT=MAIL_FIRST, DATA=MAIL_FIRST, BDAT=MAIL_FIRST
    ),
    State.MAIL: _commands(
        State.MAIL, rset=State.IDLE, MAIL=NESTED, RCPT=State.ASKED_FIRST, DATA=NO_RECIPIENTS, BDAT=NO_RECIPIENTS
    ),
    State.RCPT: _commands(
        State.RCPT, rset=State.IDLE, MAIL=NESTED, RCPT=State.ASKED_RCPT, DATA=State.CONTENT, BDAT=State.CHUNK
    ),
    # RFC 3030 §2: DATA and BDAT cannot be mixed in one transaction
    State.CHUNKS: _commands(
        State.CHUNKS, rset=State.IDLE, MAIL=NESTED, RCPT=CHUNKS_BEGUN, DATA=CHUNKS_BEGUN, BDAT=State.CHUNK
    ),
}

# Where a decision leads: a yes (2yz), a no.
ON_ANSWER: dict[State, tuple[State, State]] = {
    State.ASKED_MAIL: (State.MAIL, State.IDLE),
    State.ASKED_FIRST: (State.RCPT, State.MAIL),
    State.ASKED_RCPT: (State.RCPT, State.RCPT),
    State.ASKED_MESSAGE: (State.IDLE, State.IDLE),  # RFC 5321 §4.1.1.4: the buffers are cleared, whatever the reply
}

# Where a handshake leads. RFC 3207 §4.2: after STARTTLS the client says EHLO again.
ON_TLS: dict[State, State] = {State.FIRST_TLS: State.GREETING, State.TLS: State.HELLO}

NO_ARGUMENT = frozenset({"STARTTLS", "DATA", "RSET", "QUIT"})
LAST_OF_GROUP = frozenset({"EHLO", "HELO", "STARTTLS", "DATA"})  # RFC 2920 §3.1: nothing may be sent behind them yet
