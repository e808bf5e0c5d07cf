"""What every queue store promises (ports.QueueStore), whatever it is kept in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from mta.adapters.postgres import Database, Identity, Settings, open_queue
from mta.adapters.sqlite import open_shard
from mta.errors import LocalProtocolError
from mta.model import lifecycle
from mta.model.envelope import Envelope, Recipient
from mta.model.lifecycle import HELD, QUEUED, STATES
from mta.model.message import Content, NewForm, QueuedMessage, RecipientState
from mta.ports import Event, Postponement, QueueCommand, QueueFilter, QueueStore, RecipientFate
from tests.support.mail import BODY, NOW, mailbox, queued, settlement
from tests.support.postgres import database, emptied, needs_postgres

LATER = NOW + 1000


class Place(Protocol):
    """Somewhere a store keeps its mail, which outlives the store."""

    async def open(self) -> QueueStore: ...


class SqlitePlace:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def open(self) -> QueueStore:
        return open_shard(self.folder, loop=asyncio.get_running_loop())


class PostgresPlace:
    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.cleared = False

    async def open(self) -> QueueStore:
        if not self.cleared:
            await emptied(self.dsn)
            self.cleared = True
        identity = Identity.of_this_host(0, "1", "digest", 1)
        return await open_queue(Settings(Database(self.dsn), self.folder, identity))


@pytest.fixture(scope="session")
def one_database(worker_id: str) -> Iterator[str]:
    """A database of this process of pytest; each test begins with empty tables."""
    with database(f"contract_{worker_id}") as dsn:
        yield dsn


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.peer, needs_postgres()])])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return SqlitePlace(tmp_path / "queue")
    return PostgresPlace(tmp_path / "queue", request.getfixturevalue("one_database"))


@pytest.fixture
async def store(place: Place) -> AsyncIterator[QueueStore]:
    store = await place.open()
    yield store
    await store.close()


Reopen = Callable[[], Awaitable[QueueStore]]


@pytest.fixture
async def reopened(place: Place) -> AsyncIterator[Reopen]:
    """Close the last store this made, if any, and open the place again."""
    opened: list[QueueStore] = []

    async def reopen() -> QueueStore:
        if opened:
            await opened[-1].close()
        opened.append(await place.open())
        return opened[-1]

    yield reopen
    if opened:
        await opened[-1].close()


async def content_of(store: QueueStore, message: QueuedMessage) -> bytes:
    return b"".join([piece async for piece in store.read(message.content)])


async def spooled(store: QueueStore, id_: str, body: bytes, piece: int = 65_536) -> QueuedMessage:
    spool = store.spool()
    for start in range(0, len(body), piece):
        await spool.write(body[start : start + piece])
    return queued(id_, content=spool.content(body[:20]))


def ids(messages: list[QueuedMessage]) -> list[str]:
    return [message.id for message in messages]


async def test_a_message_comes_back_as_it_was_given_even_after_reopening(reopened: Reopen) -> None:
    envelope = Envelope(
        mailbox("Älice@Fabrikam.example"),
        (
            Recipient(mailbox('"Bob B"@contoso.example'), ("FAILURE", "DELAY"), "rfc822;bob+2B@contoso.example"),
            Recipient(mailbox("carol@contoso.example")),
        ),
        body="8BITMIME",
        smtputf8=True,
        ret="HDRS",
        envid="x+2By",
        size=77,
        tls="required",
    )
    states = (
        RecipientState(0, "partner", due=NOW, attempts=3, reason="452 \udcff full", warned=True),
        RecipientState(1, "default", due=NOW),
    )
    message = queued("m1", envelope=envelope, states=states, hops=4, evidence={"a": [1, None, "ü"]})
    await (await reopened()).enqueue(message)
    [found] = await (await reopened()).claim(NOW, 10)
    whole = replace(message, states=(replace(states[0], reason="452 \\udcff full"), states[1]))
    assert found == whole


async def test_the_null_sender_and_an_empty_body_are_kept(reopened: Reopen) -> None:
    await (await reopened()).enqueue(queued("m1", sender="", body=b""))
    [found] = await (await reopened()).claim(NOW, 10)
    assert found.envelope.sender is None
    assert found.content == Content(0, data=b"")


async def test_a_large_message_is_spooled_and_comes_back_whole(reopened: Reopen) -> None:
    store = await reopened()
    body = b"Subject: large\r\n\r\n" + os.urandom(1_500_000)
    message = await spooled(store, "m1", body)
    assert await content_of(store, message) == body  # before it is enqueued
    await store.enqueue(message, claim=True)
    assert await content_of(store, message) == body  # with the very content that was enqueued
    store = await reopened()
    [found] = await store.claim(NOW, 10)
    assert found.content.data is None
    assert found.content.size == len(body)
    assert found.content.head == body[:20]
    pieces = [piece async for piece in store.read(found.content)]
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= 262_144


async def test_a_large_message_that_is_handed_over_in_memory_is_kept_too(reopened: Reopen) -> None:
    body = b"Subject: large\r\n\r\n" + os.urandom(3_000_000)
    await (await reopened()).enqueue(queued("m1", body=body))
    store = await reopened()
    [found] = await store.claim(NOW, 10)
    assert found.content.beginning.startswith(b"Subject: large\r\n\r\n")
    assert await content_of(store, found) == body


async def test_content_in_memory_is_read_in_pieces(store: QueueStore) -> None:
    body = os.urandom(600_000)
    pieces = [piece async for piece in store.read(Content(len(body), data=body))]
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= 262_144


async def test_a_discarded_spool_cannot_be_enqueued(store: QueueStore) -> None:
    spool = store.spool()
    await spool.write(b"x" * 300_000)
    content = spool.content(b"x")
    await spool.discard()
    await spool.discard()
    with pytest.raises(LocalProtocolError, match="m1"):
        await store.enqueue(queued("m1", content=content))
    assert await store.next_due() is None


async def test_discarding_a_spool_that_belongs_to_the_queue_does_nothing(store: QueueStore) -> None:
    spool = store.spool()
    await spool.write(b"x" * 300_000)
    await store.enqueue(queued("m1", content=spool.content(b"x")))
    await spool.discard()
    [found] = await store.claim(NOW, 1)
    assert await content_of(store, found) == b"x" * 300_000


async def test_what_is_due_is_claimed_earliest_first_and_once(store: QueueStore) -> None:
    for number, due in enumerate((NOW - 1, NOW - 3, NOW + 5, NOW - 2)):
        await store.enqueue(queued(f"m{number}", states=(RecipientState(0, "default", due=due),)))
    assert ids(await store.claim(NOW, 2)) == ["m1", "m3"]
    assert ids(await store.claim(NOW, 10)) == ["m0"]
    assert await store.claim(NOW, 10) == []
    assert await store.next_due() == NOW + 5


async def test_two_who_claim_at_once_never_get_the_same(store: QueueStore) -> None:
    await asyncio.gather(*(store.enqueue(queued(f"m{number}")) for number in range(30)))
    shares = await asyncio.gather(*(store.claim(NOW, 7) for _ in range(6)))
    assert sorted(ids([message for share in shares for message in share])) == sorted(f"m{n}" for n in range(30))


async def test_a_message_enqueued_as_claimed_belongs_to_the_caller(store: QueueStore) -> None:
    await store.enqueue(queued("m1"), claim=True)
    assert await store.claim(NOW, 10) == []
    assert await store.next_due() is None
    await store.release_claim("m1")
    assert ids(await store.claim(NOW, 10)) == ["m1"]


async def test_claims_end_with_the_store(reopened: Reopen) -> None:
    await (await reopened()).enqueue(queued("m1"), claim=True)
    assert ids(await (await reopened()).claim(NOW, 10)) == ["m1"]


async def test_releasing_what_is_not_claimed_does_nothing(store: QueueStore) -> None:
    await store.release_claim("m1")
    await store.enqueue(queued("m1"))
    await store.release_claim("m1")
    assert ids(await store.claim(NOW, 10)) == ["m1"]


async def test_only_due_recipients_are_claimed(store: QueueStore) -> None:
    states = (
        RecipientState(0, "default", due=NOW),
        RecipientState(1, "default", due=NOW + 10),
        RecipientState(2, "default", state="held", due=NOW),
    )
    await store.enqueue(queued("m1", "a@x.example", "b@x.example", "c@x.example", states=states))
    [first] = await store.claim(NOW, 10)
    assert first.states == states[:1]
    assert len(first.envelope.recipients) == 3
    [second] = await store.claim(NOW + 10, 10)
    assert second.states == states[1:2]


async def test_a_retry_is_due_again_at_its_time_with_its_attempts_counted(reopened: Reopen) -> None:
    store = await reopened()
    await store.enqueue(queued("m1"), claim=True)
    fate = RecipientFate(0, "queued", "450 busy", due=NOW + 300, warned=True)
    await store.settle(settlement("m1", fate))
    store = await reopened()
    assert await store.claim(NOW + 299, 10) == []
    [found] = await store.claim(NOW + 300, 10)
    assert found.states == (RecipientState(0, "default", "queued", NOW + 300, 1, "450 busy", True),)
    again = RecipientFate(0, "queued", "450 busy", due=NOW + 900, counted=False)
    await store.settle(settlement("m1", again))
    [found] = await store.claim(NOW + 900, 10)
    assert (found.states[0].attempts, found.states[0].warned) == (1, True)


async def test_recipients_are_settled_one_by_one_and_the_others_stay_claimed(store: QueueStore) -> None:
    await store.enqueue(queued("m1", "a@x.example", "b@x.example"), claim=True)
    await store.settle(settlement("m1", RecipientFate(0, "queued", "450", due=NOW)))
    [found] = await store.claim(NOW, 10)
    assert [state.index for state in found.states] == [0]
    await store.settle(settlement("m1", RecipientFate(1, "delivered", "250")))
    [shown] = await store.search(QueueFilter())
    assert [state.state for state in shown.states] == ["queued", "delivered"]
    assert shown.content == Content(len(BODY))


async def test_a_message_that_ended_is_never_claimed_and_keeps_its_history(reopened: Reopen) -> None:
    store = await reopened()
    await store.enqueue(queued("m1"), claim=True)
    event = Event(NOW + 1, "delivery.attempted", {"host": "mx.example", "tls": None}, (0,))
    await store.settle(settlement("m1", events=(event, replace(event, at=NOW))))
    store = await reopened()
    assert await store.claim(LATER, 10) == []
    assert await store.search(QueueFilter()) == []
    [record] = await store.trace(QueueFilter(id="m1"))
    assert record.message.states[0].state == "delivered"
    assert record.events == (event, replace(event, at=NOW))
    assert record.message.evidence == queued("m1").evidence


async def test_notices_become_durable_with_the_settlement(reopened: Reopen) -> None:
    store = await reopened()
    await store.enqueue(queued("m1"), claim=True)
    bounce = queued("n1", "alice@fabrikam.example", sender="")
    await store.settle(settlement("m1", RecipientFate(0, "failed", "550"), notices=(bounce,)))
    assert await (await reopened()).claim(NOW, 10) == [bounce]


async def test_a_settlement_that_cannot_be_written_changes_nothing(store: QueueStore) -> None:
    await store.enqueue(queued("m1"), claim=True)
    await store.enqueue(queued("taken"), claim=True)
    with pytest.raises(LocalProtocolError, match="taken"):
        await store.settle(settlement("m1", notices=(queued("n1"), queued("taken"))))
    assert (await store.counts()).states == {"queued": 2}
    [record] = await store.trace(QueueFilter(id="m1"))
    assert record.events == ()
    assert await store.trace(QueueFilter(id="n1")) == []
    assert await store.claim(NOW, 10) == []  # it is still the caller's, who may settle again


@pytest.mark.parametrize(
    ("id_", "fate"),
    [
        ("unknown", RecipientFate(0, "delivered", "")),
        ("m1", RecipientFate(7, "delivered", "")),
        ("m1", RecipientFate(0, "vanished", "")),
    ],
)
async def test_settling_what_does_not_exist_is_a_defect_of_ours(
    store: QueueStore, id_: str, fate: RecipientFate
) -> None:
    await store.enqueue(queued("m1"))
    with pytest.raises(LocalProtocolError, match=id_):
        await store.settle(settlement(id_, fate))
    assert (await store.counts()).states == {"queued": 1}


async def test_an_id_can_be_queued_once(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    with pytest.raises(LocalProtocolError, match="m1"):
        await store.enqueue(queued("m1", "else@x.example"))
    assert (await store.counts()).states == {"queued": 1}


async def test_evidence_that_is_not_json_is_refused(store: QueueStore) -> None:
    with pytest.raises(LocalProtocolError, match="JSON"):
        await store.enqueue(queued("m1", evidence={"x": object()}))
    assert await store.next_due() is None


async def test_held_mail_waits_until_it_is_released(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    hold = RecipientFate(0, "held", "by hand", counted=False)
    await store.settle(settlement("m1", hold, by_operator=True))
    assert await store.claim(LATER, 10) == []
    release = RecipientFate(0, "queued", "by hand", due=LATER, counted=False)
    await store.settle(settlement("m1", release, by_operator=True))
    assert ids(await store.claim(LATER, 10)) == ["m1"]


async def test_an_operators_command_leaves_the_claim_of_an_attempt_under_way(store: QueueStore) -> None:
    await store.enqueue(queued("m1"), claim=True)
    retry = RecipientFate(0, "queued", "by hand", due=NOW, counted=False)
    await store.settle(settlement("m1", retry, by_operator=True))
    assert await store.claim(LATER, 10) == []


@pytest.mark.parametrize("counted", [True, False], ids=["attempt", "command"])
@pytest.mark.parametrize(("old", "new"), list(itertools.product(sorted(STATES), sorted(STATES))))
async def test_every_move_is_the_lifecycles(store: QueueStore, old: str, new: str, counted: bool) -> None:
    """The table of model/lifecycle.py, told once more by what the store has written: state, counters, end."""
    two = (RecipientState(0, "default", state=QUEUED, due=LATER), RecipientState(1, "default", state=HELD, due=LATER))
    await store.enqueue(queued("m1", "bob@contoso.example", "eve@contoso.example", states=two))
    await store.settle(settlement("m1", RecipientFate(0, old, "first", due=LATER, counted=False)))
    await store.settle(settlement("m1", RecipientFate(0, new, "then", due=LATER, counted=counted)))
    expected = lifecycle.after(old, new, by_attempt=counted)
    [record] = await store.trace(QueueFilter(id="m1"))
    first = record.message.states[0]
    assert (first.state, first.reason) == ((old, "first") if expected is None else (expected, "then"))
    assert (await store.counts()).states == Counter([first.state, HELD])


async def test_an_end_that_is_no_state_is_refused(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    with pytest.raises(LocalProtocolError, match="no state 'lost'"):
        await store.settle(settlement("m1", RecipientFate(0, "lost", "")))


@pytest.mark.parametrize(("outcome", "after"), [("queued", "held"), ("delivered", "delivered"), ("failed", "failed")])
async def test_an_attempt_that_was_under_way_when_it_was_held(store: QueueStore, outcome: str, after: str) -> None:
    """A retry does not lift the hold; a delivery that happened has happened."""
    await store.enqueue(queued("m1"), claim=True)
    hold = RecipientFate(0, "held", "by hand", counted=False)
    await store.settle(settlement("m1", hold, by_operator=True))
    await store.settle(settlement("m1", RecipientFate(0, outcome, "an attempt", due=NOW)))
    assert (await store.counts()).states == {after: 1}


async def test_an_attempt_that_was_under_way_when_it_was_deleted_is_told_in_the_history(store: QueueStore) -> None:
    await store.enqueue(queued("m1"), claim=True)
    delete = RecipientFate(0, "deleted", "by hand", counted=False)
    await store.settle(settlement("m1", delete, by_operator=True))
    await store.settle(settlement("m1"))
    assert (await store.counts()).states == {"deleted": 1}
    [record] = await store.trace(QueueFilter(id="m1"))
    assert len(record.events) == 2


async def test_counts_follow_every_change_and_survive_reopening(reopened: Reopen) -> None:
    store = await reopened()
    assert (await store.counts()).states == {}
    await store.enqueue(queued("m1", "a@x.example", "b@x.example"))
    await store.enqueue(queued("m2", body=b"x" * 100))
    counts = await store.counts()
    assert (counts.states, counts.octets) == ({"queued": 3}, len(BODY) + 100)
    await store.settle(settlement("m2"))
    await store.settle(settlement("m1", RecipientFate(1, "held", "")))
    for counts in (await store.counts(), await (await reopened()).counts()):
        assert (counts.states, counts.octets) == ({"queued": 1, "held": 1, "delivered": 1}, len(BODY))


async def test_a_late_settlement_never_reaches_a_message_that_came_after(store: QueueStore) -> None:
    """Deleted during its attempt and forgotten at once, a message must not give away what it was known by."""
    gone = RecipientFate(0, "deleted", "deleted by the administrator", counted=False)
    await store.enqueue(queued("first"), claim=True)
    await store.settle(replace(settlement("first", gone), by_operator=True))
    await store.purge(LATER)
    await store.enqueue(queued("second"))
    with contextlib.suppress(LocalProtocolError):  # a store may know the first message still, or no more
        await store.settle(settlement("first"))
    assert ids(await store.claim(NOW, 10)) == ["second"]


async def test_purge_spares_what_somebody_is_delivering(store: QueueStore) -> None:
    gone = RecipientFate(0, "deleted", "deleted by the administrator", counted=False)
    for name in ("claimed", "free"):
        await store.enqueue(queued(name), claim=name == "claimed")
        await store.settle(replace(settlement(name, gone), by_operator=True))
    assert await store.purge(LATER, limit=1) == 1
    assert [record.message.id for record in await store.trace(QueueFilter())] == ["claimed"]
    await store.settle(settlement("claimed"))
    [record] = await store.trace(QueueFilter())
    assert [state.state for state in record.message.states] == ["deleted"]
    assert await store.purge(LATER) == 1


async def test_purge_forgets_what_ended_before_and_nothing_else(store: QueueStore) -> None:
    for number in range(5):
        await store.enqueue(queued(f"m{number}"))
        if number < 4:
            await store.settle(settlement(f"m{number}", at=NOW + number))
    assert await store.purge(NOW + 3, limit=2) == 2
    assert await store.purge(NOW + 3, limit=2) == 1
    assert await store.purge(NOW + 3) == 0
    assert {record.message.id for record in await store.trace(QueueFilter())} == {"m3", "m4"}
    assert (await store.counts()).states == {"queued": 1, "delivered": 1}


@pytest.fixture
async def assorted(store: QueueStore) -> QueueStore:
    """Four messages; `aa2` has been delivered to its only recipient."""
    partner = (RecipientState(0, "partner", due=NOW),)
    await store.enqueue(queued("aa1", "bob@contoso.example", sender="alice@fabrikam.example"))
    await store.enqueue(queued("aa2", "Bob@contoso.example", sender="carol@fabrikam.example", states=partner))
    await store.enqueue(queued("ab1", "dave@x.contoso.example", sender="", received=NOW + 50))
    two = (RecipientState(0, "partner", state="held"), RecipientState(1, "default", due=NOW))
    await store.enqueue(queued("b1", "eve@contoso.example", "bob@other.example", states=two, received=NOW + 60))
    await store.settle(settlement("aa2"))
    return store


FILTERS = [
    (QueueFilter(), ["b1", "ab1", "aa2", "aa1"]),
    (QueueFilter(id="aa"), ["aa2", "aa1"]),
    (QueueFilter(id="aa1"), ["aa1"]),
    (QueueFilter(id="a_1"), []),
    (QueueFilter(connector="partner"), ["b1", "aa2"]),
    (QueueFilter(recipient="BOB@Contoso.example"), ["aa2", "aa1"]),
    (QueueFilter(recipient="contoso.example"), ["b1", "aa2", "aa1"]),
    (QueueFilter(recipient="@contoso.example"), ["b1", "aa2", "aa1"]),
    (QueueFilter(recipient="ontoso.example"), []),
    (QueueFilter(sender="carol@fabrikam.example"), ["aa2"]),
    (QueueFilter(sender="fabrikam.example"), ["b1", "aa2", "aa1"]),
    (QueueFilter(sender="<>"), ["ab1"]),
    (QueueFilter(state="delivered"), ["aa2"]),
    (QueueFilter(state="held"), ["b1"]),
    (QueueFilter(since=NOW + 50), ["b1", "ab1"]),
    (QueueFilter(until=NOW + 50), ["aa2", "aa1"]),
    (QueueFilter(sender="fabrikam.example", since=NOW + 50), ["b1"]),
    (QueueFilter(recipient="contoso.example", connector="partner", state="held"), ["b1"]),
    (QueueFilter(attempts=1), ["aa2"]),
    (QueueFilter(reason="250 OK"), ["aa2"]),
    (QueueFilter(reason="%"), []),
    (QueueFilter(larger=len(BODY) + 1), []),
    (QueueFilter(larger=len(BODY), smaller=len(BODY)), ["b1", "ab1", "aa2", "aa1"]),
    (QueueFilter(smaller=len(BODY) - 1), []),
    (QueueFilter(limit=2), ["b1", "ab1"]),
    (QueueFilter(recipient="contoso.example", limit=1), ["b1"]),
]


@pytest.mark.parametrize(("which", "expected"), FILTERS)
async def test_trace_finds_by_every_condition_newest_first(
    assorted: QueueStore, which: QueueFilter, expected: list[str]
) -> None:
    assert [record.message.id for record in await assorted.trace(which)] == expected


@pytest.mark.parametrize(("which", "expected"), [case for case in FILTERS if case[0].limit == 1000])
async def test_search_finds_the_undelivered_ones_oldest_first(
    assorted: QueueStore, which: QueueFilter, expected: list[str]
) -> None:
    assert ids(await assorted.search(which)) == [id_ for id_ in reversed(expected) if id_ != "aa2"]


@pytest.mark.parametrize(("which", "expected"), FILTERS)
async def test_it_finds_the_same_in_a_history_too_long_for_one_look(
    assorted: QueueStore, which: QueueFilter, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mta.adapters.sqlite.queries.WINDOW", 1)
    assert [record.message.id for record in await assorted.trace(which)] == expected
    undelivered = [id_ for id_ in reversed(expected) if id_ != "aa2"]
    if which.limit == 1000:
        assert ids(await assorted.search(which)) == undelivered


@pytest.mark.parametrize("domain", ["bücher.example", "BÜCHER.Example", "xn--bcher-kva.example", "bücher.example."])
async def test_a_domain_is_found_in_either_of_its_forms(store: QueueStore, domain: str) -> None:
    await store.enqueue(queued("u", "bert@bücher.example", sender="jürgen@xn--bcher-kva.example"))
    await store.enqueue(queued("other", "bert@bucher.example"))
    for which in (
        QueueFilter(recipient=domain),
        QueueFilter(recipient=f"bert@{domain}"),
        QueueFilter(sender=f"jürgen@{domain}"),
    ):
        assert ids(await store.search(which)) == ["u"]


async def test_search_heeds_its_limit(assorted: QueueStore) -> None:
    assert ids(await assorted.search(QueueFilter(limit=2))) == ["aa1", "ab1"]


async def test_many_at_once_are_all_kept(reopened: Reopen) -> None:
    store = await reopened()

    async def one(number: int) -> None:
        await store.enqueue(queued(f"m{number:03}", body=b"%d" % number), claim=True)
        if number % 2:
            await store.settle(settlement(f"m{number:03}"))

    await asyncio.gather(*(one(number) for number in range(200)))
    found = await (await reopened()).claim(NOW, 500)
    assert {message.id: message.content.data for message in found} == {
        f"m{number:03}": b"%d" % number for number in range(0, 200, 2)
    }


async def test_who_gives_up_waiting_for_an_enqueue_leaves_no_claim_behind(store: QueueStore) -> None:
    task = asyncio.ensure_future(store.enqueue(queued("m1"), claim=True))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.enqueue(queued("m2"), claim=True)
    while not (found := await store.claim(NOW, 10)):  # what was given up may be written after what came later
        pass
    assert ids(found) == ["m1"]


async def test_who_gives_up_waiting_for_a_claim_leaves_none_behind(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    task = asyncio.ensure_future(store.claim(NOW, 10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.next_due()
    assert ids(await store.claim(NOW, 10)) == ["m1"]


async def test_a_closed_store_takes_nothing(reopened: Reopen) -> None:
    store = await reopened()
    await reopened()
    with pytest.raises(Exception, match="closed"):
        await store.enqueue(queued("m1"))


def later(index: int) -> RecipientFate:
    return RecipientFate(index, "queued", "450 later", due=NOW + 2)


@pytest.mark.parametrize("size", [40, 3_000_000])
async def test_a_form_is_what_its_recipients_are_sent_from_then_on(reopened: Reopen, size: int) -> None:
    store = await reopened()
    await store.enqueue(queued("m1", "bob@x.example", "carol@x.example", "dan@y.example"), claim=True)
    sealed = b"Subject: x\r\n\r\n" + b"s" * size
    form = NewForm((0, 2), Content(len(sealed), data=sealed), {"encrypted": True})
    await store.settle(settlement("m1", later(0), later(1), later(2), forms=(form,)))
    for restarted in (False, True):
        again = await reopened() if restarted else store
        [found] = await again.claim(NOW + 2, 10)
        assert [state.form for state in found.states] == [1, 0, 1]
        [kept] = found.forms
        assert (kept.number, kept.detail, kept.content.size) == (1, {"encrypted": True}, len(sealed))
        assert b"".join([piece async for piece in again.read(kept.content)]) == sealed
        assert kept.content.beginning.startswith(b"Subject: x\r\n\r\n")
        assert await content_of(again, found) == BODY


async def test_forms_of_one_message_do_not_mix(store: QueueStore) -> None:
    await store.enqueue(queued("m1", "bob@x.example", "carol@x.example"), claim=True)
    forms = tuple(NewForm((i,), Content(2, data=text), {"for": i}) for i, text in enumerate((b"aa", b"bb")))
    await store.settle(settlement("m1", later(0), later(1), forms=forms[:1]))
    await store.settle(settlement("m1", later(1), forms=forms[1:]))
    [found] = await store.claim(NOW + 2, 10)
    assert [(state.index, state.form) for state in found.states] == [(0, 1), (1, 2)]
    assert [(form.number, form.content.data) for form in found.forms] == [(1, b"aa"), (2, b"bb")]


async def test_forms_end_with_their_message(reopened: Reopen, tmp_path: Path) -> None:
    store = await reopened()
    await store.enqueue(queued("m1", "bob@x.example", "carol@x.example"), claim=True)
    big = Content(2_000_000, data=b"x" * 2_000_000)
    await store.settle(settlement("m1", later(0), later(1), forms=(NewForm((0, 1), big, {}),)))
    [found] = await store.claim(NOW + 2, 10)
    path = Path(found.forms[0].content.path or "")
    assert path.exists()
    await store.settle(settlement("m1", RecipientFate(0, "delivered", "250 ok")))
    assert path.exists(), "the other recipient still needs it"
    await store.settle(settlement("m1", RecipientFate(1, "failed", "550 no")))
    assert await store.claim(LATER, 10) == []
    await reopened()
    assert not path.exists()


async def test_a_recipient_that_came_to_its_end_takes_no_form(store: QueueStore) -> None:
    await store.enqueue(queued("m1", "bob@x.example", "carol@x.example"), claim=True)
    form = NewForm((0, 1), Content(2, data=b"aa"), {})
    await store.settle(settlement("m1", RecipientFate(0, "delivered", "250 ok"), later(1), forms=(form,)))
    [found] = await store.claim(NOW + 2, 10)
    assert [(state.index, state.form) for state in found.states] == [(1, 1)]
    [traced] = await store.trace(QueueFilter(id="m1"))
    assert [state.form for state in traced.message.states] == [0, 1]


# --- commands on many messages ---------------------------------------------------------------------------------------


def command(state: str, *meant: str, **changed: object) -> QueueCommand:
    given: dict[str, object] = {"which": QueueFilter(), "reason": f"{state} by hand", "note": "why", **changed}
    return QueueCommand(event=f"message.{state}", state=state, meant=meant, at=NOW + 5, **given)  # type: ignore[arg-type]


async def change(store: QueueStore, command: QueueCommand) -> list[str]:
    return [name async for window in store.change(command) for name in window]


async def test_a_command_changes_the_recipients_that_its_filter_means(store: QueueStore) -> None:
    states = (RecipientState(0, "fabrikam", due=NOW), RecipientState(1, "other", due=NOW))
    await store.enqueue(queued("m1", "bob@x.example", "carol@y.example", states=states))
    await store.enqueue(queued("m2", "carol@y.example", states=(RecipientState(0, "other", due=NOW),)))
    both = QueueFilter(connector="fabrikam", recipient="bob@x.example")
    assert await change(store, command("held", "queued", which=both)) == ["m1"]
    assert (await store.counts()).states == {"held": 1, "queued": 2}
    [record] = await store.trace(QueueFilter(id="m1"))
    assert [(s.state, s.reason) for s in record.message.states] == [("held", "held by hand"), ("queued", "")]
    [event] = record.events
    assert (event.name, event.at, event.recipients) == ("message.held", NOW + 5, (0,))
    assert event.detail == {"by": "administrator", "note": "why"}
    # of one recipient both must hold
    mixed = QueueFilter(connector="fabrikam", recipient="carol@y.example")
    assert await change(store, command("held", "queued", which=mixed)) == []
    assert ids(await store.claim(NOW, 10)) == ["m1", "m2"]


async def test_a_command_passes_over_states_that_it_is_not_for(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    assert await change(store, command("queued", "held")) == []
    assert await change(store, command("held", "queued")) == ["m1"]
    assert await change(store, command("held", "queued")) == []
    assert await change(store, command("queued", "held", reason="")) == ["m1"]
    [message] = await store.search(QueueFilter())
    assert (message.states[0].state, message.states[0].reason, message.states[0].due) == (
        "queued",
        "held by hand",
        NOW + 5,
    )


async def test_deleting_ends_a_message_with_its_last_recipient(store: QueueStore) -> None:
    await store.enqueue(queued("m1", "bob@x.example", "carol@y.example"))
    delete = command("deleted", "queued", "held", which=QueueFilter(recipient="x.example"))
    assert await change(store, delete) == ["m1"]
    assert (await store.counts()).octets == len(BODY)
    assert await change(store, command("deleted", "queued", "held")) == ["m1"]
    assert (await store.counts()).octets == 0
    assert await store.search(QueueFilter()) == []
    assert await store.purge(NOW + 6) == 1


async def test_a_command_on_more_than_a_window_holds_changes_each_once(store: QueueStore) -> None:
    names = [f"m{number:04}" for number in range(700)]
    await asyncio.gather(*(store.enqueue(queued(name)) for name in names))
    windows = [window async for window in store.change(command("queued", "queued", "held", asked=True))]
    assert sorted(name for window in windows for name in window) == names
    assert max(map(len, windows)) < 300
    limited = command("held", "queued", which=QueueFilter(limit=300))
    assert len(await change(store, limited)) == 300
    assert (await store.counts()).states == {"held": 300, "queued": 400}
    assert len(await change(store, command("deleted", "queued", "held", which=QueueFilter(state="held")))) == 300
    assert (await store.counts()).states == {"deleted": 300, "queued": 400}


async def test_a_command_takes_no_larger_steps_than_it_is_told(store: QueueStore) -> None:
    for number in range(7):
        await store.enqueue(queued(f"m{number}"))
    steps = [window async for window in store.change(command("held", "queued", step=3))]
    assert [len(window) for window in steps if window] == [3, 3, 1]


async def test_a_recipient_that_was_given_up_is_never_put_off_unseen(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    assert await change(store, command("queued", "queued", reason="given up", word="returned")) == ["m1"]
    [waiting] = await store.waiting(NOW + 10, 10)
    assert not waiting.plain
    [message] = await store.search(QueueFilter())
    assert [(state.word, state.reason) for state in message.states] == [("returned", "given up")]


async def test_a_survey_counts_what_waits_by_connector_domain_state_and_age(store: QueueStore) -> None:
    states = (RecipientState(0, "fabrikam", due=NOW + 9), RecipientState(1, "other", due=NOW, state="held"))
    await store.enqueue(queued("m1", "bob@x.example", "carol@y.example", states=states, received=NOW - 700))
    await store.enqueue(queued("m2", "al@x.example", states=(RecipientState(0, "fabrikam", due=NOW + 5),)))
    await store.enqueue(queued("m3", "al@x.example", states=(RecipientState(0, "fabrikam", due=NOW + 7),)))
    await store.settle(settlement("m3", RecipientFate(0, "queued", "451 later", due=NOW + 30)))
    await store.enqueue(queued("gone", "al@x.example"))
    await store.settle(settlement("gone"))

    async def seen(which: QueueFilter) -> tuple[int, set[tuple[object, ...]]]:
        found = [window async for window in store.survey(which, NOW)]
        groups = {tuple(getattr(group, name) for name in group.__slots__) for w in found for group in w.groups}
        return sum(window.messages for window in found), groups

    old = ("fabrikam", "x.example", "queued", 2, 1, NOW - 700, NOW + 9, 0, "")
    new = ("fabrikam", "x.example", "queued", 0, 2, NOW, NOW + 5, 1, "451 later")
    held = ("other", "y.example", "held", 2, 1, NOW - 700, NOW, 0, "")
    assert await seen(QueueFilter(limit=1)) == (3, {old, new, held})
    assert await seen(QueueFilter(connector="other")) == (1, {held})
    assert await seen(QueueFilter(until=NOW - 1, recipient="x.example")) == (1, {old})
    assert await seen(QueueFilter(reason="LATER")) == (1, {(*new[:4], 1, NOW, NOW + 30, 1, "451 later")})


async def test_who_stops_asking_stops_the_command(store: QueueStore) -> None:
    await asyncio.gather(*(store.enqueue(queued(f"m{number:04}")) for number in range(600)))
    async for window in store.change(command("held", "queued")):
        assert window
        break
    held = (await store.counts()).states["held"]
    assert 0 < held < 600


async def test_what_comes_during_a_command_is_not_meant(store: QueueStore) -> None:
    await asyncio.gather(*(store.enqueue(queued(f"m{number:04}")) for number in range(300)))
    async for _ in store.change(command("held", "queued")):
        await store.enqueue(queued(f"late{(await store.counts()).states['held']}"))
    assert (await store.counts()).states["held"] == 300


async def test_an_attempt_that_is_asked_for_does_not_lengthen_the_pause(store: QueueStore) -> None:
    """Asked for again and again: the attempts that count for the next pause are those made by themselves."""
    await store.enqueue(queued("m1"))
    [claimed] = await store.claim(NOW, 1)
    await store.settle(settlement("m1", RecipientFate(0, "queued", "450", due=LATER)))
    retry = command("queued", "queued", "held", reason="", asked=True)
    for _ in range(3):
        assert await change(store, retry) == ["m1"]
    [claimed] = await store.claim(NOW + 5, 1)
    assert claimed.states[0].attempts == 0
    await store.settle(settlement("m1", RecipientFate(0, "queued", "450", due=LATER)))
    [message] = await store.search(QueueFilter())
    assert message.states[0].attempts == 1


async def test_the_word_of_a_reason_is_kept_until_another_is_given(reopened: Reopen) -> None:
    store = await reopened()
    states = tuple(RecipientState(place, "default", "held", word="quarantine", reason="x") for place in range(3))
    await store.enqueue(queued("m1", "a@x.example", "b@x.example", "c@x.example", states=states))
    fate = RecipientFate(1, "held", "y", counted=False, word="smime-no-certificate")
    await store.settle(settlement("m1", fate))
    await change(store, command("deleted", "held", which=QueueFilter(recipient="c@x.example")))
    await change(store, command("queued", "held", which=QueueFilter(recipient="a@x.example"), reason=""))
    [message] = await (await reopened()).search(QueueFilter())
    seen = [(state.state, state.word, state.reason) for state in message.states]
    held = ("held", "smime-no-certificate", "y")
    assert seen == [("queued", "quarantine", "x"), held, ("deleted", "", "deleted by hand")]


async def test_browsing_gives_everything_in_pages(store: QueueStore) -> None:
    names = [f"m{number:04}" for number in range(120)]
    for name in names:
        await store.enqueue(queued(name))
    pages = [ids(page) async for page in store.browse(QueueFilter())]
    assert [name for page in pages for name in page] == names
    assert max(map(len, pages)) <= 50


async def test_recipients_that_wait_are_seen_and_put_off_without_being_claimed(store: QueueStore) -> None:
    states = (RecipientState(0, "a", due=NOW, attempts=2, warned=True), RecipientState(1, "b", due=NOW + 50))
    to = Envelope(mailbox("s@x.example"), (Recipient(mailbox("p@p.example")), Recipient(mailbox("q@q.example"))))
    await store.enqueue(replace(queued("m1", states=states), envelope=to))
    await store.enqueue(replace(queued("m2"), envelope=Envelope(None, to.recipients[:1], tls="required")))
    await store.enqueue(queued("taken"), claim=True)
    seen = await store.waiting(NOW, 10)
    first = seen[0]
    assert (first.connector, first.domain, first.attempts, first.warned) == ("a", "p.example", 2, True)
    assert [(one.null_sender, one.plain) for one in seen] == [(False, True), (True, False)]
    assert len(await store.waiting(NOW, 1)) == 1
    await store.postpone(
        [Postponement(seen[0], NOW + 500, "connect", "down"), Postponement(seen[1], NOW + 500, "", "x")]
    )
    assert await store.waiting(NOW, 10) == []
    assert await store.next_due() == NOW + 50
    [found] = await store.search(QueueFilter(id="m1"))
    assert found.states[0] == replace(states[0], due=NOW + 500, attempts=3, word="connect", reason="down")
    [second] = await store.search(QueueFilter(id="m2"))
    assert second.states[0].attempts == 1


async def test_who_was_changed_meanwhile_is_not_put_off(store: QueueStore) -> None:
    await store.enqueue(queued("m1"))
    [seen] = await store.waiting(LATER, 10)
    await store.settle(settlement("m1", RecipientFate(0, "queued", "retried", due=NOW + 1, counted=False)))
    await store.postpone([Postponement(seen, NOW + 500, "connect", "down")])
    assert await store.next_due() == NOW + 1


async def test_times_that_a_wrong_clock_has_set_are_mended(store: QueueStore) -> None:
    year = 31_536_000.0
    await store.enqueue(queued("tried", states=(RecipientState(0, "default", due=NOW + year, attempts=1),)))
    await store.enqueue(queued("new", states=(RecipientState(0, "default", due=NOW + year),)))
    await store.enqueue(queued("spread", states=(RecipientState(0, "default", due=NOW + 3000),)))
    await store.enqueue(queued("soon", states=(RecipientState(0, "default", due=NOW + 90, attempts=1),)))
    assert await store.hasten(NOW, NOW + 100, NOW + 3600) == 2
    assert sorted(ids(await store.claim(NOW, 10))) == ["new", "tried"]
    assert await store.hasten(NOW, NOW + 100, NOW + 3600) == 0
