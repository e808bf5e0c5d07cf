"""The inbound steps in their order: counted, judged, composed, stored, and only then answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.inbound import Inbound
from mta.errors import StorageError, StorageFull
from mta.model.auth import AuthenticationFacts, AuthResult, SpfOutcome
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content
from mta.model.reply import Reply
from mta.observe.log import EventLog
from mta.pipeline import inbound
from mta.pipeline.accept import Judgement
from mta.policy.decision import Decision, Verdict
from tests.unit.pipeline.inbound_world import HEADER, MESSAGE, World, spooled
from tests.unit.policy.world import CONTOSO, FABRIKAM, INSIDER, PARTNER, STRANGER, demanding, facts, mailbox

OPEN_DOMAIN = replace(CONTOSO, recipients="any")


async def test_a_message_is_stored_with_its_stamp_and_evidence_before_it_is_answered() -> None:
    world = World()
    answer = await world.send(
        MESSAGE, facts=replace(PARTNER, helo="mail.fabrikam.example", session_id="s1"), sender="a@fabrikam.example",
        ret="HDRS", envid="x1", body="8BITMIME",
    )  # fmt: skip
    [message] = world.store.taken
    assert str(answer) == f"250 2.0.0 Queued as {message.id}"
    assert message.content.data == MESSAGE
    assert message.prefix.startswith(b"Received: from mail.fabrikam.example")
    assert b"by mx.contoso.example" in message.prefix
    assert message.id.encode() in message.prefix
    assert message.prefix.endswith(b"\r\n")
    assert (message.envelope.ret, message.envelope.envid, message.envelope.body) == ("HDRS", "x1", "8BITMIME")
    assert (message.inbound, message.states[0].connector) == ("fabrikam", "internal")
    evidence = message.evidence
    assert evidence["client"] == "203.0.113.9"
    assert evidence["session"] == "s1"
    assert evidence["connector"] == "fabrikam"
    assert evidence["tls"]["version"] == "1.3"
    assert evidence["reasons"]
    assert world.store.claims == [True]
    assert world.outbound.submitted == [message]


async def test_without_capacity_the_message_waits_for_the_scheduler() -> None:
    world = World()
    world.outbound.capacity = 0
    assert (await world.send()).code == 250
    assert (world.store.claims, world.outbound.submitted, world.woken) == ([False], [], 1)


@pytest.mark.parametrize(("trouble", "code", "status"), [
    (StorageFull("no space left"), 452, "4.3.1"), (StorageError("input/output error"), 451, "4.3.0"),
])  # fmt: skip
async def test_what_cannot_be_stored_is_never_answered_250_and_heals(
    trouble: Exception, code: int, status: str
) -> None:
    world = World()
    world.store.trouble = trouble
    answer = await world.send()
    assert (answer.code, answer.enhanced) == (code, status)
    assert str(trouble) not in str(answer)
    assert world.outbound.submitted == []
    assert [event["error"] for event in world.events("message.not-stored")] == [str(trouble)]
    world.store.trouble = None
    assert (await world.send()).code == 250


def test_no_room_for_a_message_that_arrives_is_told_like_no_room_at_its_end() -> None:
    world = World()
    session = world.open()
    session.error(STRANGER, Reply(452, "4.3.1", ("Insufficient system storage, try again later",)), "32 MiB are kept")
    session.error(STRANGER, Reply(552, "5.3.4", ("Message too large",)), "too large")
    assert [event["error"] for event in world.events("message.not-stored")] == ["32 MiB are kept"]


@pytest.mark.parametrize("beyond", [0, 1])
async def test_recipients(beyond: int) -> None:
    world = World(domains=(OPEN_DOMAIN,), limits={"recipients": 3})
    names = tuple(f"user{number}@contoso.example" for number in range(3 + beyond))
    answer = await world.send(recipients=names)
    assert answer.code == (452 if beyond else 250)


async def test_recipients_that_were_refused_do_not_fill_the_limit() -> None:
    world = World(limits={"recipients": 1})
    session = world.open()
    session.mail(STRANGER, Envelope(None))
    said = []
    for name in ("nobody", "alice", "postmaster"):
        said.append((await session.recipient(STRANGER, Recipient(mailbox(f"{name}@contoso.example")))).code)
    assert said == [550, 250, 452]


@pytest.mark.parametrize("beyond", [0, 1])
async def test_hops(beyond: int) -> None:
    world = World(limits={"hops": 5})
    content = b"Received: from a by b; Mon, 23 Nov 2026 22:00:00 +0000\r\n" * (5 + beyond) + MESSAGE
    answer = await world.send(content)
    assert (answer.code, answer.enhanced) == ((554, "5.4.6") if beyond else (250, "2.0.0"))
    assert [message.hops for message in world.store.taken] == ([] if beyond else [5])


@pytest.mark.parametrize("beyond", [0, 1])
async def test_header_size(beyond: int) -> None:
    world = World(limits={"header_size": 1000})
    pad = b"X-Pad: \r\n"
    filler = 1000 + beyond - len(HEADER) - len(pad)
    content = HEADER + b"X-Pad: " + b"p" * filler + b"\r\n\r\nbody\r\n"
    assert content.index(b"\r\n\r\n") + 2 == 1000 + beyond
    assert (await world.send(content)).code == (552 if beyond else 250)


@pytest.mark.parametrize("beyond", [0, 1])
async def test_header_addresses(beyond: int) -> None:
    """A From longer than anyone reads is ambiguous, and a claim could be hidden in it. Words and signs are counted."""
    world = World(limits={"header_addresses": 9})
    content = b"From: one two three four" + b" five" * beyond + b" <a@elsewhere.example>\r\n\r\nbody\r\n"
    assert (await world.send(content)).code == (550 if beyond else 250)


def nested(depth: int, padding: bytes = b"") -> bytes:
    """A message of `depth` multiparts, one in the other; `padding` stands in the body of the first."""
    content = HEADER
    for level in range(depth):
        content += b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % level
        content += padding if not level else b""
        content += b"--b%d\r\n" % level
    return content + b"\r\ntext\r\n"


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("large", [False, True])
async def test_mime_nesting_of_the_whole_message(beyond: int, large: bool, tmp_path: Path) -> None:
    world = World(limits={"mime_nesting": 7})
    content = nested(7 + beyond, b"filler\r\n" * 60_000 if large else b"")
    given = spooled(tmp_path, content) if large else Content(len(content), content)
    answer = await world.send(given)
    assert (answer.code, answer.enhanced) == ((554, "5.6.0") if beyond else (250, "2.0.0"))


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("large", [False, True])
async def test_boundary_length(beyond: int, large: bool, tmp_path: Path) -> None:
    world = World(limits={"boundary_length": 70})
    inner = b'Content-Type: multipart/mixed; boundary="' + b"i" * (70 + beyond) + b'"\r\n\r\n'
    filler = b"filler\r\n" * 60_000 if large else b""
    content = HEADER + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + filler + b"--x\r\n" + inner
    given = spooled(tmp_path, content) if large else Content(len(content), content)
    assert (await world.send(given)).code == (554 if beyond else 250)


async def test_a_large_message_is_judged_while_others_are_served(tmp_path: Path) -> None:
    content = HEADER + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + b"\r\n--y\r\n" * 300_000
    world, turns = World(), 0
    task = asyncio.create_task(world.send(spooled(tmp_path, content)))
    while not task.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert (await task).code == 250
    assert turns > 5


async def test_a_spool_that_cannot_be_read_back_is_trouble_not_a_pass(tmp_path: Path) -> None:
    world = World()
    content = HEADER + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    gone = replace(spooled(tmp_path, content), path=str(tmp_path / "gone"))
    assert (await world.send(gone)).code == 451
    empty = tmp_path / "empty"
    empty.touch()
    assert (await world.send(replace(gone, path=str(empty)))).code == 451
    assert world.store.taken == []


async def test_the_header_from_is_judged_apart_from_mail_from() -> None:
    world = World()
    forged = b"From: ceo@fabrikam.example\r\n\r\nbody\r\n"
    answer = await world.send(forged)
    assert answer.permanent
    [event] = world.events("mail.refused")
    assert (event["stage"], event["connector"]) == ("DATA", "fabrikam")
    assert event["reasons"]
    assert "203.0.113" not in str(answer)  # what was missing in detail is for us
    assert (await world.send(forged, facts=PARTNER, sender="ceo@fabrikam.example")).code == 250


async def test_an_audit_changes_nothing_and_says_what_it_would_have_done() -> None:
    audited = replace(FABRIKAM, mode="audit")
    world = World(audited)
    assert (await world.send(sender="a@fabrikam.example")).code == 250
    [message] = world.store.taken
    assert message.evidence["would"]["decision"] == "refuse"
    assert message.evidence["would"]["reasons"]
    [event] = world.events("mail.would-refuse")
    assert (event["message"], event["decision"]) == (message.id, "refuse")


async def test_an_audit_of_the_header_from_alone_is_told_too() -> None:
    world = World(replace(FABRIKAM, mode="audit"))
    assert (await world.send(b"From: a@fabrikam.example\r\n\r\nx\r\n")).code == 250
    assert [event["decision"] for event in world.events("mail.would-refuse")] == ["refuse"]
    assert "would" in world.store.taken[0].evidence


async def test_an_audit_that_would_have_accepted_is_no_warning() -> None:
    world = World(replace(FABRIKAM, mode="audit"))
    assert (await world.send(sender="a@fabrikam.example", facts=PARTNER)).code == 250
    assert world.events("mail.would-refuse") == []


async def test_a_refused_mail_leaves_no_transaction() -> None:
    world = World()
    session = world.open()
    assert session.mail(STRANGER, Envelope(mailbox("a@fabrikam.example"))).permanent
    assert world.store.siblings == 0
    assert session.mail(STRANGER, Envelope(mailbox("a@elsewhere.example"))).code == 250
    assert world.store.siblings == 1
    session.reset()
    session.reset()
    assert world.store.siblings == 0


async def test_a_session_that_ends_in_a_transaction_is_counted_no_more() -> None:
    world = World()
    session = world.open()
    session.mail(STRANGER, Envelope(None))
    assert (world.store.siblings, world.relay.sessions, world.relay.idle.is_set()) == (1, 1, False)
    session.closed(STRANGER, "vanished")
    session.closed(STRANGER, "again")
    assert (world.store.siblings, world.relay.sessions, world.relay.idle.is_set()) == (0, 0, True)
    assert not world.relay.per_client


@pytest.mark.parametrize("beyond", [0, 1])
async def test_connections_per_client(beyond: int) -> None:
    world = World(limits={"connections_per_client": 3})
    for _ in range(2 + beyond):
        world.open()
    answer = world.relay.session().opened(STRANGER)
    assert (answer.code if answer else 0) == (421 if beyond else 0)
    assert world.relay.session().opened(facts("198.51.100.8")) is None  # another client is not concerned


async def test_a_client_of_ipv6_is_its_network() -> None:
    world = World(limits={"connections_per_client": 1})
    world.open(facts("2001:db8:0:7::1"))
    assert world.relay.session().opened(facts("2001:db8:0:7:ffff::2")) is not None
    assert world.relay.session().opened(facts("2001:db8:0:8::1")) is None


async def test_proven_peers_may_come_in_numbers_up_to_the_servers_own_limit() -> None:
    world = World(limits={"connections_per_client": 1, "connections": 3})
    for _ in range(3):
        world.open(INSIDER)
    answer = world.relay.session().opened(INSIDER)
    assert answer is not None
    assert answer.code == 421


async def test_a_refused_connection_takes_nobodys_place() -> None:
    world = World(limits={"connections": 1})
    first = world.open()
    refused = world.relay.session()
    assert refused.opened(STRANGER) is not None
    refused.closed(STRANGER, "refused")
    assert world.relay.sessions == 1
    first.closed(STRANGER, "")
    world.open()


def reloaded(world: World, *connectors: Any, **parts: Any) -> None:
    """Another contract is in force."""
    world.site.contract = replace(World(*connectors, **parts).site.contract, generation=2)


STRICT = replace(FABRIKAM, domains=("*.example",), inbound=Inbound(tls=demanding()))
ALICE = Recipient(mailbox("alice@contoso.example"))


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_a_transaction_that_began_before_a_reload_is_judged_by_the_contract_of_now(stage: str) -> None:
    world = World()
    session = world.open()
    assert session.mail(STRANGER, Envelope(mailbox("a@elsewhere.example"))).code == 250
    if stage == "DATA":
        assert (await session.recipient(STRANGER, ALICE)).code == 250
    reloaded(world, STRICT)
    if stage == "RCPT":
        answer = await session.recipient(STRANGER, ALICE)
    else:
        answer = await session.message(STRANGER, Content(len(MESSAGE), MESSAGE))
    assert answer.permanent
    assert world.store.taken == []
    assert world.events("mail.refused")[0]["connector"] == STRICT.name


async def test_a_transaction_that_the_new_contract_permits_goes_on_under_it() -> None:
    world = World()
    session = world.open()
    assert session.mail(STRANGER, Envelope(mailbox("a@elsewhere.example"))).code == 250
    assert (await session.recipient(STRANGER, ALICE)).code == 250
    reloaded(world, domains=(replace(CONTOSO, connector="default"),))
    assert (await session.message(STRANGER, Content(len(MESSAGE), MESSAGE))).code == 250
    assert [state.connector for state in world.store.taken[0].states] == ["default"]


async def test_a_recipient_that_is_taken_no_more_makes_the_client_come_again() -> None:
    world = World()
    session = world.open()
    session.mail(STRANGER, Envelope(mailbox("a@elsewhere.example")))
    assert (await session.recipient(STRANGER, ALICE)).code == 250
    reloaded(world, domains=())
    assert (await session.message(STRANGER, Content(len(MESSAGE), MESSAGE))).code == 451
    assert world.store.taken == []


@pytest.mark.parametrize(("reloads", "code"), [(1, 250), (2, 250), (3, 451)])
async def test_a_content_is_judged_by_the_contract_that_is_in_force_when_it_is_done(
    reloads: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, left = World(), list(range(reloads))

    async def judged(*known: Any) -> Any:
        if left:
            left.pop()
            world.site.contract = replace(world.site.contract, generation=world.site.contract.generation + 1)
        return await judge_content(*known)

    judge_content = inbound.judge_content
    monkeypatch.setattr(inbound, "judge_content", judged)
    assert (await world.send()).code == code
    assert len(world.store.taken) == (code == 250)


async def test_a_reload_while_the_content_is_judged_may_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def judged(*known: Any) -> Any:
        reloaded(world, STRICT)
        return await judge_content(*known)

    judge_content = inbound.judge_content
    monkeypatch.setattr(inbound, "judge_content", judged)
    assert (await world.send()).permanent
    assert world.store.taken == []


@pytest.mark.parametrize("broken", ["metrics", "log", "submit", "counts"])
async def test_once_it_is_durable_nothing_stands_before_its_250(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a defect")

    match broken:
        case "metrics":
            world.site.log.metrics = SimpleNamespace(observe=fail)
        case "log":
            monkeypatch.setattr(EventLog, "info", fail)
        case "submit":
            world.outbound.submit = fail  # type: ignore[method-assign]
        case "counts":
            monkeypatch.setattr(inbound, "message_judged", fail)
    assert (await world.send()).code == 250
    assert len(world.store.taken) == 1
    assert len(world.outbound.submitted) == (broken != "submit")
    assert world.store.released == ([world.store.taken[0].id] if broken == "submit" else [])


async def test_a_stamp_names_the_recipient_only_where_there_is_one() -> None:
    world = World(domains=(OPEN_DOMAIN,))
    await world.send(recipients=("alice@contoso.example",))
    await world.send(recipients=("alice@contoso.example", "bob@contoso.example"))
    one, two = world.store.taken
    assert b"for <alice@contoso.example>" in one.prefix
    assert b"alice" not in two.prefix


FORGED = b"Authentication-Results: mx.contoso.example; dkim=pass\r\n"


@pytest.mark.parametrize(
    ("sender", "trouble", "code", "written"),
    [
        ("eve@elsewhere.example", None, 250, 1),
        ("eve@elsewhere.example", StorageFull("no space left"), 452, 1),
        ("bob@fabrikam.example", None, 550, 0),  # refused: nothing needs to be written anew
    ],
)
async def test_a_large_message_written_anew_is_let_go_of_whatever_comes_of_it(
    sender: str, trouble: Exception | None, code: int, written: int, tmp_path: Path
) -> None:
    """A spool that became the queue's does not mind being discarded (see the contract of the store)."""
    world = World()
    world.store.trouble = trouble
    raw = FORGED + f"From: {sender}\r\n\r\n".encode() + b"z" * 1000
    assert (await world.send(spooled(tmp_path, raw))).code == code
    assert [spool.discarded for spool in world.store.spools] == [1] * written


async def test_a_large_message_that_cannot_be_written_anew_is_let_go_of(tmp_path: Path) -> None:
    world = World()
    world.store.full_after = 0
    assert (await world.send(spooled(tmp_path, FORGED + MESSAGE))).code == 451
    assert [spool.discarded for spool in world.store.spools] == [1]


@pytest.mark.parametrize("first", [b" ", b"\t", b"\x0b", b"\xa0", b"\xef\xbb\xbf"])
async def test_a_first_line_that_would_continue_our_received_is_refused(first: bytes) -> None:
    answer = await World().send(first + b"with: x\r\n" + MESSAGE)
    assert str(answer) == "554 5.6.0 Message header not accepted"


async def test_what_was_judged_is_offered_for_a_second_opinion_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    offered: list[tuple[object, ...]] = []
    found = AuthenticationFacts(SpfOutcome(AuthResult.NONE), SpfOutcome(AuthResult.NONE))

    async def judge(*_: object) -> Judgement:
        return Judgement(Decision(Verdict.ACCEPT, "default"), Content(7, b"cut off"), authentication=found)

    monkeypatch.setattr("mta.pipeline.inbound.judge_content", judge)
    world.site.second_opinion = lambda identifier, raw, seen: offered.append(
        (raw, seen, [message.id for message in world.store.taken] == [identifier])
    )
    assert (await world.send()).positive
    assert offered == [(MESSAGE, found, True)]  # behind the commit
    world.site.second_opinion = lambda *_: 1 / 0
    assert (await world.send()).positive
    world.store.trouble = StorageError("full")
    world.site.second_opinion = lambda *found: offered.append(found)
    assert not (await world.send()).positive
    assert len(offered) == 1
