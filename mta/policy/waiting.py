"""Who waits with a destination that is down: it is tried by one message, the others wait until that has come to an end.

A destination is down when none of its hosts could be spoken to: no connection, no TLS as demanded, no name. What a host
said to a message (to MAIL, RCPT or the content) is that message's own affair and holds up nobody else.

Every message keeps its own schedule. Once it is due it tries the destination for all, if that was not tried for
`retry_min`; else the last attempt counts for it, too, and it waits for its next turn. That writes the time of the next
one and the reason: no line in the log, no line of history. So retries stay spread out, a deep queue is no crowd when
the destination is back, and lifetimes and warnings go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.limits import Limits
from mta.model.attempt import DeliveryResult, Failure, RecipientResult, Scope
from mta.model.message import RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.policy.settle import age, retry_delay
from mta.ports import WaitingRecipient


@dataclass(frozen=True, slots=True)
class Down:
    """A destination that could not be reached: why, by which message that is known, and from when on (monotonic
    seconds) it may be tried again.
    """

    name: str
    until: float
    reason: str
    message: str

    @property
    def story(self) -> str:
        """Why the others wait."""
        return f"{self.name} is tried with message {self.message}; the last time {self.reason}"


def pause(limits: Limits) -> float:
    """Seconds until a destination may be tried again."""
    return retry_delay(1, limits)


def next_turn(waiting: WaitingRecipient, limits: Limits, now: float, jitter: float) -> float:
    """When it is due again (epoch seconds); `jitter` in [-1, 1] as in `retry_delay`."""
    return now + retry_delay(waiting.attempts + 1, limits, jitter)


def is_quiet(waiting: WaitingRecipient, limits: Limits, now: float) -> bool:
    """Whether nothing is to be told of a recipient that waits once more: its time is not over, no warning is due."""
    waited = age(waiting.received, now, waiting.attempts + 1, limits)
    if waited >= (limits.bounce_lifetime if waiting.null_sender else limits.lifetime):
        return False
    return waiting.warned or not waited >= limits.delay_warning > 0


def failure_of(down: Down) -> Failure:
    """Why somebody else waits for a destination that is down."""
    reply = Reply(450, "4.4.1", ("No answer from host",))
    return Failure(Scope.DESTINATION, Word.WAITS_FOR_DESTINATION, down.story, reply, permanent=False, local=True)


def waits_too(down: Down, states: tuple[RecipientState, ...]) -> DeliveryResult:
    """What an attempt comes to that is not made, for its destination is down."""
    failure = failure_of(down)
    return DeliveryResult((), tuple(RecipientResult(state.index, failure.reply, failure) for state in states))
