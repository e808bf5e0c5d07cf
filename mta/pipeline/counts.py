"""What a worker has counted for the daily reports since it was last written down.

Dictionaries and nothing more: mail never waits for them. They are bounded; what finds no room is counted as lost. The
form in which they are written is a line of JSON for each fact, so that a torn line costs that one fact.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from mta.model.reporting import TlsReportFacts
from mta.rfc.dmarc.report import ReportRow

DAY = 86_400
MOST = 20_000  # different facts held at once, of each kind


@dataclass(frozen=True, slots=True)
class DmarcFacts:
    """One message: the domain whose policy was found, the text of its record, the row of the report."""

    policy_domain: str
    record: str
    row: ReportRow


_OF_SESSION = attrgetter(*(field.name for field in fields(TlsReportFacts)))
_OF_ROW = attrgetter(*(field.name for field in fields(ReportRow)))
Fact = TlsReportFacts | DmarcFacts
Counted = Counter[tuple[int, Fact]]  # by day and fact


def day_of(now: float) -> int:
    """Whole days since the epoch, in UTC: a report covers one of them (RFC 8460 §4.1)."""
    return int(now // DAY)


class ReportCounts:
    """The counts of one worker."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._counts: Counted = Counter()
        self._held = {TlsReportFacts: 0, DmarcFacts: 0}
        self.lost = 0

    def tls(self, facts: TlsReportFacts, now: float) -> None:
        """A session that ended, or could not begin, at epoch second `now`."""
        self._add(day_of(now), facts, 1)

    def dmarc(self, facts: DmarcFacts, now: float) -> None:
        """A message that was judged."""
        self._add(day_of(now), facts, 1)

    def take(self) -> Counted:
        """All that was counted; the count begins anew."""
        taken, self._counts = self._counts, Counter()
        self._held = dict.fromkeys(self._held, 0)
        return taken

    def give_back(self, taken: Counted) -> None:
        """What could not be written down."""
        for (day, fact), number in taken.items():
            self._add(day, fact, number)

    def _add(self, day: int, fact: Fact, number: int) -> None:
        key = (day, fact)
        if key not in self._counts:
            if self._held[type(fact)] >= self._most:
                self.lost += number
                return
            self._held[type(fact)] += 1
        self._counts[key] += number


def written(taken: Counted, day: int, now: float) -> bytes:
    """The counts of one day as lines; `now` tells later from earlier ones."""
    lines = [
        json.dumps([int(now), number, *_values(fact)]) for (its_day, fact), number in taken.items() if its_day == day
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _values(fact: Fact) -> tuple[str, object]:
    if isinstance(fact, TlsReportFacts):
        return "tls", _OF_SESSION(fact)
    return "dmarc", (fact.policy_domain, fact.record, _OF_ROW(fact.row))


@dataclass(slots=True)
class DayOfFacts:
    """All that was counted on one day. `records` are the latest ones seen, by policy domain."""

    tls: Counter[TlsReportFacts] = field(default_factory=Counter)
    dmarc: dict[str, Counter[ReportRow]] = field(default_factory=dict)
    records: dict[str, tuple[int, str]] = field(default_factory=dict)
    unreadable: int = 0  # lines


def read(lines: Iterable[bytes]) -> DayOfFacts:
    """What `written` wrote, summed up; a line that is none is passed over."""
    day = DayOfFacts()
    for line in lines:
        if not line.strip():
            continue
        try:
            at, number, kind, values = json.loads(line)
            if kind == "tls":
                day.tls[TlsReportFacts(*_hashable(values))] += number
            else:
                domain, record, row = values
                day.dmarc.setdefault(domain, Counter())[ReportRow(*_hashable(row))] += number
                day.records[domain] = max(day.records.get(domain, (0, "")), (at, record))
        except (ValueError, TypeError):
            day.unreadable += 1
    return day


def _hashable(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_hashable(value) if isinstance(value, list) else value for value in values)
