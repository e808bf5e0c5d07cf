"""Has dkimpy and authres judge what we have judged: for `mta verify`, and samples of live mail behind the mail."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from mta.model.auth import AuthenticationFacts
from mta.observe import events
from mta.pipeline.site import Site
from mta.policy.second_opinion import Comparison, compare, differences
from mta.ports import DnsStatus, SenderNames, TxtAnswer
from mta.rfc.authres.write import authentication_results
from mta.rfc.mime.header import scan_header

MAX_WAITING = 16  # messages of live mail; more are not asked about
_PAUSE = 1.0  # seconds between a message and the question: its 250 is long gone by then
_LOOK_UP = 20.0  # seconds for one key


@dataclass(frozen=True, slots=True)
class Asked:
    """A message as it came, and what we found at epoch second `now`."""

    raw: bytes
    facts: AuthenticationFacts
    authserv_id: str
    now: float


async def ask(names: SenderNames, asked: Asked, executor: Executor | None = None) -> tuple[Comparison, ...]:
    """Our verdicts beside theirs. Keys are looked up through `names`, the work is done in a thread."""
    loop = asyncio.get_running_loop()

    def look_up(name: str) -> TxtAnswer:
        try:
            return asyncio.run_coroutine_threadsafe(names.txt(name), loop).result(_LOOK_UP)
        except Exception as error:  # it takes too long, or the loop has ended
            return TxtAnswer(DnsStatus.TEMPORARY, detail=str(error))

    return await loop.run_in_executor(executor, _compared, asked, look_up)


def _compared(asked: Asked, look_up: Callable[[str], TxtAnswer]) -> tuple[Comparison, ...]:
    from mta.adapters.second_opinion import second_opinion

    results = authentication_results(asked.authserv_id, asked.facts)
    theirs = second_opinion(asked.raw, results, look_up)
    return compare(asked.facts, scan_header(asked.raw, max(1, len(asked.raw))), results, theirs, asked.now)


class Sampler:
    """Asks about a share of live mail (`server.second_opinion`), one message after another, and logs what differs.

    Nothing waits for it: what is too much, or would take long, is left out and counted.
    """

    def __init__(self, site: Site, chance: Callable[[], float] = random.random, pause: float = _PAUSE) -> None:
        self._site = site
        self._chance = chance
        self._pause = pause
        self._waiting: deque[tuple[str, Asked]] = deque()
        self._thread = ThreadPoolExecutor(1, "second-opinion")
        self._working: asyncio.Task[None] | None = None

    def offer(self, identifier: str, raw: bytes, facts: AuthenticationFacts) -> None:
        """A message was taken and answered for."""
        server = self._site.contract.configuration.server
        if not server.second_opinion or self._chance() >= server.second_opinion:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._site.log.info(events.OPINION_SKIPPED, message=identifier, reason="too many wait")
            return
        self._waiting.append((identifier, Asked(raw, facts, server.authserv_id, self._site.clock.now())))
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    @property
    def busy(self) -> bool:
        """Whether somebody is being asked."""
        return self._working is not None

    async def _work(self) -> None:
        try:
            await asyncio.sleep(self._pause)
            while self._waiting:
                identifier, asked = self._waiting.popleft()
                try:
                    await self._take(identifier, asked)
                except Exception as error:  # a defect must not leave the rest unasked
                    self._site.log.defect(f"second opinion of {identifier}", error)
        finally:
            self._working = None

    async def _take(self, identifier: str, asked: Asked) -> None:
        from mta.adapters.second_opinion import bearable

        log = self._site.log
        if not bearable(asked.raw):
            log.info(events.OPINION_SKIPPED, message=identifier, reason="it would take long")
            return
        found = differences(await ask(self._site.resolver, asked, self._thread))
        if not found:
            log.info(events.OPINION_AGREES, message=identifier)
        for one in found[:1]:
            told = [f"{each.subject} {each.name}: {each.ours} / {each.theirs}: {each.cause}" for each in found]
            log.warning(
                events.OPINION_DIFFERS, message=identifier, cause=str(one.cause), story=one.story, differences=told
            )
