"""One attempt to hand a message to a next hop, and what came of it for each recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from mta.model.frozen import frozen
from mta.model.message import NewForm, QueuedMessage
from mta.model.published import Published
from mta.model.reply import Reply
from mta.model.tls import TlsFacts
from mta.model.word import Word


class Scope(Enum):
    """Whom a failure concerns: the narrower it is, the fewer others it may delay."""

    SESSION = "session"  # this connection only: dropped, timed out
    HOST = "host"  # this host: refused the greeting, failed the TLS requirement
    DESTINATION = "destination"  # every host of the destination: no MX, null MX
    MESSAGE = "message"  # this message: too large, MAIL or DATA refused
    RECIPIENT = "recipient"  # one RCPT
    CONTRACT = "contract"  # our side: the connector is gone or cannot be applied until a person has looked


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was not as it must be. `reply` is the peer's, or ours in its place (`local`).

    What follows from it is decided by `scope`, `word` and the flags; `story` is for people.
    """

    scope: Scope
    word: Word
    story: str
    reply: Reply
    permanent: bool
    local: bool = False  # nobody said `reply` to us: a bounce must not quote it as the peer's
    ours: bool = False  # this machine lacked something: it says nothing of the destination

    @property
    def reason(self) -> str:
        """The word and the story, as logs and the trace show them."""
        return f"{self.word}: {self.story}"


@frozen
class HostAttempt:
    """One host that was tried. What is kept of it stands in `model/evidence/attempt.py`."""

    host: str
    port: int
    address: str = ""
    started: float = 0.0  # epoch seconds
    seconds: float = 0.0
    tls: TlsFacts | None = None
    requirement: str = ""  # e.g. `verified:mail.fabrikam.example`
    verdict: str = ""  # e.g. `tls=verified`, or why not
    revocation: str = ""  # what is known of the certificates on the path, leaf first, where it was asked
    failure: Failure | None = None
    reused: bool = False
    local_address: str = ""  # ours
    published: Published | None = None  # what DANE and MTA-STS said
    tls_given_up: Failure | None = None  # why TLS failed, where the level permits to go on in clear
    would: str = ""  # why a contract in audit mode would have let the mail wait


@frozen
class RecipientResult:
    """What the next hop said of one recipient: delivered if `failure` is None; `reply` is its last word.

    `host` is the place in `DeliveryResult.hosts` of who said it; -1: the last that was tried; None: no host had a say.
    """

    index: int
    reply: Reply
    failure: Failure | None = None
    host: int | None = -1
    dsn_passed: bool = False  # the hop takes over the duty to report (RFC 3461)


@frozen
class DeliveryResult:
    """All of one attempt: every host tried, every recipient's fate, and the signatures we broke before.

    `reached`: a host of the destination took up the conversation; False: none could be spoken to just now; None: that
    is not said.
    """

    hosts: tuple[HostAttempt, ...]
    recipients: tuple[RecipientResult, ...]
    broken: tuple[str, ...] = ()
    forms: tuple[NewForm, ...] = ()  # made for this attempt
    protection: tuple[tuple[tuple[int, ...], Mapping[str, object]], ...] = ()  # what S/MIME did, for which recipients
    reached: bool | None = None
    notices: tuple[QueuedMessage, ...] = ()  # of mail that went to the portal: they are queued with the fates
