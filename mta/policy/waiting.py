"""Who waits with a destination that is down: it is tried by one message, the others wait until that has come to an end.

A destination is down when none of its hosts could be spoken to: no connection, no TLS as demanded, no name. What a host
said to a message (to MAIL, RCPT or the content) is that message's own affair and holds up nobody else.

Waiting costs one look a turn of the destination and writes nothing but the time of the next one and the reason: no
line in the log, no line of history. The attempt of the one counts for all, so that lifetimes and warnings go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.config.contract import Limits
from mta.model.attempt import DeliveryResult, Failure, RecipientResult, Scope
from mta.model.message import RecipientState
from mta.model.reply import Reply
from mta.policy.settle import age, retry_delay
from mta.ports import WaitingRecipient

WORD = "waits-for-destination"
_LEAST_GRACE, _LONGEST_GRACE = 0.2, 30.0  # seconds
_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Down:
    """A destination that could not be reached: since how many attempts, why, and by which message that is known.

    `until` (monotonic seconds) and `due` (epoch seconds) are the same moment: that of the next attempt.
    """

    name: str
    failures: int
    until: float
    due: float
    reason: str
    message: str

    @property
    def story(self) -> str:
        """Why the others wait."""
        return f"{WORD}: {self.name} is tried with message {self.message}; the last time {self.reason}"


def pause(failures: int, limits: Limits) -> float:
    """Seconds until a destination is tried again: the schedule of a message that is tried for the first time."""
    return retry_delay(failures, limits)


def grace(failures: int, limits: Limits) -> float:
    """Seconds that the others wait longer than the one, so that they hear what came of it."""
    return max(_LEAST_GRACE, min(_LONGEST_GRACE, _SHARE * pause(failures, limits)))


def is_quiet(waiting: WaitingRecipient, limits: Limits, now: float) -> bool:
    """Whether nothing is to be told of a recipient that waits once more: its time is not over, no warning is due."""
    waited = age(waiting.received, now, waiting.attempts + 1, limits)
    if waited >= (limits.bounce_lifetime if waiting.null_sender else limits.lifetime):
        return False
    return waiting.warned or not waited >= limits.delay_warning > 0


def waits_too(down: Down, states: tuple[RecipientState, ...]) -> DeliveryResult:
    """What an attempt comes to that is not made, for its destination is down."""
    reply = Reply(450, "4.4.1", ("No answer from host",))
    failure = Failure(Scope.DESTINATION, reply, down.story, permanent=False, local=True)
    return DeliveryResult((), tuple(RecipientResult(state.index, reply, failure) for state in states))
