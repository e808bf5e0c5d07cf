"""The directory at work: which sources are asked, what is kept, and when the answer is not known."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from datetime import timedelta
from typing import Any

import pytest

from mta.model.directory import Association, DirectoryAnswer, DirectoryStatus, Harvest, TrustRung
from mta.model.tls import PathFault
from mta.observe.log import EventLog
from mta.pipeline.directory import Directory, NoDirectory, NoJudge, Patience, Surroundings
from mta.policy.directory import Demands
from tests.support.people import BOB, EPOCH, NOW, FakeJudge, FakeSource, StillClock, candidate, der, mailbox

MANUAL, ANCHORED, HARVESTED = TrustRung.MANUAL, TrustRung.ANCHORED, TrustRung.HARVESTED


class World:
    """A directory over fake sources; `log` gives the events it wrote."""

    def __init__(self, *sources: Any, patience: Patience | None = None, memory: Any = None) -> None:
        self.judge, self.clock = FakeJudge(), StillClock()
        self._read, self._write = os.pipe()
        log = EventLog(self._write, "json")
        around = Surroundings(self.judge, self.clock, log, memory)
        self.directory = Directory(sources, Demands(), patience or Patience(), around)

    async def lookup(self, address: str = BOB, *, thorough: bool = False) -> DirectoryAnswer:
        return await self.directory.lookup(mailbox(address), thorough=thorough)

    def events(self) -> list[dict[str, Any]]:
        os.close(self._write)
        with open(self._read, "rb") as written:
            return [json.loads(line) for line in written]


def found(answer: DirectoryAnswer) -> tuple[str, str, str]:
    return answer.status.value, answer.chosen.source if answer.chosen else "", answer.rung.word if answer.rung else ""


async def test_the_best_rung_wins_and_nobody_below_is_asked() -> None:
    folder, ldap = FakeSource("folder", MANUAL, der()), FakeSource("ldap", ANCHORED, der())
    world = World(ldap, folder)
    answer = await world.lookup()
    assert found(answer) == ("found", "folder", "manual")
    assert (len(folder.asked), len(ldap.asked)) == (1, 0)
    assert [(one.name, one.word) for one in answer.sources] == [("ldap", "not asked"), ("folder", "found")]


async def test_a_person_wants_to_hear_all_of_them() -> None:
    folder, ldap = FakeSource("folder", MANUAL, der()), FakeSource("ldap", ANCHORED, der())
    answer = await World(ldap, folder).lookup(thorough=True)
    assert found(answer) == ("found", "folder", "manual")
    assert [(one.source, why) for one, why in answer.others] == [("ldap", "anchored is a lower rung than manual")]
    assert [one.word for one in answer.sources] == ["found", "found"]


async def test_among_equals_the_earlier_source_decides_alone() -> None:
    first, second = FakeSource("ldap", ANCHORED, der()), FakeSource("ldap-2", ANCHORED, der())
    assert found(await World(first, second).lookup()) == ("found", "ldap", "anchored")
    assert second.asked == []


async def test_what_does_not_fit_is_passed_over_with_its_reason() -> None:
    old = der(begins=NOW - timedelta(days=9), ends=NOW - timedelta(days=1))
    world = World(FakeSource("folder", MANUAL, old), FakeSource("ldap", ANCHORED, der()))
    answer = await world.lookup()
    assert found(answer) == ("found", "ldap", "anchored")
    assert [why.partition(":")[0] for _, why in answer.others] == ["expired"]
    assert world.judge.asked == 1  # the judge is not troubled with what is out of its time


async def test_rollover_picks_the_newest() -> None:
    old, new = (der(begins=NOW - timedelta(days=days)) for days in (20, 2))
    for pair in ((old, new), (new, old)):
        answer = await World(FakeSource("folder", MANUAL, *pair)).lookup()
        assert answer.chosen is not None
        assert answer.chosen.der == new


async def test_what_ends_tonight_is_used_today_and_not_tomorrow() -> None:
    today, next_one = der(ends=NOW + timedelta(hours=1)), der(begins=NOW + timedelta(minutes=30))
    world = World(FakeSource("ldap", ANCHORED, today, next_one))
    for hours, wanted in ((0.0, today), (0.6, next_one), (1.1, next_one)):
        world.clock.epoch = EPOCH + hours * 3600
        answer = await world.lookup()
        assert answer.chosen is not None
        assert answer.chosen.der == wanted


async def test_nothing_found_and_nothing_that_fits() -> None:
    answer = await World(FakeSource("ldap", ANCHORED)).lookup()
    assert (answer.status, answer.detail) == (DirectoryStatus.NONE, "no source knows a certificate")
    answer = await World(FakeSource("ldap", ANCHORED, der(emails=["x@y.example"]))).lookup()
    assert (answer.status, answer.detail) == (DirectoryStatus.NONE, "no certificate fits")
    assert (await World().lookup()).status is DirectoryStatus.NONE


# --- who is down


async def test_a_source_that_is_down_is_never_no_certificate() -> None:
    ldap = FakeSource("ldap", ANCHORED)
    ldap.down = "connection refused"
    world = World(ldap)
    answer = await world.lookup()
    assert (answer.status, answer.detail) == (DirectoryStatus.TEMPORARY, "ldap is down: connection refused")
    assert {"directory.source-down", "directory.answer"} == {event["event"] for event in world.events()}


DOWN = [
    # who is down (name, rung), who has found, in this order; the answer
    ([("ldap", ANCHORED, True), ("folder", MANUAL, False)], "found"),  # a better rung has decided
    ([("ldap", ANCHORED, False), ("ldap-2", ANCHORED, True)], "found"),  # an earlier source of the same rung has
    ([("ldap", ANCHORED, True), ("ldap-2", ANCHORED, False)], "temporary"),
    ([("ldap", ANCHORED, True), ("harvested", HARVESTED, False)], "temporary"),
    ([("folder", MANUAL, True), ("ldap", ANCHORED, False)], "temporary"),
    ([("ldap", ANCHORED, False), ("harvested", HARVESTED, True)], "found"),
]


@pytest.mark.parametrize(("rows", "status"), DOWN, ids=str)
@pytest.mark.parametrize("thorough", [False, True])
async def test_who_is_down_counts_only_where_it_could_have_the_last_word(
    rows: list[tuple[str, TrustRung, bool]], status: str, thorough: bool
) -> None:
    sources = []
    for name, rung, down in rows:
        source = FakeSource(name, rung, *(() if down else (der(),)))
        source.down = "away" if down else ""
        sources.append(source)
    assert (await World(*sources).lookup(thorough=thorough)).status.value == status


async def test_a_revocation_that_cannot_be_asked_is_temporary_unless_somebody_else_decides() -> None:
    one, other = der(), der()
    world = World(FakeSource("ldap", ANCHORED, one), FakeSource("harvested", HARVESTED, other))
    world.judge.faults[one] = PathFault.UNREACHABLE
    answer = await world.lookup()
    assert answer.status is DirectoryStatus.TEMPORARY
    assert answer.detail.startswith("a certificate of ldap: revocation-unreachable")
    world = World(FakeSource("ldap", ANCHORED, one), FakeSource("folder", MANUAL, other))
    world.judge.faults[one] = PathFault.UNREACHABLE
    assert found(await world.lookup(thorough=True)) == ("found", "folder", "manual")


async def test_a_defect_of_a_source_is_unknown_too() -> None:
    source = FakeSource("ldap", ANCHORED)
    source.candidates = None  # type: ignore[assignment]
    source.associations = (1,)

    async def broken(_: Any) -> Any:
        raise KeyError("oh")

    source.find = broken  # type: ignore[method-assign]
    world = World(source)
    assert (await world.lookup()).status is DirectoryStatus.TEMPORARY
    assert "defect" in {event["event"] for event in world.events()}


async def test_a_silent_source_has_its_time() -> None:
    source = FakeSource("ldap", ANCHORED, der())
    source.gate = asyncio.Event()
    answer = await World(source, patience=Patience(timeout=0.02)).lookup()
    assert answer.status is DirectoryStatus.TEMPORARY
    assert "did not answer within 0.02 s" in answer.detail


# --- what is kept


async def test_answers_are_kept_for_their_time() -> None:
    source = FakeSource("ldap", ANCHORED, der())
    world = World(source, patience=Patience(found=100, missing=10))
    for address, kept in ((BOB, 100), ("nobody@fabrikam.example", 10)):
        source.asked.clear()
        source.candidates = source.candidates if address == BOB else []
        await world.lookup(address)
        world.clock.epoch += kept - 1
        answer = await world.lookup(address.upper())
        assert len(source.asked) == 1
        assert answer.sources[0].cached
        world.clock.epoch += 2
        await world.lookup(address)
        assert len(source.asked) == 2


async def test_a_source_that_is_down_is_left_alone_for_a_moment_only() -> None:
    source = FakeSource("ldap", ANCHORED, der(), keeps=False)
    source.down = "away"
    world = World(source)
    await world.lookup()
    source.down = ""
    assert (await world.lookup()).status is DirectoryStatus.TEMPORARY
    assert len(source.asked) == 1
    world.clock.epoch += 6
    assert (await world.lookup()).status is DirectoryStatus.FOUND


async def test_what_watches_its_own_store_is_asked_each_second() -> None:
    """Mail in bulk to one mailbox asks once; a person, and who waits for a certificate, always ask anew."""
    source = FakeSource("folder", MANUAL, der(), keeps=False)
    world = World(source)
    found = await world.lookup()
    known, source.candidates = source.candidates, []
    assert await world.lookup() is found
    world.clock.epoch += 1
    assert (await world.lookup()).status is DirectoryStatus.NONE
    source.candidates = known
    assert (await world.lookup()).status is DirectoryStatus.FOUND  # that there was none is not kept
    source.candidates = []
    assert (await world.lookup(thorough=True)).status is DirectoryStatus.NONE


async def test_no_more_is_kept_than_allowed() -> None:
    source = FakeSource("ldap", ANCHORED)
    world = World(source, patience=Patience(entries=2))
    for number in (1, 2, 3, 3, 2, 1):
        await world.lookup(f"u{number}@fabrikam.example")
    assert source.asked == [f"u{number}@fabrikam.example" for number in (1, 2, 3, 1)]


async def test_look_ups_under_way_are_shared_and_survive_who_gives_up() -> None:
    source = FakeSource("ldap", ANCHORED, der())
    source.gate = asyncio.Event()
    world = World(source)
    tasks = [asyncio.ensure_future(world.lookup()) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    source.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [found(one)[0] for one in answers[1:] if isinstance(one, DirectoryAnswer)] == ["found"] * 4
    assert source.asked == [BOB]


# --- secure DNS, and learning


async def test_an_association_lifts_a_certificate_that_was_asked_before() -> None:
    one = der(issuer=None)
    ldap, smimea = FakeSource("ldap", ANCHORED, one), FakeSource("smimea", ANCHORED)
    smimea.associations = (Association(3, 0, 1, hashlib.sha256(one).digest()),)
    world = World(ldap, smimea)
    world.judge.faults[one] = PathFault.UNTRUSTED
    assert found(await world.lookup()) == ("found", "ldap", "secure-dns")


class Memory:
    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes]] = []

    async def remember(self, harvest: Harvest, certificate: bytes) -> None:
        self.kept.append((harvest.mailbox.key, certificate))


async def test_what_can_be_encrypted_to_is_learned() -> None:
    memory = Memory()
    world = World(memory=memory)
    signing = der(usages=("digital_signature",))
    both, foreign = der(), der(emails=["x@y.example"])
    await world.directory.learn(Harvest(mailbox(), both, (), (), EPOCH))
    await world.directory.learn(Harvest(mailbox(), signing, (foreign, both), (), EPOCH))  # it came along
    await world.directory.learn(Harvest(mailbox(), signing, (foreign,), (), EPOCH))
    assert memory.kept == [(BOB, both), (BOB, both)]
    await World().directory.learn(Harvest(mailbox(), both, (), (), EPOCH))  # nowhere to keep it


async def test_the_log_says_who_decided() -> None:
    world = World(FakeSource("folder", MANUAL, der()))
    await world.lookup()
    (event,) = world.events()
    assert event["event"] == "directory.answer"
    assert (event["recipient"], event["source"], event["rung"]) == (BOB, "folder", "manual")
    assert len(event["certificate"]) == 64


async def test_where_nothing_is_configured_nobody_has_a_certificate_and_nobody_is_believed() -> None:
    assert (await NoDirectory().lookup(mailbox())).status is DirectoryStatus.NONE
    await NoDirectory().learn(Harvest(mailbox(), b"", (), (), 0.0))
    verdict = await NoJudge().judge(candidate().der, (), "sign", EPOCH)
    assert verdict.fault == PathFault.UNTRUSTED


async def test_every_source_looks_after_its_store() -> None:
    sources = [FakeSource("a", MANUAL), FakeSource("b", ANCHORED)]
    await World(*sources).directory.refresh()
    await NoDirectory().refresh()
    assert all(source.refreshed for source in sources)


async def test_closing_closes_every_source() -> None:
    sources = [FakeSource("a", MANUAL), FakeSource("b", ANCHORED)]
    await World(*sources).directory.close()
    assert all(source.closed for source in sources)
