"""Counting for reports: by day and fact, never without bound, and written so that it can be read again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mta.model.reporting import NO_POLICY_FOUND, TlsReportFacts
from mta.pipeline.counts import DAY, DmarcFacts, ReportCounts, read, written
from mta.rfc.dmarc.report import ReportRow

ONE, OTHER = (TlsReportFacts(NO_POLICY_FOUND, domain) for domain in ("a.example", "b.example"))
ROW = ReportRow("192.0.2.1", "none", True, False, "b.example", dkim=(("b.example", "s", "pass"),), spf=("b", "fail"))
JUDGED = DmarcFacts("b.example", "v=DMARC1; p=none", ROW)


def test_facts_are_counted_by_day_until_they_are_taken() -> None:
    counts = ReportCounts()
    for now in (0.0, DAY - 0.001, DAY):
        counts.tls(ONE, now)
    counts.dmarc(JUDGED, 0.0)
    assert counts.take() == {(0, ONE): 2, (1, ONE): 1, (0, JUDGED): 1}
    assert not counts.take()


def test_what_finds_no_room_is_counted_as_lost() -> None:
    counts = ReportCounts(most=1)
    for facts in (ONE, OTHER, ONE, OTHER):
        counts.tls(facts, 0.0)
    counts.dmarc(JUDGED, 0.0)  # has room of its own
    assert counts.lost == 2
    taken = counts.take()
    assert taken == {(0, ONE): 2, (0, JUDGED): 1}
    counts.tls(ONE, 0.0)
    counts.give_back(taken)
    assert counts.take() == {(0, ONE): 3, (0, JUDGED): 1}


def test_what_several_wrote_is_summed_up_and_the_latest_record_counts() -> None:
    counts = ReportCounts()
    for facts in (ONE, OTHER):
        counts.tls(facts, 0.0)
    counts.dmarc(JUDGED, 0.0)
    early = written(counts.take(), 0, 10.0)
    counts.tls(ONE, 5.0)
    counts.dmarc(DmarcFacts("b.example", "v=DMARC1; p=reject", ROW), 5.0)
    counts.tls(ONE, DAY)  # another day's
    late = written(counts.take(), 0, 20.0)
    day = read([*late.splitlines(), b"", b'[1, 2, "tls", ["torn', *early.splitlines()])
    assert day.tls == {ONE: 2, OTHER: 1}
    assert day.dmarc == {"b.example": {ROW: 2}}
    assert day.records == {"b.example": (20, "v=DMARC1; p=reject")}
    assert day.unreadable == 1


@given(st.lists(st.text(max_size=8), min_size=4, max_size=4), st.lists(st.text(max_size=8), max_size=3))
def test_any_fact_is_read_as_it_was_written(words: list[str], strings: list[str]) -> None:
    facts = TlsReportFacts(words[0], words[1], tuple(strings), (), words[2], failure_reason=words[3])
    counts = ReportCounts()
    counts.tls(facts, 0.0)
    assert read(written(counts.take(), 0, 1.0).splitlines()).tls == {facts: 1}
