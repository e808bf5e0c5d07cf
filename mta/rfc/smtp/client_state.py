"""The states of an SMTP client, as tables: which command may be said when, and what a reply leads to.

```
GREETING → HELLO → EHLO (→ HELO) → IDLE ⇄ AUTH…, RSET
                    ↑               │
                    └── TLS ← STARTTLS
IDLE → [RSET →] MAIL → RCPT… → DATA → CONTENT → FINAL → IDLE
                                └→ DISCARD → IDLE     (every RCPT was refused, and yet 354)
any  → CLOSED                   (421, QUIT, or the protocol was broken)
```
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """What the client waits for; HELLO, IDLE, REFUSED and TLS wait for us."""

    __hash__ = object.__hash__  # each is one object: Enum's own hash, of the name, is computed anew for every look-up

    GREETING = "greeting"
    REFUSED = "refused"  # the greeting was not 220: nothing may follow but QUIT (RFC 5321 §3.1)
    HELLO = "hello"  # EHLO is to be said
    EHLO = "ehlo"
    HELO = "helo"
    IDLE = "idle"  # no transaction, no reply outstanding
    STARTTLS = "starttls"
    TLS = "tls"  # 220 was said: the next octets belong to the handshake
    AUTH = "auth"
    AUTH_USER = "auth-user"  # LOGIN: the prompt for the user
    AUTH_PASSWORD = "auth-password"  # noqa: S105 - LOGIN: the prompt, no password
    AUTH_BEARER = "auth-bearer"  # a token: it is waited for
    AUTH_TOKEN = "auth-token"  # noqa: S105 - the token was sent
    AUTH_SORRY = "auth-sorry"  # it was not taken: the host says why, and we end the exchange
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # 354 was said: content is being sent
    DISCARD = "discard"  # a lone dot was sent for a message that has no recipient
    FINAL = "final"  # the final dot was sent
    RSET = "rset"
    QUIT = "quit"
    CLOSED = "closed"


# The states in which each command may be said.
MAY_SAY: dict[str, frozenset[State]] = {
    "EHLO": frozenset({State.HELLO, State.IDLE}),
    "HELO": frozenset({State.HELLO, State.IDLE}),
    "STARTTLS": frozenset({State.IDLE}),
    "AUTH": frozenset({State.IDLE}),
    "MAIL": frozenset({State.IDLE}),
    "RSET": frozenset({State.IDLE}),
    "QUIT": frozenset({State.REFUSED, State.HELLO, State.IDLE}),
    "content": frozenset({State.CONTENT}),
}

# Where a reply leads, by its first digit. A digit that is not here breaks the protocol; STEP means that the
# transaction's own order decides (client.py), and 421 closes from anywhere.
STEP = None
ON_REPLY: dict[State, dict[int, State | None]] = {
    State.GREETING: {2: State.HELLO, 4: State.REFUSED, 5: State.REFUSED},
    State.EHLO: {2: State.IDLE, 4: State.HELLO, 5: State.HELLO},
    State.HELO: {2: State.IDLE, 4: State.HELLO, 5: State.HELLO},
    State.STARTTLS: {2: State.TLS, 4: State.IDLE, 5: State.IDLE},
    State.AUTH: {2: State.IDLE, 4: State.IDLE, 5: State.IDLE},
    State.AUTH_USER: {3: State.AUTH_PASSWORD, 4: State.IDLE, 5: State.IDLE},
    State.AUTH_PASSWORD: {3: State.AUTH, 4: State.IDLE, 5: State.IDLE},
    State.AUTH_BEARER: {3: State.AUTH_TOKEN, 4: State.IDLE, 5: State.IDLE},
    State.AUTH_TOKEN: {2: State.IDLE, 3: State.AUTH_SORRY, 4: State.IDLE, 5: State.IDLE},
    State.AUTH_SORRY: {4: State.IDLE, 5: State.IDLE},
    State.MAIL: {2: STEP, 4: STEP, 5: STEP},
    State.RCPT: {2: STEP, 4: STEP, 5: STEP},
    State.DATA: {3: STEP, 4: STEP, 5: STEP},
    State.CONTENT: {4: State.CLOSED, 5: State.CLOSED},  # an early answer: what is left of the content is not wanted
    State.DISCARD: {2: STEP, 4: STEP, 5: STEP},
    State.FINAL: {2: STEP, 4: STEP, 5: STEP},
    State.RSET: {2: STEP},
    State.QUIT: {2: State.CLOSED, 4: State.CLOSED, 5: State.CLOSED},
}

# The name of each wait, by which the caller picks a timeout (RFC 5321 §4.5.3.2).
PHASES: dict[State, str] = {
    State.GREETING: "greeting",
    State.EHLO: "helo",
    State.HELO: "helo",
    State.STARTTLS: "command",
    State.AUTH: "command",
    State.AUTH_USER: "command",
    State.AUTH_PASSWORD: "command",
    State.AUTH_BEARER: "command",
    State.AUTH_TOKEN: "command",
    State.AUTH_SORRY: "command",
    State.RSET: "command",
    State.MAIL: "mail",
    State.RCPT: "rcpt",
    State.DATA: "data_init",
    State.CONTENT: "data_block",
    State.DISCARD: "data_final",
    State.FINAL: "data_final",
    State.QUIT: "quit",
}
