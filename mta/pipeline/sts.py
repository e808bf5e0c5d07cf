"""MTA-STS policies of other domains: discovered, fetched when they are new, remembered until they expire (RFC 8461 §3).

What is remembered stays in force when the host of the policy is down, or its DNS record is gone: who attacks a domain
would begin with these. Workers share what they fetch through the memory on the disk.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from mta.errors import PolicyNotFetched
from mta.model.reporting import TlsResult
from mta.model.sts import StsAnswer
from mta.ports import Clock, DnsStatus, KeptPolicy, PolicyFetcher, PolicyMemory, Resolver, TxtAnswer
from mta.rfc.mtasts.parse import PolicyFault, parse_policy, policy_id

REMEMBERED = 10_000  # domains held in memory by one worker
PAUSE = 300.0  # seconds before a failed fetch is tried again (RFC 8461 §3.3)
PATIENCE = 5.0  # seconds for the record that announces a policy
SILENCE = 60.0  # seconds before a record that DNS did not answer for is asked for again: it holds up each delivery
DAY = 86_400.0
_T = TypeVar("_T")

UNUSED = 30 * DAY  # a policy that no mail has asked for this long is not renewed
RENEWED_AT_ONCE = 500  # policies looked at by one run of the chore


@dataclass(frozen=True, slots=True)
class _Failure:
    """A fetch that failed; until `until` (monotonic seconds) the same id is not tried again."""

    id: str
    until: float
    problem: str
    detail: str


@dataclass(frozen=True, slots=True)
class PolicyPorts:
    """What the policies stand on."""

    resolver: Resolver
    fetcher: PolicyFetcher
    memory: PolicyMemory
    clock: Clock


class Policies:
    """ports.StsPolicies."""

    def __init__(self, ports: PolicyPorts) -> None:
        self._ports = ports
        self._known: OrderedDict[str, KeptPolicy] = OrderedDict()
        self._failed: OrderedDict[str, _Failure] = OrderedDict()
        self._silent: OrderedDict[str, float] = OrderedDict()
        self._expired: OrderedDict[str, bool] = OrderedDict()  # at the last look of the chore
        self._asking: dict[str, asyncio.Task[StsAnswer]] = {}

    async def policy(self, domain: str) -> StsAnswer:
        """The policy of `domain` that is in force now (RFC 8461 §3.1 to §3.3)."""
        announced = await self._announced(domain)
        kept = self._kept(domain, announced.id)
        if not announced.id:  # no record, a broken one, or no answer: what is remembered holds (§5.1)
            return replace(kept, problem=announced.problem, detail=announced.detail) if kept else announced
        if kept is not None and kept.id == announced.id:
            return kept
        return await self._shared(domain, announced.id, kept)

    async def _shared(self, domain: str, id_: str, kept: StsAnswer | None) -> StsAnswer:
        """One fetch for all who wait for it; who gives up does not take the answer from the others."""
        task = self._asking.get(domain)
        if task is None:
            task = self._asking[domain] = asyncio.ensure_future(self._renewed(domain, id_, kept))
            task.add_done_callback(partial(self._done, domain))
        return await asyncio.shield(task)

    def _done(self, domain: str, task: asyncio.Task[StsAnswer]) -> None:
        del self._asking[domain]
        if not task.cancelled():
            task.exception()  # whoever waited has seen it

    async def renew(self) -> None:
        """Fetch anew, ahead of their time, the policies that mail has asked for lately; forget what has expired."""
        now = self._ports.clock.now()
        for kept in list(self._ports.memory.all())[:RENEWED_AT_ONCE]:
            if kept.answer.expires > now:
                self._expired.pop(kept.domain, None)
            if kept.answer.expires <= now:
                self._forget(kept.domain)
            elif now - kept.used < UNUSED and _is_old(kept, now):
                await self._renew_one(kept)

    def _forget(self, domain: str) -> None:
        """At the second look that finds it expired: a clock that was a year ahead for a moment costs no policy."""
        if domain in self._expired:
            self._ports.memory.forget(domain)
        _remember(self._expired, domain, True)

    async def _renew_one(self, kept: KeptPolicy) -> None:
        announced = await self._announced(kept.domain)
        if announced.problem or not announced.id:
            return  # what is remembered holds until it expires
        fresh = await self._fetch(kept.domain, announced.id)
        if fresh.policy is not None:
            self._keep(KeptPolicy(kept.domain, fresh, kept.used))

    # --- asking

    async def _announced(self, domain: str) -> StsAnswer:
        """What DNS says: an id, or nothing and why. Name servers that keep silent are left alone for a while."""
        now = self._ports.clock.monotonic()
        if self._silent.get(domain, 0.0) > now:
            return StsAnswer(detail="DNS did not answer a moment ago")
        record = await self._asked(f"_mta-sts.{domain}")
        if record.status is DnsStatus.TEMPORARY:
            _remember(self._silent, domain, self._ports.clock.monotonic() + SILENCE)
            return StsAnswer(detail=record.detail)
        try:
            return StsAnswer(id=policy_id(record.records))
        except PolicyFault as fault:
            return StsAnswer(problem=TlsResult.STS_INVALID, detail=str(fault))

    async def _asked(self, name: str) -> TxtAnswer:
        """DNS has less time than for what mail cannot do without; an answer that comes later is in its cache."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ports.resolver.txt(name)
        except TimeoutError:
            return TxtAnswer(DnsStatus.TEMPORARY, detail=f"TXT of {name}: no answer within {PATIENCE:g} s")

    async def _renewed(self, domain: str, id_: str, kept: StsAnswer | None) -> StsAnswer:
        """A policy that is new to us; the one before stays in force where it cannot be had."""
        now = self._ports.clock.monotonic()
        failed = self._failed.get(domain)
        if failed and failed.id == id_ and failed.until > now:
            return replace(kept or StsAnswer(id=id_), problem=failed.problem, detail=failed.detail)
        fresh = await self._fetch(domain, id_)
        if fresh.policy is None:
            _remember(self._failed, domain, _Failure(id_, now + PAUSE, fresh.problem, fresh.detail))
            return replace(kept or fresh, problem=fresh.problem, detail=fresh.detail)
        self._failed.pop(domain, None)
        self._keep(KeptPolicy(domain, fresh, self._ports.clock.now()))
        return fresh

    async def _fetch(self, domain: str, id_: str) -> StsAnswer:
        try:
            policy = parse_policy(await self._ports.fetcher.fetch(domain))
        except PolicyNotFetched as error:
            return StsAnswer(None, id_, error.result, error.detail)
        except PolicyFault as fault:
            return StsAnswer(None, id_, TlsResult.STS_INVALID, str(fault))
        return StsAnswer(policy, id_, expires=self._ports.clock.now() + policy.max_age)

    # --- the memory

    def _kept(self, domain: str, id_: str) -> StsAnswer | None:
        """What is remembered and has not expired; another worker may have fetched a newer one."""
        now = self._ports.clock.now()
        kept = self._known.get(domain)
        if kept is None or kept.answer.expires <= now or (id_ and kept.answer.id != id_):
            kept = self._ports.memory.read(domain)
            if kept is not None:
                _remember(self._known, domain, kept)
        if kept is None or kept.answer.expires <= now:
            return None
        if now - kept.used > DAY:
            self._keep(replace(kept, used=now))
        return kept.answer

    def _keep(self, kept: KeptPolicy) -> None:
        _remember(self._known, kept.domain, kept)
        self._ports.memory.write(kept)


def _is_old(kept: KeptPolicy, now: float) -> bool:
    """Whether half its time, or a day, has passed since it was fetched (RFC 8461 §3.3: ahead of expiry).

    One that was fetched in the future, by a clock that was ahead, would hold too long: it is fetched anew.
    """
    assert kept.answer.policy is not None
    age = now - (kept.answer.expires - kept.answer.policy.max_age)
    return age < -60.0 or age > min(DAY, kept.answer.policy.max_age / 2)


def _remember(memory: OrderedDict[str, _T], domain: str, value: _T) -> None:
    memory[domain] = value
    memory.move_to_end(domain)
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)
