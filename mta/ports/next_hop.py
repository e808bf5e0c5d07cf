"""Connections to next hops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mta.model.envelope import Envelope
from mta.model.frozen import frozen
from mta.model.message import Content
from mta.model.reply import Reply
from mta.model.tls import TlsFacts

_LIMIT_DIGITS = 6  # RFC 9422 §3


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the next hop's EHLO said, keywords in upper case with their parameters; empty after HELO."""

    extensions: dict[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.extensions

    @property
    def size(self) -> int:
        """The announced SIZE limit (RFC 1870 §3); 0: none."""
        value = self.extensions.get("SIZE", "").strip()
        return int(value) if value.isascii() and value.isdigit() else 0

    def limit(self, name: str) -> int:
        """What LIMITS says of `name`, such as RCPTMAX (RFC 9422 §3); 0: nothing, or nothing that can be read."""
        for word in self.extensions.get("LIMITS", "").upper().split():
            key, _, value = word.partition("=")
            if key == name and value.isascii() and value.isdigit() and len(value) <= _LIMIT_DIGITS:
                return int(value)
        return 0


def always() -> bool:
    """Nothing is in the way."""
    return True


@frozen
class Transaction:
    """One mail transaction: the envelope for this hop (only its recipients) and the bytes that travel.

    `stands`: whether the contract it is made under is still in force, and the message still ours; asked before MAIL,
    before the content and before the final dot.
    """

    envelope: Envelope
    prefix: bytes
    content: Content
    stands: Callable[[], bool] = always


@frozen
class TransactionReplies:
    """The hop's replies. `recipients` is parallel to the envelope's; `data` is None where it was not reached.

    `mail`: to MAIL FROM; `data`: to DATA if it was refused, else to the final dot.
    """

    mail: Reply
    recipients: tuple[Reply, ...] = ()
    data: Reply | None = None
    unsaid: bool = False  # nothing was said to the hop: it cannot carry the message, `mail` is our own reply


class SmtpConnection(Protocol):
    """An open connection to a next hop. Raises ConnectFailed, TlsFailed or RemoteProtocolError when it breaks."""

    host: str
    port: int
    address: str
    local_address: str  # ours

    @property
    def capabilities(self) -> Capabilities:
        """Of the last EHLO."""
        ...

    @property
    def tls(self) -> TlsFacts | None:
        """Facts of the handshake, once there was one."""
        ...

    @property
    def usable(self) -> bool:
        """Whether it is still open and nothing unexpected has arrived."""
        ...

    async def greet(self, helo: str) -> Reply:
        """Read the greeting (the first time), say EHLO, HELO if that is refused; the decisive reply."""
        ...

    async def start_tls(self) -> Reply:
        """STARTTLS; after a 220 the handshake. Any other reply is returned and the connection stays clear."""
        ...

    async def authenticate(self, user: str, password: str) -> Reply:
        """AUTH PLAIN (RFC 4954), or LOGIN where only that is offered."""
        ...

    async def authenticate_bearer(self, user: str, token: str, mechanism: str) -> Reply:
        """AUTH XOAUTH2 or OAUTHBEARER; what the host says of a token it does not take stands in the reply."""
        ...

    async def transact(self, transaction: Transaction) -> TransactionReplies:
        """MAIL, RCPT…, DATA and the content; pipelined where offered. The connection may be used again after.

        Raises ContractChanged, and closes, where the transaction no longer `stands`.
        """
        ...

    async def probe_recipient(self, envelope: Envelope) -> tuple[Reply, Reply | None]:
        """MAIL and one RCPT, then RSET: what a call-out asks. The reply to MAIL, and to RCPT if it was sent."""
        ...

    async def quit(self) -> None:
        """QUIT and close; never raises."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


@frozen
class DialTarget:
    """Where to connect, and which TLS to speak there. Part of the pool's key, therefore hashable."""

    host: str
    port: int
    address: str
    sni: str = ""
    min_version: str = "1.2"
    certificate_chain: str = ""  # paths of the client certificate we present; empty: none
    certificate_key: str = ""
    certificate_pem: tuple[bytes, bytes] | None = field(default=None, repr=False)  # what stood there when it was judged
    implicit_tls: bool = False


class Dialer(Protocol):
    """Opens connections to next hops."""

    async def connect(self, target: DialTarget) -> SmtpConnection:
        """A TCP connection (and TLS at once where implicit). Raises ConnectFailed or TlsFailed."""
        ...
