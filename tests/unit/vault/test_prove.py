"""Challenges, codes and sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mta.model.protected import Item
from mta.policy.pace import Pace
from mta.ports.vault import Link
from mta.vault.mail import token_hash
from mta.vault.prove import CODE_LIFE, TRIES, Paces, Proofs, network_of
from mta.vault.sessions import IDLE, LIFE, Proven
from tests.support.vault import ALICE, BOB, EVE, World, vault_world

LINK, OTHER = "l" * 26, "o" * 26
NET = "192.0.2.0/24"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with vault_world(tmp_path) as made:
        yield made


async def linked(world: World, link: str = LINK, reader: str = BOB) -> Item:
    """An item with a link for its reader."""
    item = await world.seal(readers=(reader,))
    grant = next(one for one in await world.vault.store.grants(item.id) if one.reader == reader)
    await world.vault.store.put_links(Link(token_hash(link), grant.id, item.id, world.clock.now()))
    return item


async def proven(world: World, proofs: Proofs) -> Proven:
    started = await proofs.start(LINK, BOB)
    assert started.letter
    found = proofs.answer(LINK, started.cookie, started.letter.code, NET)
    assert found
    return found


async def test_the_code_goes_to_the_granted_address(world: World):
    item, proofs = await linked(world), Proofs(world.vault)
    started = await proofs.start(LINK, " BOB@FABRIKAM.example ")
    assert started.letter
    assert (started.letter.to, started.letter.item.id) == (BOB, item.id)
    assert len(started.letter.code) == 8
    assert started.letter.reference == proofs.reference(LINK, started.cookie)
    found = proofs.answer(LINK, started.cookie, started.letter.code, NET)
    assert found
    assert (found.item, found.reader) == (item.id, BOB)


@pytest.mark.parametrize(
    "typed", [EVE, ALICE, "", "@fabrikam.example", "fabrikam.example", "internal", "bob", "b@" * 400]
)
async def test_others_get_a_challenge_that_nothing_solves(world: World, typed: str):
    await linked(world)
    proofs = Proofs(world.vault)
    started = await proofs.start(LINK, typed)
    assert started.letter is None
    assert proofs.reference(LINK, started.cookie)
    assert proofs.answer(LINK, started.cookie, "12345678", NET) is None


async def test_a_whole_domain_may_be_a_reader(world: World):
    await linked(world, reader="@fabrikam.example")
    proofs = Proofs(world.vault)
    started = await proofs.start(LINK, "carol@fabrikam.example")
    assert started.letter
    assert started.letter.to == "carol@fabrikam.example"
    found = proofs.answer(LINK, started.cookie, started.letter.code, NET)
    assert found
    assert found.reader == "carol@fabrikam.example"
    assert (await proofs.start(LINK, EVE)).letter is None


async def test_a_code_ends(world: World):
    await linked(world)
    proofs = Proofs(world.vault)
    started = await proofs.start(LINK, BOB)
    assert started.letter
    world.clock.at += CODE_LIFE
    assert proofs.answer(LINK, started.cookie, started.letter.code, NET) is None
    assert proofs.reference(LINK, started.cookie) == ""


async def test_once_in_its_own_browser_for_its_own_link(world: World):
    await linked(world)
    await linked(world, OTHER)
    proofs = Proofs(world.vault)
    mine, other = await proofs.start(LINK, BOB), await proofs.start(OTHER, BOB)
    assert mine.letter
    assert proofs.answer(LINK, other.cookie, mine.letter.code, NET) is None
    assert proofs.answer(OTHER, mine.cookie, mine.letter.code, NET) is None
    assert proofs.answer(LINK, "", mine.letter.code, NET) is None
    assert proofs.answer(LINK, mine.cookie, mine.letter.code, NET)
    assert proofs.answer(LINK, mine.cookie, mine.letter.code, NET) is None


async def test_a_second_code_keeps_the_first_and_the_cookie_is_fresh(world: World):
    await linked(world)
    proofs = Proofs(world.vault)
    first = await proofs.start(LINK, BOB)
    second = await proofs.start(LINK, BOB, first.cookie)
    assert first.letter
    assert second.letter
    assert second.cookie != first.cookie
    assert proofs.answer(LINK, first.cookie, first.letter.code, NET) is None
    assert proofs.answer(LINK, second.cookie, first.letter.code, NET)


async def test_faults_end_a_challenge_and_a_new_one_begins_without_them(world: World):
    await linked(world)
    proofs = Proofs(world.vault)
    first = await proofs.start(LINK, BOB)
    assert first.letter
    for _ in range(TRIES):
        assert proofs.answer(LINK, first.cookie, "x", NET) is None
    assert proofs.answer(LINK, first.cookie, first.letter.code, NET) is None
    second = await proofs.start(LINK, BOB, first.cookie)
    assert second.letter
    assert proofs.answer(LINK, second.cookie, first.letter.code, NET) is None
    assert proofs.answer(LINK, second.cookie, second.letter.code, NET)


async def test_codes_of_a_link_are_paced_and_the_page_says_nothing(world: World):
    await linked(world)
    proofs = Proofs(world.vault)
    letters = [(await proofs.start(LINK, BOB)).letter for _ in range(7)]
    assert [letter is not None for letter in letters] == [True] * 5 + [False] * 2
    world.clock.at += 3601
    assert (await proofs.start(LINK, BOB)).letter


async def test_guessing_from_many_browsers_ends(world: World):
    await linked(world)
    proofs = Proofs(world.vault, Paces(wrong_of_link=Pace(3, 3600.0)))
    for _ in range(3):
        started = await proofs.start(LINK, EVE)
        proofs.answer(LINK, started.cookie, "1", NET)
    started = await proofs.start(LINK, BOB)
    assert started.letter
    assert proofs.answer(LINK, started.cookie, started.letter.code, NET) is None


async def test_sessions_end_by_quiet_by_age_and_by_logging_out(world: World):
    await linked(world)
    proofs = Proofs(world.vault)
    who = await proven(world, proofs)
    name = proofs.log_in(who)
    assert len(name) == 26
    world.clock.at += IDLE - 1
    assert proofs.proven(who.item, name) == who
    world.clock.at += IDLE
    assert proofs.proven(who.item, name) is None
    name = proofs.log_in(who)
    for _ in range(int(LIFE / 1000)):
        world.clock.at += 1000
        proofs.proven(who.item, name)
    world.clock.at += 1000
    assert proofs.proven(who.item, name) is None
    name = proofs.log_in(who)
    proofs.log_out(name)
    assert proofs.proven(who.item, name) is None


async def test_a_session_is_of_its_items_and_gets_a_fresh_name(world: World):
    await linked(world)
    proofs = Proofs(world.vault)
    who = await proven(world, proofs)
    name = proofs.log_in(who, "planted")
    assert proofs.proven(who.item, "planted") is None
    assert proofs.proven("other", name) is None
    other = replace(who, item="other")
    fresh = proofs.log_in(other, name)
    assert fresh != name
    assert proofs.proven(who.item, name) is None
    assert proofs.proven(who.item, fresh) == who
    proofs.opened("other", fresh)
    assert proofs.proven("other", fresh) == replace(other, opened=True)


def test_networks():
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("") == "unknown"
