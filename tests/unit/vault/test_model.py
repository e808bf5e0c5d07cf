"""What is granted is exactly what opens, over random histories: a plain model beside the vault."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mta.errors import NotOpened
from mta.model.protected import Item, KeyState
from mta.model.rights import Right, expand
from mta.vault.expire import expire
from mta.vault.grants import extend, found_item, grant, hold, release, revoke, shred
from mta.vault.root_keys import change_key
from tests.support.vault import ALICE, BEGIN, BOB, EVE, LABEL, OURS, World, actor, editor, vault_world

READERS = (BOB, EVE, "@fabrikam.example", "internal")
PEOPLE = (ALICE, BOB, EVE, "carol@contoso.example", "dave@fabrikam.example")
SETS = ("viewer", "co-author", "do-not-forward")


@dataclass(slots=True)
class Told:
    """What the model knows of the item."""

    rights: dict[str, frozenset[Right]] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    end: float = 0.0
    state: str = "live"
    key: str = "active"

    def may(self, person: str, right: Right, now: float) -> bool:
        """Whether it opens."""
        if self.state != "live" or self.key == "held" or (self.end and now >= self.end):
            return False
        held: set[Right] = set()
        for reader, rights in self.rights.items():
            domain = person.partition("@")[2]
            meant = reader in (person, f"@{domain}") or (reader == "internal" and domain in OURS)
            if meant and (not self.ends.get(reader) or now < self.ends[reader]):
                held |= rights
        return right in held


MEMORY = Path("/dev/shm")  # a disk's patience proves nothing here, and costs a minute
STEPS = st.one_of(
    st.tuples(st.just("grant"), st.sampled_from(READERS), st.sampled_from(SETS)),
    st.tuples(st.just("revoke"), st.sampled_from(READERS)),
    st.tuples(st.just("extend"), st.sampled_from(("", *READERS)), st.sampled_from((0, 5, 50))),
    st.tuples(st.just("wait"), st.sampled_from((1, 10))),
    st.tuples(st.sampled_from(("hold", "release", "sweep", "key.hold", "key.release", "restart", "shred"))),
)


@settings(max_examples=30)  # each is a life of a vault
@given(st.lists(STEPS, max_size=12))
def test_what_is_granted_is_exactly_what_opens(steps: list[tuple[object, ...]]):
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        asyncio.run(_play(Path(folder), steps))


async def _play(folder: Path, steps: list[tuple[object, ...]]) -> None:
    told, at, containers, id = Told(), BEGIN, {}, ""
    place = 0
    while place <= len(steps):  # each turn of this loop is one life of the vault
        async with vault_world(folder) as world:
            world.clock.at, world.containers = at, containers
            if not id:
                item = await world.seal(readers=[BOB], label=replace(LABEL, rights=expand("viewer")))
                id = item.id
                told.rights = {ALICE: expand("OWNER"), BOB: expand("viewer")}
            while place < len(steps) and steps[place][0] != "restart":
                await _step(world, await found_item(world.vault, id), told, *steps[place])
                await _compare(world, id, told)
                place += 1
            place += 1
            await _compare(world, id, told)
            at = world.clock.at


async def _step(world: World, item: Item, told: Told, what: object, reader: str = "", word: object = "") -> None:
    vault, root = world.vault, editor("root", administrator=True)
    try:
        if what == "grant":
            await grant(vault, item, reader, expand(str(word)), editor())
            told.rights[reader], told.ends[reader] = expand(str(word)), 0.0
        elif what == "revoke":
            if reader in told.rights:
                await revoke(vault, item, editor(), reader)
                del told.rights[reader]
        elif what == "extend":
            await _extend(world, item, told, reader, word)
        elif what == "wait":
            world.clock.at += float(reader)
        elif what == "shred":
            await shred(vault, item, editor())
            told.state = "shredded"
        elif what == "sweep":
            await expire(vault)
            if told.state == "live" and told.end and world.clock.at >= told.end:
                told.state = "expired"
        else:
            await _held(world, item, told, str(what), root)
    except NotOpened:
        assert told.state != "live"  # nobody changes what is held, expired or gone
        assert what in ("grant", "revoke", "extend", "shred")


async def _extend(world: World, item: Item, told: Told, reader: str, word: object) -> None:
    until = world.clock.at + float(str(word)) if word else 0.0
    if not reader:
        await extend(world.vault, item, until, editor())
        told.end = until
    elif reader in told.rights:
        await extend(world.vault, item, until, editor(), reader)
        told.ends[reader] = until


async def _held(world: World, item: Item, told: Told, what: str, root: object) -> None:
    vault = world.vault
    if what == "hold" and told.state == "live":
        await hold(vault, item, root)  # type: ignore[arg-type]
        told.state = "held"
    elif what == "release" and told.state == "held":
        await release(vault, item, root)  # type: ignore[arg-type]
        told.state = "live"
    elif what == "key.hold" and told.key != "held":
        await change_key(vault, "r1", "hold", actor())
        told.key = "held"
    elif what == "key.release" and told.key == "held":
        assert (await change_key(vault, "r1", "release", actor())).state == KeyState.ARCHIVED
        told.key = "archived"


async def _compare(world: World, id: str, told: Told) -> None:
    item = await found_item(world.vault, id)
    for person in PEOPLE:
        for right in (Right.VIEW, Right.EXPORT):
            try:
                await world.key(item, person, right)
                opens = True
            except NotOpened:
                opens = False
            assert opens == told.may(person, right, world.clock.at), (person, right, told)
