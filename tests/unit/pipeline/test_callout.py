"""Recipients that are verified at the system behind us: yes, no, nobody knows; asked once, remembered for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mta.errors import ConnectFailed, RemoteProtocolError, TlsFailed
from mta.model.reply import Reply
from mta.pipeline import callout
from tests.unit.pipeline.inbound_world import World
from tests.unit.policy.world import CONTOSO

VERIFIED = replace(CONTOSO, recipients="verify")
OK, NO = Reply(250, "2.1.5", ("Ok",)), Reply(550, "5.1.1", ("No such user",))
LATER = Reply(450, "4.2.0", ("Later",))


class FakeHops:
    """Answers probes with `answer`: (reply to MAIL, reply to RCPT), an exception, or None for no connection."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.kept = self.aborted = 0
        self.gate: asyncio.Event | None = None

    async def open(self, *_: Any) -> Any:
        if self.answer is None:
            return SimpleNamespace(hop=None)
        return SimpleNamespace(hop=SimpleNamespace(connection=self))

    async def probe_recipient(self, envelope: Any) -> Any:
        self.asked.append(str(envelope.recipients[0].mailbox))
        assert envelope.sender is None  # a bounce of the probe could go nowhere
        if self.gate:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def abort(self) -> None:
        self.aborted += 1

    def keep(self, hop: Any) -> None:
        self.kept += 1


def world(answer: Any) -> tuple[World, FakeHops]:
    hops = FakeHops(answer)
    return World(hops=hops, domains=(VERIFIED,)), hops


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((OK, OK), 250),
        ((OK, Reply(251, "2.1.5", ("Will forward",))), 250),
        ((OK, NO), 550),
        ((OK, LATER), 450),
        ((OK, Reply(550, "", ("No such user",))), 550),
        ((OK, Reply(552, "5.2.2", ("Mailbox full",))), 450),
        ((OK, Reply(550, "5.7.1", ("Relay access denied",))), 450),
        ((OK, Reply(530, "5.7.0", ("Must issue a STARTTLS command first",))), 450),
        ((NO, None), 450),  # it refuses the null sender: that says nothing of the recipient
        ((LATER, None), 450),
        (None, 450),
        (ConnectFailed("lost"), 450),
        (RemoteProtocolError("nonsense"), 450),
        (TlsFailed("broken"), 450),
    ],
)
async def test_what_the_host_behind_us_says_decides(answer: Any, code: int) -> None:
    relay, hops = world(answer)
    assert (await relay.send()).code == code
    assert bool(hops.kept) == isinstance(answer, tuple)
    assert bool(hops.aborted) == isinstance(answer, Exception)


@pytest.mark.parametrize(
    ("answer", "code", "seconds"), [((OK, OK), 250, callout.KNOWN_FOR), ((OK, NO), 550, callout.UNKNOWN_FOR)]
)
async def test_an_answer_is_remembered_for_its_time(answer: Any, code: int, seconds: float) -> None:
    relay, hops = world(answer)
    for _ in range(3):
        assert (await relay.send()).code == code
    assert len(hops.asked) == 1
    relay.clock.at += seconds - 1
    await relay.send()
    assert len(hops.asked) == 1
    relay.clock.at += 2
    await relay.send()
    assert len(hops.asked) == 2


async def test_what_nobody_knew_is_asked_again() -> None:
    for said in (LATER, Reply(550, "5.7.64", ("Relay access denied",))):
        relay, hops = world((OK, said))
        assert (await relay.send()).code == 450
        hops.answer = (OK, OK)
        assert (await relay.send()).code == 250


async def test_sessions_that_ask_for_one_mailbox_share_one_call() -> None:
    relay, hops = world((OK, OK))
    hops.gate = asyncio.Event()
    tasks = [asyncio.create_task(relay.send()) for _ in range(5)]
    await asyncio.sleep(0.01)
    hops.gate.set()
    assert [(await task).code for task in tasks] == [250] * 5
    assert len(hops.asked) == 1


async def test_a_host_that_does_not_answer_keeps_no_client_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callout, "PATIENCE", 0.05)
    relay, hops = world((OK, OK))
    hops.gate = asyncio.Event()
    assert (await relay.send()).code == 450
    hops.gate.set()
    await asyncio.sleep(0.01)
    assert (await relay.send()).code == 250  # the late answer was remembered
    assert len(hops.asked) == 1


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callout, "REMEMBERED", 3)
    relay, hops = world((OK, OK))
    for number in range(6):
        await relay.send(recipients=(f"user{number}@contoso.example",))
    assert len(relay.relay.callouts._memory) == 3
    await relay.send(recipients=("user0@contoso.example",))
    assert hops.asked[-1] == "user0@contoso.example"


async def test_a_recipient_of_another_domain_is_not_called_out_for() -> None:
    relay, hops = world((OK, OK))
    assert (await relay.send(recipients=("x@elsewhere.example",))).permanent
    assert hops.asked == []
