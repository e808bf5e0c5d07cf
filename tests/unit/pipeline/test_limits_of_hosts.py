"""A host that states RCPTMAX (RFC 9422): each recipient is asked for once, and has the answer that it got."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.connectors import Connector
from mta.errors import RemoteProtocolError
from mta.model.attempt import Failure, HostAttempt, RecipientResult, Scope
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline import deliver
from mta.pipeline.deliver import Job
from mta.pipeline.hop import Opened
from mta.policy.route import Destination
from mta.ports import Capabilities, Transaction, TransactionReplies
from tests.unit.policy.world import NOW, mailbox

STATES = tuple(RecipientState(place, "fabrikam") for place in range(5))
TO = Envelope(None, tuple(Recipient(mailbox(f"{place}@fabrikam.example")) for place in range(5)))
MESSAGE = QueuedMessage("m1", TO, Content(1, b"x"), b"", NOW, "internal", STATES)
JOB = Job(MESSAGE, STATES, Connector("fabrikam"), Destination("mx", "fabrikam.example"))
OK = Reply(250)
DOWN = Failure(Scope.SESSION, Word.CONNECT, "refused", Reply(450), False)
ATTEMPT = HostAttempt("mx.fabrikam.example", 25, "192.0.2.1")


class Host:
    """Takes what it is given, up to the transaction that `breaks`; `reached` so often."""

    def __init__(self, told: str, *, breaks: int = -1, reached: int = 99) -> None:
        self.capabilities = Capabilities({"LIMITS": told} if told else {})
        self.asked: list[list[str]] = []
        self.breaks, self.reached = breaks, reached

    async def transact(self, transaction: Transaction) -> TransactionReplies:
        if len(self.asked) == self.breaks:
            raise RemoteProtocolError("gone", phase="data_final")
        self.asked.append([one.mailbox.local for one in transaction.envelope.recipients])
        return TransactionReplies(OK, tuple(OK for _ in transaction.envelope.recipients), OK)

    def abort(self) -> None:
        self.reached = 0

    async def reach(self, *_: Any, **__: Any) -> Opened:
        if self.reached <= 0:
            return Opened(None, DOWN, replace(ATTEMPT, failure=DOWN))
        self.reached -= 1
        return Opened(SimpleNamespace(connection=self, used=0), None, ATTEMPT)  # type: ignore[arg-type]


async def given(monkeypatch: pytest.MonkeyPatch, host: Host) -> tuple[HostAttempt, dict[int, Word | None]]:
    """What the job's recipients came to."""
    monkeypatch.setattr(deliver, "_reach", host.reach)
    hops: Any = SimpleNamespace(keep=lambda hop: None)
    outcome = await deliver._try_host(None, hops, JOB, None)  # type: ignore[arg-type]
    results: tuple[RecipientResult, ...] = outcome.results
    assert [one.index for one in results] == [0, 1, 2, 3, 4]
    assert outcome.spoke
    return outcome.attempt, {one.index: one.failure.word if one.failure else None for one in results}


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("", [["0", "1", "2", "3", "4"]]),
        ("RCPTMAX=5", [["0", "1", "2", "3", "4"]]),
        ("RCPTMAX=2", [["0", "1"], ["2", "3"], ["4"]]),
        ("RCPTMAX=1", [["0"], ["1"], ["2"], ["3"], ["4"]]),
    ],
)
async def test_each_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, told: str, asked: list[list[str]]) -> None:
    host = Host(told)
    attempt, words = await given(monkeypatch, host)
    assert host.asked == asked
    assert set(words.values()) == {None}
    assert attempt.failure is None


async def test_a_connection_that_breaks_is_the_fate_of_those_who_were_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host("RCPTMAX=2", breaks=1)
    attempt, words = await given(monkeypatch, host)
    assert words == {0: None, 1: None, 2: Word.CONVERSATION, 3: Word.CONVERSATION, 4: Word.CONVERSATION}
    assert attempt.failure is None  # that of the two who were taken: the others tell their own story


async def test_one_that_breaks_at_once_is_the_fate_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, words = await given(monkeypatch, Host("RCPTMAX=2", breaks=0))
    assert set(words.values()) == {Word.CONVERSATION}
    assert attempt.failure is not None


async def test_a_host_that_is_gone_between_two_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, words = await given(monkeypatch, Host("RCPTMAX=3", reached=1))
    assert words == {0: None, 1: None, 2: None, 3: Word.CONNECT, 4: Word.CONNECT}
    assert attempt.failure is None
