"""The daily reports of RFC 8460 and RFC 9990: counts are written down, and when a day has ended its reports are made.

    every minute      each worker      what was counted goes to its file of the day            write_counts()
    every 5 minutes   the first one    ended days: who asks for reports, one report each       look_after()
                                       destinations that wait: a mail for the queue, a POST

A report is two files on the shelf `sent`: itself, packed, and its state. That a mail was queued is written after it
was: a crash between the two sends the report twice, under the one Report-ID by which its receiver can tell.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from mta.contract.reports import Reports
from mta.errors import StorageError, UsageError
from mta.model.reporting import TlsReportFacts
from mta.observe import events
from mta.pipeline.counts import DAY, DayOfFacts, day_of, read, written
from mta.pipeline.site import Site
from mta.policy.report_day import DMARC, TLS, Subject, dmarc_report, file_name, iso_day, submitter_of, tls_report
from mta.policy.report_document import document
from mta.ports import DnsStatus, ReportSpool
from mta.queue.report_delivery import KEPT, WAITING, Delivery, is_due, wait
from mta.rfc.dmarc.check import report_destinations
from mta.rfc.dmarc.parse import parse_record
from mta.rfc.mime.unpack import pack
from mta.rfc.tlsrpt.parse import PREFIX, select_record

SHELF = "sent"
WRITE_EVERY, LOOK_EVERY = 60.0, 300.0  # seconds
_GRACE = 600.0  # after midnight: by then every worker has written down the day
_LOOK_UPS = 8  # domains at a time
_PLAIN = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,149}")


class DailyReports:
    """One a worker. `writer` names its files; `delivery` is how reports leave."""

    def __init__(self, site: Site, spool: ReportSpool, delivery: Delivery, writer: str) -> None:
        self._site = site
        self._spool = spool
        self._delivery = delivery
        self._writer = writer
        self._busy = asyncio.Lock()
        self._unasked: set[tuple[str, str, str]] = set()  # (day, kind, domain): nobody there wants a report

    @property
    def _reports(self) -> Reports:
        return self._site.contract.configuration.server.reports

    # --- chores

    async def write_counts(self) -> None:
        """What was counted goes to the spool; what does not find room there is counted on. Raises StorageError."""
        counts = self._site.reports
        if counts.lost:
            self._site.log.warning(events.REPORT_COUNTS_LOST, counts=counts.lost)
            counts.lost = 0
        taken = counts.take()
        now = self._site.clock.now()
        try:
            for day in sorted({day for day, _ in taken}):
                lines = await asyncio.to_thread(written, taken, day, now)
                await asyncio.to_thread(self._spool.add_counts, iso_day(day), self._writer, lines)
                taken = Counter({key: number for key, number in taken.items() if key[0] != day})
        except StorageError:
            counts.give_back(taken)
            raise

    async def look_after(self) -> None:
        """Make the reports of days that have ended, try destinations that wait, forget what is old."""
        if not self._reports.wanted:
            return
        async with self._busy:
            now = self._site.clock.now()
            for day in await asyncio.to_thread(self._spool.days):
                end = _epoch(day) + DAY
                if now < end + _GRACE:
                    continue
                complete = await self._make(day, _epoch(day) + DAY - 1, part=False)
                if complete or now > end + DAY:
                    await asyncio.to_thread(self._spool.forget_counts, day)
                    self._unasked = {question for question in self._unasked if question[0] != day}
            for day, name in await self._states():
                await self._deliver(day, name)
            await asyncio.to_thread(self._spool.purge, iso_day(day_of(now - self._reports.keep)))

    # --- by hand

    async def send(self, day: str) -> list[dict[str, object]]:
        """Make and send the reports of `day` now, what has been sent already excepted; their states.

        Of a day that has not ended a report on its part so far is sent; the whole day's follows when it is over.
        """
        problem = self._unsigned()
        if problem:
            raise UsageError(problem)
        await self.write_counts()
        async with self._busy:
            now = self._site.clock.now()
            begin = _epoch(day)
            if begin > now:
                raise UsageError(f"{day} has not begun")
            part = now < begin + DAY
            await self._make(day, int(now) if part else begin + DAY - 1, part=part)
            states = [name for its_day, name in await self._states() if its_day == day]
            chosen = [name for name in states if not part or name.endswith(_part(int(now)))]  # also of this very second
            return [await self._deliver(day, name, by_hand=True) for name in chosen]

    def _unsigned(self) -> str:
        configuration = self._site.contract.configuration
        if not configuration.server.reports.wanted:
            return "server.reports is not in the configuration: nothing is counted"
        ours = configuration.domains.get(submitter_of(self._reports))
        if ours is None or not any(key.service == "email" for key in ours.dkim):
            # RFC 8460 §3: reports without a signature are thrown away
            return f"{self._reports.from_} cannot send reports: its domain has no `dkim` keys here"
        return ""

    # --- making

    async def _make(self, day: str, end: int, *, part: bool) -> bool:
        """Every report of the day that is wanted and not made yet; False: some domain could not be asked now."""
        facts = await asyncio.to_thread(self._read, day)
        begin = _epoch(day)
        there = {name for its_day, name in await self._states() if its_day == day}
        wanted = [Subject(DMARC, domain, begin, end, part) for domain in facts.dmarc]
        wanted += [Subject(TLS, domain, begin, end, part) for domain in _domains(facts.tls)]
        left = [about for about in wanted if state_name(about) not in there and not self._known_unasked(about)]
        complete = True
        for start in range(0, len(left), _LOOK_UPS):
            batch = left[start : start + _LOOK_UPS]
            complete &= all(await asyncio.gather(*(self._make_one(about, facts) for about in batch)))
        return complete

    def _read(self, day: str) -> DayOfFacts:
        return read(self._spool.counts(day))

    def _known_unasked(self, about: Subject) -> bool:
        return (about.day, about.kind, about.domain) in self._unasked

    async def _make_one(self, about: Subject, facts: DayOfFacts) -> bool:
        """Make one report if it is asked for; False: that is not known now."""
        asked = await (self._dmarc_asked(about, facts) if about.kind == DMARC else self._tls_asked(about))
        if asked is None:
            return False
        if not asked:
            if not about.part:
                self._unasked.add((about.day, about.kind, about.domain))
            return True
        await asyncio.to_thread(self._write, about, facts, asked)
        self._site.log.info(events.REPORT_COMPOSED, kind=about.kind, domain=about.domain, day=about.day)
        return True

    async def _dmarc_asked(self, about: Subject, facts: DayOfFacts) -> tuple[str, ...] | None:
        record = parse_record(facts.records[about.domain][1].encode("latin-1", "replace"))
        return await report_destinations(about.domain, record.rua, self._site.resolver) if record else ()

    async def _tls_asked(self, about: Subject) -> tuple[str, ...] | None:
        answer = await self._site.resolver.txt(f"{PREFIX}.{about.domain}")
        if answer.status is DnsStatus.TEMPORARY:
            return None
        record = select_record(answer.records)
        return record.destinations if record else ()

    def _write(self, about: Subject, facts: DayOfFacts, asked: tuple[str, ...]) -> None:
        reports, now = self._reports, self._site.clock.now()
        if about.kind == DMARC:
            record = parse_record(facts.records[about.domain][1].encode("latin-1", "replace"))
            assert record is not None
            summary, content = dmarc_report(about, facts.dmarc[about.domain], record, reports)
            sums = document(summary)["sums"]
        else:
            mine = {fact: number for fact, number in facts.tls.items() if fact.policy_domain == about.domain}
            told, content = tls_report(about, mine, reports)
            sums = document(told)["sums"]
        submitter = submitter_of(reports)
        name = state_name(about)
        state = {
            "name": name,
            "kind": about.kind,
            "domain": about.domain,
            "day": about.day,
            "begin": about.begin,
            "end": about.end,
            "part": about.part,
            "id": about.id(submitter),
            "file": file_name(about, submitter),
            "composed": round(now, 3),
            "sums": sums,
            "destinations": [wait(uri, now) if reports.send else {"uri": uri, "state": KEPT} for uri in asked],
        }
        self._spool.put(SHELF, about.day, packed_name(name), pack(content))
        self._spool.put(SHELF, about.day, name, json.dumps(state).encode())

    # --- sending

    async def _deliver(self, day: str, name: str, *, by_hand: bool = False) -> dict[str, Any]:
        """Try the destinations of one report that wait; its state afterwards."""
        state: dict[str, Any] = json.loads(await asyncio.to_thread(self._spool.get, SHELF, day, name))
        now = self._site.clock.now()
        if by_hand:
            state["destinations"] = [
                wait(target["uri"], now) if target["state"] in (KEPT, WAITING, "failed") else target
                for target in state["destinations"]
            ]
        if any(is_due(target, now) for target in state["destinations"]):
            await self._keep(day, name, state)  # where this finds no room, nothing is sent: it would be sent again
            packed = await asyncio.to_thread(self._spool.get, SHELF, day, packed_name(name))
            about = Subject(state["kind"], state["domain"], state["begin"], state["end"], state["part"])
            for position, target in enumerate(state["destinations"]):
                if is_due(target, now):
                    state["destinations"][position] = await self._delivery.attempt(
                        about, packed, target, at_once=by_hand
                    )
            await self._keep(day, name, state)
        return state

    async def _keep(self, day: str, name: str, state: dict[str, object]) -> None:
        await asyncio.to_thread(self._spool.put, SHELF, day, name, json.dumps(state).encode())

    async def _states(self) -> list[tuple[str, str]]:
        names = await asyncio.to_thread(self._spool.names, SHELF)
        return [(day, name) for day, name in names if name.endswith(".json")]


def state_name(about: Subject) -> str:
    """The name of the file that tells the state of a report."""
    domain = about.domain
    if not _PLAIN.fullmatch(domain):
        domain = hashlib.sha256(domain.encode("utf-8", "replace")).hexdigest()[:32]
    return f"{about.kind}-{domain}{_part(about.end) if about.part else '.json'}"


def _part(end: int) -> str:
    return f"-part-{end}.json"


def packed_name(state: str) -> str:
    """The name of the file of the report itself."""
    return f"{state.removesuffix('.json')}.gz"


def _domains(facts: Iterable[TlsReportFacts]) -> list[str]:
    return sorted({fact.policy_domain for fact in facts})


def _epoch(day: str) -> int:
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise UsageError(f"{day!r} is no day like 2026-11-25") from None
