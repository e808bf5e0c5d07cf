"""The certificate directory at work: sources in order, their answers kept for a while, look-ups under way shared.

policy/directory.py says which certificate fits and which is the best; this file asks, and knows when to stop asking.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from mta.model.address import Mailbox
from mta.model.directory import (
    Association,
    Candidate,
    DirectoryAnswer,
    DirectoryStatus,
    Harvest,
    SourceAnswer,
    SourceReport,
    SourceStatus,
    TrustRung,
)
from mta.model.tls import PathFault, PathVerdict
from mta.observe import events
from mta.observe.log import EventLog
from mta.policy.directory import Demands, Judged, beaten, begins, best, could_reach, misfits, trusted, why_not
from mta.ports import CertificateJudge, CertificateMemory, CertificateSource, Clock

_MOMENT = 1.0  # seconds: mail in bulk to one mailbox asks once
_DOWN_KEPT = 5.0  # seconds: who is down is not asked again for every message that waits for it


class NoDirectory:
    """ports.CertificateDirectory where none is configured: nobody has a certificate."""

    async def lookup(self, mailbox: Mailbox, *, thorough: bool = False) -> DirectoryAnswer:
        """Nothing."""
        return DirectoryAnswer(DirectoryStatus.NONE, detail="no directory is configured")

    async def learn(self, harvest: Harvest) -> None:
        """There is nowhere to keep it."""

    async def refresh(self) -> None:
        """There is nothing to look after."""

    async def close(self) -> None:
        """There is nothing to let go of."""


class NoJudge:
    """ports.CertificateJudge where no anchors are known: nobody is believed. `why` says how some could be."""

    def __init__(self, why: str = "no anchors are configured (directory.trust.anchors)") -> None:
        self._why = why

    async def judge(
        self, certificate: bytes, others: Sequence[bytes], purpose: Literal["sign", "encrypt"], now: float
    ) -> PathVerdict:
        """Untrusted."""
        return PathVerdict(PathFault.UNTRUSTED, self._why)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long answers are kept, how many, and how long one source may take."""

    found: float = 3600.0
    missing: float = 300.0
    entries: int = 10_000
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a directory stands on."""

    judge: CertificateJudge
    clock: Clock
    log: EventLog
    memory: CertificateMemory | None = None


@dataclass(slots=True)
class _Search:
    """One look-up as it goes on."""

    mailbox: Mailbox
    now: float
    found: list[tuple[int, Candidate]] = field(default_factory=list)
    associations: list[Association] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    down: list[int] = field(default_factory=list)
    reports: dict[int, SourceReport] = field(default_factory=dict)


class Directory:
    """ports.CertificateDirectory over `sources`, which stand in the order of the configuration."""

    def __init__(
        self, sources: Sequence[CertificateSource], demands: Demands, patience: Patience, around: Surroundings
    ) -> None:
        self.sources = tuple(sources)
        self._demands = demands
        self._patience = patience
        self._around = around
        self._kept = _Kept(patience, around.clock, around.log)
        self._recent: dict[Mailbox, tuple[float, DirectoryAnswer]] = {}  # certificates found this moment
        # The best rung first: where an administrator has decided nobody else is asked.
        self._turns = sorted(range(len(self.sources)), key=lambda number: (-self.sources[number].rung, number))

    async def lookup(self, mailbox: Mailbox, *, thorough: bool = False) -> DirectoryAnswer:
        """The certificate to encrypt to; `thorough`: ask every source, also when the answer is known."""
        now = self._around.clock.now()
        if not thorough and (recent := self._recent.get(mailbox)) and 0 <= now - recent[0] < _MOMENT:
            return recent[1]
        search = _Search(mailbox, now)
        for turn, number in enumerate(self._turns):
            await self._ask(number, search)
            chosen = best(search.judged)
            rest = self._turns[turn + 1 :]
            if not thorough and chosen and all(beaten(chosen, self.sources[number].rung, number) for number in rest):
                break
        answer = self._answer(search)
        self._tell(mailbox, answer)
        if answer.status is DirectoryStatus.FOUND:
            if len(self._recent) >= self._patience.entries:
                self._recent.clear()
            self._recent[mailbox] = (now, answer)
        return answer

    async def learn(self, harvest: Harvest) -> None:
        """Remember what a signer can be written to with: its certificate, or another of its own that came along."""
        if self._around.memory is None:
            return
        now = self._around.clock.now()
        for der in (harvest.certificate, *harvest.chain):
            candidate = Candidate(der, "", TrustRung.HARVESTED, harvest.mailbox.key)
            if not misfits(candidate, harvest.mailbox, self._demands, now):
                await self._around.memory.remember(harvest, der)
                return

    async def refresh(self) -> None:
        """Let the sources look after their stores."""
        await asyncio.gather(*(source.refresh() for source in self.sources))

    async def close(self) -> None:
        """Let go of the sources."""
        for source in self.sources:
            await source.close()

    # --- one source

    async def _ask(self, number: int, search: _Search) -> None:
        source = self.sources[number]
        answer, cached = await self._kept.ask(source, search.mailbox)
        search.reports[number] = SourceReport(source.name, answer.status.value, _detail(answer), cached)
        if answer.status is SourceStatus.DOWN:
            search.down.append(number)
            self._around.log.warning(events.DIRECTORY_DOWN, source=source.name, error=answer.detail)
            return
        search.found += ((number, candidate) for candidate in answer.candidates)
        search.associations += answer.associations
        if answer.associations:  # what was not believed before may be now
            search.judged = [judged for judged in search.judged if judged.fits]
        before = {(judged.order, judged.candidate) for judged in search.judged}
        fresh = [candidate for candidate in search.found if candidate not in before]
        search.judged += await asyncio.gather(*(self._judge(*candidate, search) for candidate in fresh))

    async def _judge(self, number: int, candidate: Candidate, search: _Search) -> Judged:
        reasons = misfits(candidate, search.mailbox, self._demands, search.now)
        began = begins(candidate)
        if reasons:
            return Judged(candidate, number, None, reasons, began)
        verdict = await self._around.judge.judge(candidate.der, candidate.chain, "encrypt", search.now)
        rung, reasons = trusted(candidate, verdict, search.associations, search.now)
        return Judged(candidate, number, rung, reasons, began)

    # --- the answer

    def _answer(self, search: _Search) -> DirectoryAnswer:
        chosen = best(search.judged)
        others = tuple(
            (judged.candidate, why_not(judged, chosen))
            for judged in sorted(search.judged, key=lambda judged: judged.key)
            if judged is not chosen
        )
        reports = tuple(
            search.reports.get(number) or SourceReport(source.name, "not asked", "a better source has decided")
            for number, source in enumerate(self.sources)
        )
        doubt = self._doubt(search, chosen)
        if doubt:
            return DirectoryAnswer(DirectoryStatus.TEMPORARY, others=others, detail=doubt, sources=reports)
        if chosen is None:
            detail = "no certificate fits" if search.judged else "no source knows a certificate"
            return DirectoryAnswer(DirectoryStatus.NONE, others=others, detail=detail, sources=reports)
        return DirectoryAnswer(DirectoryStatus.FOUND, chosen.candidate, chosen.rung, others, sources=reports)

    def _doubt(self, search: _Search, chosen: Judged | None) -> str:
        """Why the answer is not known: somebody who could have the last word has not spoken."""
        for number in search.down:
            source = self.sources[number]
            if chosen is None or not beaten(chosen, source.rung, number):
                return f"{source.name} is down: {search.reports[number].detail}"
        for judged in search.judged:
            if judged.unknown and (chosen is None or not beaten(chosen, could_reach(judged.candidate), judged.order)):
                return f"a certificate of {judged.candidate.source}: {judged.reasons[0]}"
        return ""

    def _tell(self, mailbox: Mailbox, answer: DirectoryAnswer) -> None:
        chosen = answer.chosen
        self._around.log.info(
            events.DIRECTORY_ANSWER,
            recipient=str(mailbox),
            status=answer.status.value,
            source=chosen.source if chosen else "",
            rung=answer.rung.word if answer.rung else "",
            certificate=hashlib.sha256(chosen.der).hexdigest() if chosen else "",
            detail=answer.detail,
        )


def _detail(answer: SourceAnswer) -> str:
    return "; ".join(filter(None, (answer.detail, *answer.notes)))


class _Kept:
    """Answers of sources for a while, and their look-ups under way."""

    def __init__(self, patience: Patience, clock: Clock, log: EventLog) -> None:
        self._patience = patience
        self._clock = clock
        self._log = log
        self._answers: OrderedDict[tuple[str, str], tuple[float, SourceAnswer]] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[SourceAnswer]] = {}

    async def ask(self, source: CertificateSource, mailbox: Mailbox) -> tuple[SourceAnswer, bool]:
        """The answer, and whether it was kept from before."""
        key = (source.name, mailbox.key)
        kept = self._answers.get(key)
        if kept is not None and kept[0] > self._clock.monotonic():
            self._answers.move_to_end(key)
            return kept[1], True
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._find(source, mailbox))
            task.add_done_callback(partial(self._done, key, source.keeps))
        return await asyncio.shield(task), False  # who gives up does not take the answer away from the others

    async def _find(self, source: CertificateSource, mailbox: Mailbox) -> SourceAnswer:
        try:
            return await asyncio.wait_for(source.find(mailbox), self._patience.timeout)
        except TimeoutError:
            seconds = self._patience.timeout
            return SourceAnswer(SourceStatus.DOWN, detail=f"it did not answer within {seconds:g} s")
        except Exception as error:  # a defect of one source must not make the others' answers look complete
            self._log.defect(f"directory source {source.name}", error)
            return SourceAnswer(SourceStatus.DOWN, detail=f"it failed: {type(error).__name__}")

    def _done(self, key: tuple[str, str], keeps: bool, task: asyncio.Task[SourceAnswer]) -> None:
        self._under_way.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        down = answer.status is SourceStatus.DOWN
        if not keeps and not down:
            return
        is_found = answer.status is SourceStatus.FOUND
        seconds = _DOWN_KEPT if down else self._patience.found if is_found else self._patience.missing
        self._answers[key] = (self._clock.monotonic() + seconds, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self._patience.entries:
            self._answers.popitem(last=False)
