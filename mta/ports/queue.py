"""The durable queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.model.frozen import frozen
from mta.model.message import Content, NewForm, QueuedMessage


@frozen
class RecipientFate:
    """What settling writes for one recipient: its new state and why."""

    index: int
    state: str
    reason: str
    due: float = 0.0
    counted: bool = True  # this was an attempt
    warned: bool = False  # it was time for a delay warning: it goes out with this settlement, if one is wanted
    word: str = ""  # a Word; empty: none, of what was delivered for one


@frozen
class Event:
    """One line of a message's history. `detail` holds JSON types only; `recipients` are indices, empty: all."""

    at: float
    name: str  # observe/events.py
    detail: dict[str, object]
    recipients: tuple[int, ...] = ()


@frozen
class Settlement:
    """All that one attempt (or one operator's command) changes for a message; written in one transaction.

    `notices` are whole new messages (bounces, warnings) that become durable in that same transaction. `by_operator`:
    a command, not the end of an attempt; the claim of an attempt that is under way stays.
    """

    message_id: str
    at: float
    fates: tuple[RecipientFate, ...]
    events: tuple[Event, ...] = ()
    notices: tuple[QueuedMessage, ...] = ()
    by_operator: bool = False
    forms: tuple[NewForm, ...] = ()  # recipients that came to their end keep none


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which messages are meant; every condition that is set must hold. Empty strings are not set."""

    id: str = ""
    connector: str = ""
    recipient: str = ""  # address or domain
    sender: str = ""  # address or domain
    state: str = ""
    since: float = 0.0  # received then or later, in epoch seconds,
    until: float = 0.0  # and before that moment
    larger: int = 0  # octets of the content, at the least,
    smaller: int = 0  # or at the most
    reason: str = ""  # stands somewhere in a recipient's last reason, in either case
    attempts: int = 0  # of a recipient, at the least
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class QueueCommand:
    """What an administrator wants of every waiting recipient that `which` means: of a filter by connector, recipient
    or state those recipients of a message, not all of it.

    `reason` empty: theirs stays, and its word. `asked`: an attempt that stands in for the one they wait for; it
    lengthens no pause.
    """

    which: QueueFilter
    event: str  # observe/events.py
    state: str  # the one it leads to
    meant: tuple[str, ...]  # the open states it is for
    at: float
    reason: str = ""
    note: str = ""
    asked: bool = False
    step: int = 256  # messages that are changed at once, at the most
    word: str = ""  # that goes with `reason`; empty: none


@frozen
class QueueGroup:
    """Recipients that wait and are alike. `age` is their place in `AGES`; `reason` of the one most often tried."""

    connector: str
    domain: str
    state: str
    age: int
    recipients: int
    oldest: float  # when the first of them was received, epoch seconds
    due: float  # when the next of them is tried
    attempts: int  # the most of any
    reason: str


AGES = tuple(300 * 2**power for power in range(9))  # seconds, doubling: group n has waited for n of these at the least


@frozen
class QueueSurvey:
    """A window of what waits: how many messages, and their recipients in groups."""

    messages: int
    groups: tuple[QueueGroup, ...]


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """A message with its history, oldest event first. Content is not loaded."""

    message: QueuedMessage
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many recipients are in each state, and the octets of undelivered content."""

    states: dict[str, int]
    octets: int


@frozen
class WaitingRecipient:
    """One due recipient as far as it must be known to let it wait on.

    `place` tells it apart within its store. `plain`: its message has no wish of its own for TLS, and its row is sound.
    """

    place: tuple[int, int]
    due: float
    connector: str
    domain: str
    attempts: int
    warned: bool
    received: float
    null_sender: bool
    plain: bool


@frozen
class Postponement:
    """It waits until `due` for this reason; its destination was tried, though not with it, and that counts."""

    waiting: WaitingRecipient
    due: float
    word: str
    reason: str


class Spool(Protocol):
    """Takes a large message while it arrives; becomes its content without another copy."""

    size: int

    async def write(self, data: bytes) -> None:
        """Append. Raises StorageFull."""
        ...

    def content(self, head: bytes) -> Content:
        """What was written, as content of a message about to be enqueued."""
        ...

    async def discard(self) -> None:
        """Forget it; never raises."""
        ...


class QueueStore(Protocol):
    """A durable queue. It has one owner, or several nodes share it: each claims for itself.

    When a coroutine that changes it returns, the change survives a power cut.
    """

    @property
    def presides(self) -> bool:
        """Whether this one does what one of several owners does for all."""
        ...

    def expect(self, change: int) -> None:
        """So many sessions more (or fewer) are between MAIL and the reply to their message, or inside `enqueue`.

        The store may wait a moment for them to share a commit.
        """
        ...

    async def enqueue(self, message: QueuedMessage, *, claim: bool = False) -> None:
        """Take responsibility for a message. `claim`: the caller delivers it now; `claim()` will not return it."""
        ...

    def spool(self) -> Spool:
        """Where a large message goes while it arrives."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Write fates, events and notices in one transaction and release the claim on these recipients.

        A message whose recipients are all final loses its content; its history stays for the trace.
        """
        ...

    async def claim(self, now: float, limit: int) -> list[QueuedMessage]:
        """Due messages, earliest first, not claimed by anyone; `states` holds only the due recipients."""
        ...

    def gate(self, message_id: str) -> Callable[[], bool]:
        """What to ask before the final dot of a claimed message: whether nobody else can have it by now."""
        ...

    async def waiting(self, now: float, limit: int) -> list[WaitingRecipient]:
        """Due recipients that nobody has claimed, earliest first; they stay unclaimed."""
        ...

    async def postpone(self, postponements: Sequence[Postponement]) -> None:
        """Put them off, all in one transaction, without a line of history. One that has changed since is left alone."""
        ...

    async def hasten(self, now: float, latest: float, of_new: float) -> int:
        """Make due now who is due after `latest` (never tried: after `of_new`), as a jump of the clock leaves it."""
        ...

    async def release_claim(self, message_id: str) -> None:
        """Give a claim back untouched (shutdown, no capacity)."""
        ...

    async def next_due(self) -> float | None:
        """When the earliest unclaimed recipient is due; None: nothing waits."""
        ...

    def read(self, content: Content) -> AsyncIterator[bytes]:
        """The content in pieces of at most 256 KiB."""
        ...

    async def search(self, which: QueueFilter) -> list[QueuedMessage]:
        """Messages with any undelivered recipient, oldest first; content without its bytes."""
        ...

    def browse(self, which: QueueFilter) -> AsyncIterator[list[QueuedMessage]]:
        """The same in pages of some ten messages, so that many need no room. A page may be empty: it was looked for."""
        ...

    def change(self, command: QueueCommand) -> AsyncIterator[list[str]]:
        """Carry out a command in windows of some hundred messages, each in one transaction; mail goes on in between.

        Each step gives the ids that were changed, once that is durable: at most `which.limit` in all. It may be empty.
        What is not there yet at the beginning is not meant, and who stops asking stops the command there.
        """
        ...

    def survey(self, which: QueueFilter, now: float) -> AsyncIterator[QueueSurvey]:
        """Count what waits, in windows of at most some thousand messages; mail goes on in between.

        Groups of different windows may be alike. `which.limit` does not count.
        """
        ...

    async def trace(self, which: QueueFilter) -> list[TraceRecord]:
        """Messages, delivered ones too, with their history, newest first."""
        ...

    async def counts(self) -> QueueCounts:
        """For metrics and `mta queue`; costs no scan of the queue."""
        ...

    async def purge(self, before: float, limit: int = 1000) -> int:
        """Forget the history of up to `limit` messages that ended before `before`; how many were forgotten."""
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        ...
