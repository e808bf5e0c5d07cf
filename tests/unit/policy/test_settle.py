"""What a failure means, cell by cell, and what never happens whatever fails."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.limits import Limits
from mta.model.address import Mailbox
from mta.model.attempt import DeliveryResult, Failure, HostAttempt, RecipientResult, Scope
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.policy.settle import RULES, Step, age, in_words, next_step, retry_delay, settle, too_many_recipients
from mta.ports import RecipientFate

NOW = 1_767_604_987.0
YEAR = 31_536_000.0
LIMITS = Limits()
ALICE = Mailbox("alice", "contoso.example", "contoso.example")
BOB = Mailbox("bob", "fabrikam.example", "fabrikam.example")
PLACE = HostAttempt("mail.fabrikam.example", 25, "192.0.2.1")
BUSY = Reply(450, "4.2.1", ("Mailbox busy",))
UNKNOWN = Reply(550, "5.1.1", ("No such user",))


def failure(scope: Scope, permanent: bool, reply: Reply | None = None) -> Failure:
    return Failure(
        scope, Word.GREETING, f"the story of {scope.value}", reply or (UNKNOWN if permanent else BUSY), permanent
    )


def message(
    attempts: int = 0,
    received: float = NOW,
    sender: Mailbox | None = ALICE,
    notify: tuple[str, ...] = (),
    warned: bool = False,
) -> QueuedMessage:
    return QueuedMessage(
        "4Zq8",
        Envelope(sender, (Recipient(BOB, notify), Recipient(BOB, notify))),
        Content(5, b"a: b\r\n"),
        b"",
        received,
        "default",
        (RecipientState(0, "fabrikam", attempts=attempts, warned=warned),),
    )


def result(problem: Failure | None, *hosts: HostAttempt, reply: Reply = BUSY) -> DeliveryResult:
    reply = problem.reply if problem else reply
    place = replace(PLACE, failure=problem) if problem and problem.scope is Scope.HOST else PLACE
    return DeliveryResult(hosts or (place,), (RecipientResult(0, reply, problem),))


def fate(problem: Failure | None, queued: QueuedMessage | None = None, limits: Limits = LIMITS) -> RecipientFate:
    (one,) = settle(queued or message(), result(problem), limits, NOW, 0.0)
    return one


# scope, permanent, is the next host asked, state once there is none
TABLE = [
    (Scope.SESSION, False, True, "queued"),
    (Scope.SESSION, True, True, "queued"),
    (Scope.HOST, False, True, "queued"),
    (Scope.HOST, True, True, "failed"),
    (Scope.DESTINATION, False, False, "queued"),
    (Scope.DESTINATION, True, False, "failed"),
    (Scope.MESSAGE, False, True, "queued"),
    (Scope.MESSAGE, True, False, "failed"),
    (Scope.RECIPIENT, False, True, "queued"),
    (Scope.RECIPIENT, True, False, "failed"),
    (Scope.CONTRACT, False, False, "held"),
    (Scope.CONTRACT, True, False, "held"),
]


def test_the_table_has_a_cell_for_every_failure() -> None:
    assert set(RULES) == {(scope, permanent) for scope in Scope for permanent in (False, True)}
    assert {(scope, permanent) for scope, permanent, _, _ in TABLE} == set(RULES)


@pytest.mark.parametrize(("scope", "permanent", "next_host", "state"), TABLE)
def test_each_cell_means_what_the_table_says(scope: Scope, permanent: bool, next_host: bool, state: str) -> None:
    problem = failure(scope, permanent)
    assert next_step(problem, more_hosts=True) is (Step.TRY_NEXT_HOST if next_host else Step.SETTLE)
    assert next_step(problem, more_hosts=False) is Step.SETTLE
    settled = fate(problem)
    assert settled.state == state
    assert settled.counted
    assert (settled.due > NOW) == (state == "queued")


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.HOST])
def test_a_host_that_refuses_for_good_ends_nothing_while_another_may_recover(scope: Scope) -> None:
    refused = failure(Scope.HOST, True)
    down = replace(PLACE, failure=failure(scope, False))
    no = replace(PLACE, failure=refused)
    assert settle(message(), result(refused, down, no), LIMITS, NOW, 0.0)[0].state == "queued"
    assert settle(message(), result(refused, no, no), LIMITS, NOW, 0.0)[0].state == "failed"


def test_a_host_that_refuses_for_good_ends_nothing_that_another_host_wanted_later() -> None:
    refused = failure(Scope.HOST, True)
    talked, no = PLACE, replace(PLACE, failure=refused)  # the first one said 451 to this recipient
    assert settle(message(), result(refused, talked, no), LIMITS, NOW, 0.0)[0].state == "queued"


def test_success_is_told_in_the_peers_words() -> None:
    (one,) = settle(message(), result(None, reply=Reply(250, "2.0.0", ("OK",))), LIMITS, NOW, 0.0)
    assert one == RecipientFate(0, "delivered", "mail.fabrikam.example[192.0.2.1]:25 said 250 2.0.0 OK")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (failure(Scope.RECIPIENT, True), "mail.fabrikam.example[192.0.2.1]:25 said 550 5.1.1 No such user"),
        (failure(Scope.MESSAGE, False), "mail.fabrikam.example[192.0.2.1]:25 said 450 4.2.1 Mailbox busy"),
        (
            replace(failure(Scope.MESSAGE, True), local=True),
            "mail.fabrikam.example[192.0.2.1]:25: greeting: the story of message",
        ),
        (failure(Scope.HOST, False), "mail.fabrikam.example[192.0.2.1]:25: greeting: the story of host"),
        (failure(Scope.DESTINATION, True), "greeting: the story of destination"),
        (failure(Scope.CONTRACT, True), "greeting: the story of contract"),
    ],
)
def test_the_reason_names_who_said_what(problem: Failure, words: str) -> None:
    assert fate(problem).reason == words


def test_the_reason_names_the_host_that_said_it_not_the_last() -> None:
    backup = HostAttempt("mx2.fabrikam.example", 25)
    outcome = RecipientResult(0, UNKNOWN, failure(Scope.RECIPIENT, True), host=0)
    (one,) = settle(message(), DeliveryResult((PLACE, backup), (outcome,)), LIMITS, NOW, 0.0)
    assert one.reason.startswith("mail.fabrikam.example[192.0.2.1]:25 said")


def test_a_failure_before_any_host_is_told_without_one() -> None:
    problem = failure(Scope.HOST, False)
    (one,) = settle(message(), DeliveryResult((), (RecipientResult(0, BUSY, problem),)), LIMITS, NOW, 0.0)
    assert one.reason == "greeting: the story of host"


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 300), (1, 300), (2, 600), (3, 1200), (4, 2400), (5, 4000), (6, 4000), (10**9, 4000)]
)
def test_delays_double_up_to_the_longest(attempts: int, seconds: float) -> None:
    assert retry_delay(attempts, LIMITS) == seconds


def test_jitter_moves_the_delay_either_way_and_no_further() -> None:
    assert retry_delay(1, LIMITS, -1.0) == pytest.approx(270)
    assert retry_delay(1, LIMITS, 1.0) == pytest.approx(330)
    assert retry_delay(1, LIMITS, 50.0) == pytest.approx(330)


def test_the_second_attempt_is_due_after_the_first_delay() -> None:
    assert fate(failure(Scope.HOST, False)).due == NOW + 300
    assert fate(failure(Scope.HOST, False), message(attempts=1)).due == NOW + 600


def test_a_message_that_was_tried_for_its_lifetime_expires() -> None:
    old = message(attempts=110, received=NOW - LIMITS.lifetime)
    settled = fate(failure(Scope.RECIPIENT, False), old)
    assert settled.state == "expired"
    assert settled.reason == (
        "given up after 5 days and 111 attempts; the last time "
        "mail.fabrikam.example[192.0.2.1]:25 said 450 4.2.1 Mailbox busy"
    )
    younger = message(attempts=110, received=NOW - LIMITS.lifetime + 1)
    assert fate(failure(Scope.RECIPIENT, False), younger).state == "queued"


def test_the_last_attempt_of_an_old_message_may_still_succeed() -> None:
    assert fate(None, message(attempts=110, received=NOW - LIMITS.lifetime)).state == "delivered"


def test_bounces_have_a_lifetime_of_their_own() -> None:
    limits = replace(LIMITS, bounce_lifetime=3600.0)
    tried = {"attempts": 20, "received": NOW - 3600}
    assert fate(failure(Scope.HOST, False), message(sender=None, **tried), limits).state == "expired"  # type: ignore[arg-type]
    assert fate(failure(Scope.HOST, False), message(**tried), limits).state == "queued"  # type: ignore[arg-type]


@pytest.mark.parametrize("attempts", [0, 1, 2, 10, 30])
@pytest.mark.parametrize("jump", [-YEAR, YEAR])
def test_a_clock_that_jumps_a_year_neither_expires_nor_warns_of_mail_just_tried(attempts: int, jump: float) -> None:
    settled = fate(failure(Scope.HOST, False), message(attempts, NOW - jump))
    assert settled.state == "queued"
    assert NOW < settled.due <= NOW + LIMITS.retry_max
    assert not (settled.warned and attempts < 3)


def test_mail_that_a_clock_a_year_ahead_has_received_expires_by_its_schedule() -> None:
    states = [fate(failure(Scope.HOST, False), message(n, NOW + YEAR)).state for n in range(150)]
    assert states == sorted(states, reverse=True)
    assert LIMITS.lifetime <= states.count("queued") * LIMITS.retry_max <= LIMITS.lifetime + 7 * LIMITS.retry_max


def test_after_the_jump_mail_still_expires_once_it_was_tried_long_enough() -> None:
    states = [fate(failure(Scope.HOST, False), message(n, NOW - YEAR)).state for n in range(120)]
    assert states == sorted(states, reverse=True)
    assert states.count("queued") * LIMITS.retry_max > LIMITS.lifetime / 2
    assert states[-1] == "expired"


def test_every_schedule_that_is_kept_expires_at_its_lifetime() -> None:
    for limits in (LIMITS, replace(LIMITS, lifetime=3.0, retry_min=0.5, retry_max=1.0), replace(LIMITS, retry_min=0)):
        waited, attempts = 0.0, 1
        while waited < limits.lifetime and attempts < 20_000:
            waited += retry_delay(attempts, limits)
            attempts += 1
            if attempts > 3:
                assert age(NOW - waited, NOW, attempts, limits) == pytest.approx(waited)


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        ({}, True),
        ({"received": NOW - LIMITS.delay_warning + 1}, False),
        ({"warned": True}, False),
        ({"notify": ("NEVER",)}, True),  # whether it is wanted is policy/notify's to say
    ],
)
def test_it_is_time_for_a_warning_once(change: dict[str, object], warned: bool) -> None:
    facts: dict[str, object] = {"attempts": 6, "received": NOW - LIMITS.delay_warning} | change
    assert fate(failure(Scope.HOST, False), message(**facts)).warned is warned  # type: ignore[arg-type]


def test_no_delay_is_told_when_warnings_are_off_or_the_message_has_ended() -> None:
    slow = message(attempts=6, received=NOW - LIMITS.delay_warning)
    assert not fate(failure(Scope.HOST, False), slow, replace(LIMITS, delay_warning=0.0)).warned
    assert not fate(failure(Scope.RECIPIENT, True), slow).warned


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (432_000, "5 days"),
        (86_400, "1 day"),
        (5_400, "90 minutes"),
        (3_600, "1 hour"),
        (3, "3 seconds"),
        (100_000, "1.2 days"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


FAILURES = st.none() | st.builds(
    failure, st.sampled_from(Scope), st.booleans(), st.sampled_from([BUSY, UNKNOWN, Reply(421)])
)
OUTCOMES = st.builds(RecipientResult, st.integers(0, 9), st.just(BUSY), FAILURES, st.integers(-9, 9))


@given(
    st.lists(OUTCOMES, max_size=20),
    st.lists(st.builds(HostAttempt, st.just("h"), st.just(25), failure=FAILURES), max_size=3),
    st.floats(0, 4e9),
    st.floats(0, 4e9),
    st.floats(-1, 1),
    st.integers(0, 10**9),
)
def test_every_recipient_gets_one_legal_fate(
    outcomes: list[RecipientResult],
    hosts: list[HostAttempt],
    now: float,
    received: float,
    jitter: float,
    attempts: int,
) -> None:
    states = tuple(RecipientState(index, "c", attempts=attempts) for index in range(8))
    queued = replace(message(received=received), envelope=Envelope(ALICE, (Recipient(BOB),) * 10), states=states)
    fates = settle(queued, DeliveryResult(tuple(hosts), tuple(outcomes)), LIMITS, now, jitter)
    assert [one.index for one in fates] == sorted({outcome.index for outcome in outcomes})
    for one in fates:
        assert one.state in {"delivered", "queued", "failed", "expired", "held"}
        assert one.reason
        assert one.due > now if one.state == "queued" else one.due == 0.0
        assert one.state == "queued" or not one.warned


@pytest.mark.parametrize(
    ("code", "enhanced", "others_taken", "too_many"),
    [
        (552, "", True, True),
        (552, "5.5.3", True, True),
        (552, "5.3.1", True, True),
        (552, "5.2.2", True, False),  # this mailbox is full
        (552, "5.3.4", True, False),  # the message is too big
        (552, "5.7.1", True, False),
        (552, "", False, False),
        (552, "5.5.3", False, False),
        (550, "5.5.3", True, False),
        (452, "4.5.3", True, False),  # temporary anyway
    ],
)
def test_a_full_transaction_is_told_from_a_full_mailbox(
    code: int, enhanced: str, others_taken: bool, too_many: bool
) -> None:
    assert too_many_recipients(Reply(code, enhanced), others_taken) is too_many
