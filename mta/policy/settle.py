"""What a failure means: the one file that decides between the next host, later, a bounce and holding.

Two questions decide. *Whom does it concern?* A connection that broke says nothing of the host, a host nothing of the
destination, one recipient nothing of the others. *Will waiting help?* Temporary failures wait, permanent ones end;
but only the message's own destination can end it: as long as one host of several might still take it, we ask it.

    concerns     temporary                          permanent
    -----------  ---------------------------------  ---------------------------------------------------
    session      next host, else later              next host, else later (a broken line proves nothing)
    host         next host, else later              next host, else bounce, if every host said so
    destination  later                              bounce
    message      next host, else later              bounce
    recipient    next host, else later              bounce
    contract     hold                               hold

`RULES` below is this table. Later has an end: after `lifetime` an attempt that failed expires the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mta.contract.limits import Limits
from mta.model import lifecycle
from mta.model.attempt import DeliveryResult, Failure, HostAttempt, RecipientResult, Scope
from mta.model.frozen import frozen
from mta.model.message import NewForm, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.ports import RecipientFate


class Step(Enum):
    """What an attempt does after a failure."""

    TRY_NEXT_HOST = "try-next-host"
    SETTLE = "settle"


class State:
    """The states of the lifecycle that settling can arrive at."""

    QUEUED = lifecycle.QUEUED
    DELIVERED = lifecycle.DELIVERED
    FAILED = lifecycle.FAILED
    EXPIRED = lifecycle.EXPIRED
    HELD = lifecycle.HELD


class End(Enum):
    """Where a failure leads once no further host is asked."""

    LATER = "later"
    BOUNCE = "bounce"
    BOUNCE_IF_ALL_SAY_SO = "bounce-if-all-say-so"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Rule:
    """One cell of the table: whether another host of the destination is asked, and the end if there is none."""

    next_host: bool
    end: End


# (scope, permanent) -> rule
RULES: dict[tuple[Scope, bool], Rule] = {
    (Scope.SESSION, False): Rule(True, End.LATER),
    (Scope.SESSION, True): Rule(True, End.LATER),
    (Scope.HOST, False): Rule(True, End.LATER),
    (Scope.HOST, True): Rule(True, End.BOUNCE_IF_ALL_SAY_SO),
    (Scope.DESTINATION, False): Rule(False, End.LATER),
    (Scope.DESTINATION, True): Rule(False, End.BOUNCE),
    (Scope.MESSAGE, False): Rule(True, End.LATER),
    (Scope.MESSAGE, True): Rule(False, End.BOUNCE),
    (Scope.RECIPIENT, False): Rule(True, End.LATER),
    (Scope.RECIPIENT, True): Rule(False, End.BOUNCE),
    (Scope.CONTRACT, False): Rule(False, End.HOLD),
    (Scope.CONTRACT, True): Rule(False, End.HOLD),
}

_LEAST_DELAY = 0.1  # seconds: `due` is always later than now
_DOUBLINGS = 60  # beyond this the delay is retry_max whatever retry_min is


def next_step(failure: Failure, more_hosts: bool) -> Step:
    """Whether the recipients this failure concerns are offered to another host in this same attempt."""
    # RFC 5321 §5.1: the addresses are tried in order until a delivery attempt succeeds.
    rule = RULES[failure.scope, failure.permanent]
    return Step.TRY_NEXT_HOST if more_hosts and rule.next_host else Step.SETTLE


# RFC 3463: what a code after 552 may say and still mean the number of recipients: too many (5.5.3), nothing in
# particular, or the system as a whole. A mailbox that is full (5.2.2) or a message too big for it stays what it is.
_TOO_MANY_CODES = frozenset({"", "5.0.0", "5.3.0", "5.3.1", "5.5.0", "5.5.3"})


def too_many_recipients(reply: Reply, others_taken: bool) -> bool:
    """Whether a reply to RCPT means that the transaction is full: what was taken is sent, the rest comes later.

    reply          before it, others were taken    none was
    -------------  ------------------------------  ------------------------------------------
    552, as above  too many: wait, like 452        the mailbox is full: permanent
    552 5.2.2 ...  what it says: permanent         what it says: permanent
    452            wait                            wait
    """
    # RFC 5321 §4.5.3.1.10: its predecessor had named 552 for it, the client SHOULD treat it as temporary
    return reply.code == 552 and others_taken and reply.enhanced in _TOO_MANY_CODES


def settle(
    message: QueuedMessage, result: DeliveryResult, limits: Limits, now: float, jitter: float
) -> tuple[RecipientFate, ...]:
    """One fate for every recipient of the attempt, in the order of the envelope.

    `now` is epoch seconds, `jitter` a number in [-1, 1] that spreads retries. `RecipientFate.warned` says that it
    is time for a delay warning: once per recipient. Whether the sender wants it is policy/notify's to say.
    """
    states = {state.index: state for state in message.states}
    outcomes = {outcome.index: outcome for outcome in result.recipients}
    attempt = _Attempt(message, result, limits, now, jitter)
    return tuple(
        _fate(attempt, states.get(index) or RecipientState(index, ""), outcomes[index]) for index in sorted(outcomes)
    )


@frozen
class _Attempt:
    """What the fates of one attempt have in common."""

    message: QueuedMessage
    result: DeliveryResult
    limits: Limits
    now: float
    jitter: float


def _fate(attempt: _Attempt, state: RecipientState, outcome: RecipientResult) -> RecipientFate:
    words = explain(attempt.result, outcome)
    if outcome.failure is None:
        return RecipientFate(state.index, State.DELIVERED, words)
    end, word = meaning(outcome.failure, attempt.result), outcome.failure.word
    if end is End.HOLD:
        return RecipientFate(state.index, State.HELD, words, word=word)
    if end is End.BOUNCE:
        return RecipientFate(state.index, State.FAILED, words, word=word)
    return _later(attempt, state, word, words)


def _later(attempt: _Attempt, state: RecipientState, word: Word, words: str) -> RecipientFate:
    """Queued again, or expired: an attempt has just failed, so its age may now be judged."""
    limits, attempts = attempt.limits, state.attempts + 1
    waited = age(attempt.message.received, attempt.now, attempts, limits)
    lifetime = lifetime_of(attempt.message, limits)
    if waited >= lifetime:
        times = f"{attempts} attempt{'s' if attempts != 1 else ''}"
        reason = f"given up after {in_words(lifetime)} and {times}; the last time {words}"
        return RecipientFate(state.index, State.EXPIRED, reason, word=word)
    due = attempt.now + retry_delay(attempts, limits, attempt.jitter)
    warned = not state.warned and waited >= limits.delay_warning > 0
    return RecipientFate(state.index, State.QUEUED, words, due=due, warned=warned, word=word)


def meaning(failure: Failure, result: DeliveryResult) -> End:
    """LATER, BOUNCE or HOLD, now that no further host is asked in this attempt."""
    end = RULES[failure.scope, failure.permanent].end
    if end is not End.BOUNCE_IF_ALL_SAY_SO:
        return end
    # A host without a failure of its own held the conversation and settled nothing: its word to this mail was "later".
    waiting_may_help = any(host.failure is None or not _final_word(host.failure) for host in result.hosts)
    return End.LATER if waiting_may_help else End.BOUNCE


def _final_word(failure: Failure) -> bool:
    return RULES[failure.scope, failure.permanent].end in (End.BOUNCE, End.BOUNCE_IF_ALL_SAY_SO)


def retry_delay(attempts: int, limits: Limits, jitter: float = 0.0) -> float:
    """Seconds to wait after the `attempts`-th attempt (1 or more): doubling from `retry_min` up to `retry_max`.

    `jitter` in [-1, 1] moves it by that part of `retry_jitter`, so that mail queued together does not stay together.
    """
    # RFC 5321 §4.5.4.1: the sender MUST delay retrying a particular destination after one attempt has failed.
    plain = _plain_delay(attempts, limits)
    return max(_LEAST_DELAY, plain * (1.0 + max(-1.0, min(1.0, jitter)) * limits.retry_jitter))


def _plain_delay(attempts: int, limits: Limits) -> float:
    doubled = limits.retry_min * 2.0 ** min(max(attempts, 1) - 1, _DOUBLINGS)
    return max(_LEAST_DELAY, min(limits.retry_max, doubled))


def age(received: float, now: float, attempts: int, limits: Limits) -> float:
    """How long a message has been trying, in seconds, of which the clock alone cannot convince us.

    A clock that jumps a year ahead, or a relay that was switched off for a week, must not expire mail that was hardly
    tried. So the age is what the clock says, but at most twice what the retry schedule accounts for until the
    `attempts`-th attempt, the present one: waiting takes at least its scheduled delays, and twice leaves room for
    attempts that themselves take long. A message thus expires only when half its lifetime's retries were really made.
    Of one received in the future (the clock went back, or was ahead when it came) the schedule alone is known.
    """
    if received > now:
        return _scheduled(attempts, limits)
    return min(now - received, 2.0 * _scheduled(attempts, limits))


def _scheduled(attempts: int, limits: Limits) -> float:
    """The sum of the plain delays between the first and the `attempts`-th attempt; a closed form once they are flat."""
    total, number = 0.0, 1
    while number < attempts:
        delay = _plain_delay(number, limits)
        if delay >= limits.retry_max or number > _DOUBLINGS:
            return total + delay * (attempts - number)
        total += delay
        number += 1
    return total


def lifetime_of(message: QueuedMessage, limits: Limits) -> float:
    """Seconds until a message is given up; bounces have their own."""
    # RFC 5321 §4.5.4.1: retries continue until the message is transmitted or given up, generally at least 4-5 days.
    return limits.lifetime if message.envelope.sender is not None else limits.bounce_lifetime


def forms_to_keep(result: DeliveryResult, fates: tuple[RecipientFate, ...]) -> tuple[NewForm, ...]:
    """What was made for this attempt and has to be sent again; of a form all whose recipients are done, nothing."""
    if not result.forms:
        return ()
    waiting = {fate.index for fate in fates if fate.state in lifecycle.OPEN}
    return tuple(form for form in result.forms if not waiting.isdisjoint(form.recipients))


def explain(result: DeliveryResult, outcome: RecipientResult) -> str:
    """The outcome in words for people: `mail.fabrikam.example[192.0.2.1]:25 said 450 4.2.1 Mailbox busy`."""
    host = peer_of(result, outcome)
    name = f"{_name(host)} " if host else ""
    failure = outcome.failure
    if failure is None:
        return f"{name}said {outcome.reply}" if name else str(outcome.reply)
    if said_by_peer(failure):
        return f"{name or 'the next hop '}said {failure.reply}"
    story = failure.reason or str(failure.reply)
    return f"{name.rstrip()}: {story}" if name and failure.scope is not Scope.DESTINATION else story


def said_by_peer(failure: Failure) -> bool:
    """Whether `failure.reply` is what the next hop said to us about this mail, to be quoted as such."""
    return not failure.local and failure.scope in (Scope.MESSAGE, Scope.RECIPIENT)


def peer_of(result: DeliveryResult, outcome: RecipientResult) -> HostAttempt | None:
    """The host an outcome comes from; None where none was tried or it is not a host's affair."""
    if not result.hosts or outcome.host is None or (outcome.failure and outcome.failure.scope is Scope.CONTRACT):
        return None
    return result.hosts[outcome.host] if -len(result.hosts) <= outcome.host < len(result.hosts) else result.hosts[-1]


def _name(host: HostAttempt) -> str:
    return f"{host.host}[{host.address}]:{host.port}" if host.address else f"{host.host}:{host.port}"


def in_words(seconds: float) -> str:
    """A duration as people say it, in its largest whole unit: `5 days`, `90 minutes`."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count != 1 else ''}"
    if seconds >= 86_400:
        return f"{seconds / 86_400:.1f} days"
    return f"{seconds / 3_600:.1f} hours" if seconds >= 3_600 else f"{seconds:.0f} seconds"
