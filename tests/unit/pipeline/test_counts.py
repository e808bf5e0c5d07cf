"""Counting for reports: by day and fact, and never without bound."""

from __future__ import annotations

from mta.model.reporting import NO_POLICY_FOUND, TlsReportFacts
from mta.pipeline.counts import DAY, ReportCounts

ONE, OTHER = (TlsReportFacts(NO_POLICY_FOUND, domain) for domain in ("a.example", "b.example"))


def test_facts_are_counted_by_day_until_they_are_taken() -> None:
    counts = ReportCounts()
    for now in (0.0, DAY - 0.001, DAY):
        counts.tls(ONE, now)
    assert counts.take_tls() == {(0, ONE): 2, (1, ONE): 1}
    assert not counts.take_tls()


def test_what_finds_no_room_is_counted_as_lost() -> None:
    counts = ReportCounts(most=1)
    for facts in (ONE, OTHER, ONE, OTHER):
        counts.tls(facts, 0.0)
    assert counts.lost == 2
    assert counts.take_tls() == {(0, ONE): 2}
