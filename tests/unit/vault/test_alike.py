"""Known and unknown links and addresses cost the same: the same look-ups, the same draws, no wait for any mail."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mta.observe.log import EventLog
from mta.ports.mail_vault import Post
from mta.rfc.mime.note import Note
from mta.vault.mail import protect_message
from mta.vault.prove import Letter, Proofs, Started
from mta.web.portal.desk import Desk, House, Outside, open_desk
from mta.web.portal.words import words
from tests.support.vault import ALICE, BOB, EVE, World, vault_world

UNKNOWN = "u" * 26


class Watched:
    """Everything that is asked of something, by name."""

    def __init__(self, inner: Any, told: list[str]) -> None:
        self._inner, self._told = inner, told

    def __getattr__(self, name: str) -> Any:
        self._told.append(name)
        return getattr(self._inner, name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with vault_world(tmp_path) as made:
        yield made


async def sealed(world: World) -> str:
    post = Post("m1", "confidential", ALICE, (BOB,))
    return (await protect_message(world.vault, post, lambda: io.BytesIO(b"x"))).links[BOB]


async def cost(world: World, work: Callable[[Proofs], Awaitable[Started]]) -> tuple[list[str], list[int]]:
    """What a step asks of the store, and how much randomness it draws."""
    asked: list[str] = []
    drawn: list[int] = []

    def random(count: int) -> bytes:
        drawn.append(count)
        return world.vault.random(count)

    watched: Any = Watched(world.vault.store, asked)
    proofs = Proofs(replace(world.vault, store=watched, random=random))
    started = await work(proofs)
    link = proofs.answer("l" * 26, started.cookie, "00000000", "192.0.2.0/24")
    assert link is None
    return asked, drawn


async def test_a_link_and_an_address_cost_what_unknown_ones_cost(world: World):
    link = await sealed(world)
    costs = [
        await cost(world, lambda proofs, one=one, typed=typed: proofs.start(one, typed))  # type: ignore[misc]
        for one, typed in ((link, BOB), (link, EVE), (link, ALICE), (UNKNOWN, BOB), (UNKNOWN, "no address"), ("", ""))
    ]
    assert costs[0][0]
    assert all(one == costs[0] for one in costs), costs


async def test_the_sender_s_address_costs_what_a_stranger_s_costs(world: World):
    await sealed(world)
    costs = [
        await cost(world, lambda proofs, typed=typed: proofs.start_owner(typed))  # type: ignore[misc]
        for typed in (ALICE, EVE, "x")
    ]
    assert costs[0][0]
    assert all(one == costs[0] for one in costs), costs


class Courier:
    """Remembers to whom it was asked to carry something."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def send_code(self, to: str, message: bytes) -> None:
        self.asked.append(to)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """To whom mails were written."""
    found: list[str] = []

    def compose(note: Note) -> bytes:
        found.append(note.to)
        return b""

    monkeypatch.setattr("mta.web.portal.desk.compose_note", compose)
    return found


def desk_with(world: World, courier: Courier) -> Desk:
    nothing: Any = object()
    house = House("https://portal.contoso.example", "mx.contoso.example", "postmaster@contoso.example")
    return open_desk(world.vault, house, Outside(courier, nothing, nothing, nothing), EventLog(2, "json"))  # type: ignore[arg-type]


LETTER = Letter(BOB, "12345678", "ABCD")


async def test_nothing_is_written_or_sent_before_the_answer(
    world: World, written: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mta.web.portal.desk._AFTER_THE_ANSWER", 3600.0)
    courier = Courier()
    desk = desk_with(world, courier)
    desk.send(LETTER, words("en"))
    for _ in range(5):  # turns of the loop
        await asyncio.sleep(0)
    assert (written, courier.asked) == ([], [])
    (waiting,) = desk._sending
    waiting.cancel()


async def test_a_mail_is_written_for_nobody_too(world: World, written: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mta.web.portal.desk._AFTER_THE_ANSWER", 0.0)
    courier = Courier()
    desk = desk_with(world, courier)
    for letter in (LETTER, None):
        desk.send(letter, words("en"))
        await asyncio.gather(*desk._sending)
    assert written == [BOB, "postmaster@contoso.example"]
    assert courier.asked == [BOB]
