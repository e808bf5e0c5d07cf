"""When policies are fetched, and what stays in force when they cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mta.errors import PolicyNotFetched
from mta.model.sts import StsAnswer
from mta.pipeline.sts import DAY, PAUSE, SILENCE, UNUSED, Policies, PolicyPorts
from mta.ports import KeptPolicy, TxtAnswer
from tests.support.fake_resolver import TEMPORARY, FakeResolver

NAME = "_mta-sts.b.example"
POLICY = "version: STSv1\nmode: enforce\nmx: mx.b.example\nmax_age: 604800\n"
WEEK = 604_800.0


class Memory:
    """ports.PolicyMemory in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, KeptPolicy] = {}

    def read(self, domain: str) -> KeptPolicy | None:
        return self.kept.get(domain)

    def write(self, kept: KeptPolicy) -> None:
        self.kept[kept.domain] = kept

    def forget(self, domain: str) -> None:
        del self.kept[domain]

    def all(self) -> Iterator[KeptPolicy]:
        return iter(list(self.kept.values()))


class World:
    """ports.PolicyFetcher and Clock: `body` is what the policy host says; a failure if it is one."""

    def __init__(self) -> None:
        self.body: str | PolicyNotFetched = POLICY
        self.fetched = 0
        self.time = 1_000_000.0
        self.memory = Memory()
        self.dns = FakeResolver({(NAME, "TXT"): ["v=STSv1; id=1;"]})
        self.policies = self.restart()

    def restart(self) -> Policies:
        """As after a restart, or another worker: what is on the disk is all it knows."""
        self.policies = Policies(PolicyPorts(self.dns, self, self.memory, self))
        return self.policies

    async def fetch(self, domain: str) -> bytes:
        self.fetched += 1
        await asyncio.sleep(0)
        if isinstance(self.body, PolicyNotFetched):
            raise self.body
        return self.body.encode()

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def publish(self, id_: str, body: str | PolicyNotFetched) -> None:
        self.dns.set(NAME, "TXT", [f"v=STSv1; id={id_};"])
        self.body = body

    async def mode(self) -> str:
        answer = await self.policies.policy("b.example")
        return answer.policy.mode if answer.policy else answer.problem


DOWN = PolicyNotFetched("sts-policy-fetch-error", "connection refused")


@pytest.fixture
def world() -> World:
    return World()


async def test_a_policy_is_fetched_once_and_remembered(world: World) -> None:
    assert [await world.mode() for _ in range(3)] == ["enforce"] * 3
    world.restart()
    assert await world.mode() == "enforce"
    assert world.fetched == 1


async def test_many_at_once_share_one_fetch(world: World) -> None:
    answers = await asyncio.gather(*(world.policies.policy("b.example") for _ in range(20)))
    assert {answer.id for answer in answers} == {"1"}
    assert world.fetched == 1


async def test_who_gives_up_does_not_take_the_answer_from_the_others(world: World) -> None:
    first, second = (asyncio.ensure_future(world.policies.policy("b.example")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).policy is not None


async def test_without_a_record_nothing_is_fetched(world: World) -> None:
    world.dns.zone.clear()
    assert await world.policies.policy("b.example") == StsAnswer()
    assert world.fetched == 0


async def test_name_servers_that_keep_silent_are_left_alone_for_a_minute(world: World) -> None:
    """They would hold up every single delivery to the domain for as long as we wait for them."""
    world.dns.set(NAME, "TXT", TEMPORARY)
    for _ in range(5):
        assert (await world.policies.policy("b.example")).policy is None
    assert world.dns.queries[NAME, "TXT"] == 1
    world.dns.set(NAME, "TXT", ["v=STSv1; id=1;"])
    world.time += SILENCE + 1
    assert await world.mode() == "enforce"


async def test_name_servers_that_never_answer_hold_up_a_delivery_for_moments_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: str) -> TxtAnswer:
        await asyncio.sleep(3600)
        raise AssertionError

    await world.mode()
    monkeypatch.setattr("mta.pipeline.sts.PATIENCE", 0.01)
    monkeypatch.setattr(world.dns, "txt", never)
    assert await world.mode() == "enforce"  # what is remembered holds


async def test_a_new_id_brings_the_new_policy(world: World) -> None:
    await world.mode()
    world.publish("2", POLICY.replace("enforce", "testing"))
    assert await world.mode() == "testing"
    assert world.fetched == 2


@pytest.mark.parametrize("loss", ["gone", "unanswered", "broken", "down", "invalid"])
async def test_what_is_remembered_holds_whatever_is_lost(world: World, loss: str) -> None:
    await world.mode()
    match loss:
        case "gone":
            world.dns.zone.clear()
        case "unanswered":
            world.dns.set(NAME, "TXT", TEMPORARY)
        case "broken":
            world.dns.set(NAME, "TXT", ["v=STSv1; id=1;", "v=STSv1; id=2;"])
        case "down":
            world.publish("2", DOWN)
        case "invalid":
            world.publish("2", "<html>")
    answer = await world.policies.policy("b.example")
    assert answer.policy is not None
    assert answer.policy.mode == "enforce"
    problems = {"broken": "sts-policy-invalid", "down": "sts-policy-fetch-error", "invalid": "sts-policy-invalid"}
    assert answer.problem == problems.get(loss, "")
    world.time += WEEK + 1
    answer = await world.policies.policy("b.example")
    assert answer.policy is None
    assert answer.problem == problems.get(loss, "")


async def test_what_has_expired_is_fetched_again_though_its_id_is_the_same(world: World) -> None:
    await world.mode()
    world.time += WEEK + 1
    world.body = POLICY.replace("enforce", "testing")
    assert await world.mode() == "testing"


async def test_a_failed_fetch_is_not_repeated_for_a_while_unless_the_id_changes(world: World) -> None:
    world.body = DOWN
    for _ in range(3):
        assert await world.mode() == "sts-policy-fetch-error"
    assert world.fetched == 1
    world.time += PAUSE + 1
    world.body = POLICY
    assert await world.mode() == "enforce"
    world.publish("2", DOWN)
    assert await world.mode() == "enforce"
    world.publish("3", POLICY.replace("enforce", "none"))
    assert await world.mode() == "none"
    assert world.fetched == 4


async def test_another_worker_fetched_it_already(world: World) -> None:
    await world.mode()
    other = world.policies
    world.restart()
    world.publish("2", POLICY.replace("enforce", "testing"))
    await world.mode()
    world.policies = other
    assert await world.mode() == "testing"
    assert world.fetched == 2


async def test_policies_in_use_are_renewed_ahead_of_their_time(world: World) -> None:
    await world.mode()
    await world.policies.renew()
    assert world.fetched == 1  # it is fresh still
    world.time += DAY + 1
    await world.policies.renew()
    assert world.fetched == 2
    assert world.memory.kept["b.example"].answer.expires == world.time + WEEK
    world.time += DAY + 1
    world.body = DOWN
    await world.policies.renew()
    world.dns.zone.clear()
    await world.policies.renew()
    assert world.fetched == 3
    world.time += WEEK - DAY - 2
    assert await world.mode() == "enforce"


async def test_what_nobody_uses_is_left_alone_and_what_has_expired_is_forgotten(world: World) -> None:
    await world.mode()
    kept = world.memory.kept["b.example"]
    world.memory.kept["b.example"] = replace(kept, answer=replace(kept.answer, expires=world.time + 99 * DAY))
    world.time += UNUSED + 1
    await world.policies.renew()
    assert world.fetched == 1
    world.time += 70 * DAY
    await world.policies.renew()
    assert len(world.memory.kept) == 1  # the clock may be wrong just now
    await world.policies.renew()
    assert world.memory.kept == {}


async def test_a_clock_that_jumps_a_year_ahead_for_a_moment_costs_no_policy(world: World) -> None:
    await world.mode()
    world.time += 365 * DAY
    await world.policies.renew()
    world.time -= 365 * DAY
    for _ in range(3):
        await world.policies.renew()
    world.dns.zone.clear()
    assert await world.mode() == "enforce"


async def test_a_policy_that_was_fetched_by_a_clock_ahead_is_fetched_anew(world: World) -> None:
    world.time += 365 * DAY
    await world.mode()
    world.time -= 365 * DAY
    await world.policies.renew()
    assert world.fetched == 2
    assert world.memory.kept["b.example"].answer.expires == world.time + WEEK


async def test_use_is_written_down_once_a_day(world: World) -> None:
    await world.mode()
    world.time += 3600
    await world.mode()
    assert world.memory.kept["b.example"].used == world.time - 3600
    world.time += DAY
    await world.mode()
    assert world.memory.kept["b.example"].used == world.time
