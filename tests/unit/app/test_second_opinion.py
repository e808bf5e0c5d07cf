"""Samples of live mail: asked about behind the mail, within bounds, and every difference is told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mta.app.second_opinion import MAX_WAITING, Sampler
from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome, SpfOutcome
from mta.observe import events
from mta.observe.metrics import Metrics
from tests.support.signatures import DOMAIN, MESSAGE, NOW, ed25519_signer, published, resolver_of, signed

NONE = SpfOutcome(AuthResult.NONE)
RAW = signed(MESSAGE, ed25519_signer())


def facts(result: AuthResult = AuthResult.PASS) -> AuthenticationFacts:
    return AuthenticationFacts(NONE, NONE, (DkimOutcome(result, DOMAIN, "e", "ed25519-sha256"),))


class World:
    """A sampler with names, a clock and a log; `chance` is what the dice show."""

    def __init__(self, share: float = 1.0, chance: float = 0.5) -> None:
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.metrics = Metrics()
        server = SimpleNamespace(second_opinion=share, authserv_id="mx.example")
        self.site: Any = SimpleNamespace(
            contract=SimpleNamespace(configuration=SimpleNamespace(server=server)),
            resolver=resolver_of(published()),
            clock=SimpleNamespace(now=lambda: NOW),
            log=SimpleNamespace(info=self._say, warning=self._say, defect=lambda *seen: self._say("defect", seen=seen)),
        )
        self.sampler = Sampler(self.site, lambda: chance, pause=0.0)

    def _say(self, event: str, **fields: Any) -> None:
        self.log.append((event, fields))
        self.metrics.observe(event, fields)

    async def ended(self) -> list[str]:
        while self.sampler.busy:
            await asyncio.sleep(0)
        return [event for event, _ in self.log]


async def test_who_agrees_is_counted_and_who_differs_is_told() -> None:
    world = World()
    world.sampler.offer("1", RAW, facts())
    world.sampler.offer("2", RAW, facts(AuthResult.FAIL))
    assert await world.ended() == [events.OPINION_AGREES, events.OPINION_DIFFERS]
    told = world.log[1][1]
    assert (told["message"], told["cause"]) == ("2", "unexplained")
    assert told["differences"] == [f"dkim e._domainkey.{DOMAIN}: fail / pass: unexplained"]
    assert world.metrics.samples() == [
        ("mta_second_opinions_total", ("agrees",), 1),
        ("mta_second_opinions_total", ("unexplained",), 1),
    ]


@pytest.mark.parametrize(("share", "chance", "asked"), [(0.0, 0.0, 0), (0.5, 0.5, 0), (0.5, 0.49, 1), (1.0, 0.99, 1)])
async def test_the_share_is_what_was_asked_for(share: float, chance: float, asked: int) -> None:
    world = World(share, chance)
    world.sampler.offer("1", RAW, facts())
    assert len(await world.ended()) == asked


async def test_nothing_is_done_before_the_reply_has_gone_and_too_many_are_left_out() -> None:
    world = World()
    for number in range(MAX_WAITING + 2):
        world.sampler.offer(str(number), RAW, facts())
    assert [event for event, _ in world.log] == [events.OPINION_SKIPPED] * 2
    assert (await world.ended()).count(events.OPINION_AGREES) == MAX_WAITING


async def test_what_would_take_long_is_left_out_and_a_defect_ends_nothing() -> None:
    world = World()
    world.sampler.offer("1", RAW + b" " * 1000, facts())
    world.sampler.offer("2", RAW, SimpleNamespace(dkim=None))  # type: ignore[arg-type]
    world.sampler.offer("3", RAW, facts())
    assert await world.ended() == [events.OPINION_SKIPPED, "defect", events.OPINION_AGREES]
