"""Aggregate reports: what is written is read again, and nothing in one can hurt."""

from __future__ import annotations

import contextlib
import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.policy.report_document import dmarc_document
from mta.policy.report_read import read_reports
from mta.rfc.dmarc.parse import parse_record
from mta.rfc.dmarc.report import (
    AggregateReport,
    PublishedPolicy,
    ReportMetadata,
    ReportRow,
    compose_report,
    row_of,
)
from mta.rfc.dmarc.report_parse import MAX_XML, ReportError, parse_report
from tests.support.corpora import files
from tests.support.effort import growth, steps

METADATA = ReportMetadata("Contoso & Söhne", "dmarc@us.example", "2026-11-23.1@us.example", 1795392000, 1795478399)
RECORD = parse_record(b"v=DMARC1; p=reject; sp=quarantine; adkim=s; t=y; fo=1; rua=mailto:d@b.example")
assert RECORD is not None
POLICY = PublishedPolicy.of("b.example", RECORD)
FACTS = AuthenticationFacts(
    SpfOutcome(AuthResult.NONE, "mx.b.example"),
    SpfOutcome(AuthResult.PASS, "b.example"),
    (DkimOutcome(AuthResult.FAIL, "l.example", "x"), DkimOutcome(AuthResult.PASS, "b.example", "s1")),
    DmarcOutcome(AuthResult.PASS, "quarantine", "b.example", "b.example", "", True, True),
)


def test_a_report_that_is_written_is_read_again() -> None:
    rows = Counter([row_of(FACTS, "192.0.2.1", "none")] * 3)
    rows[ReportRow("2001:db8::1", "none", False, False, "x.b.example", override=("local_policy", "a < b & c"))] = 1
    report = AggregateReport(METADATA, POLICY, rows)
    assert parse_report(compose_report(report)) == AggregateReport(
        METADATA, PublishedPolicy("b.example", "reject", "quarantine", "", "s", "r", "1", True), dict(rows)
    )


def test_every_reason_of_a_row_is_kept() -> None:
    """RFC 9990 §3.1.1.9: there may be several."""
    reasons = (("mailing_list", "l"), ("local_policy", "arc=pass"), ("other", ""))
    row = ReportRow("192.0.2.1", "none", False, False, "b.example", override=reasons[0], further_overrides=reasons[1:])
    written = compose_report(AggregateReport(METADATA, POLICY, {row: 2}))
    assert written.count(b"<reason>") == 3
    [known] = dmarc_document(parse_report(written))["report"]["rows"]
    assert [(each["type"], each["comment"]) for each in known["overrides"]] == list(reasons)
    assert known["override"] == known["overrides"][0]


def _text_between(size: int) -> Callable[[], object]:
    return _refused(b"<feedback>" + b"xxxxxxxxxxxxxxxx<a/>" * size + b"</feedback>")


def _text_within(size: int) -> Callable[[], object]:
    return _refused(
        b"<feedback><report_metadata><org_name>" + b"x&lt;" * size + b"</org_name></report_metadata></feedback>"
    )


def _empty_records(size: int) -> Callable[[], object]:
    row = b"<record><row><source_ip>::1</source_ip><count>1</count></row></record>"
    return _refused(b"<feedback>" + row * size + b"</feedback>")


def _refused(xml: bytes) -> Callable[[], object]:
    def read() -> None:
        with pytest.raises(ReportError, match="is no number"):  # of its date range, which is asked for at the end
            parse_report(xml)

    return read


@pytest.mark.parametrize(("work", "size"), [(_text_between, 10_000), (_text_within, 10_000), (_empty_records, 500)])
def test_the_work_grows_with_the_length_alone(work: Callable[[int], Callable[[], object]], size: int) -> None:
    small, large = steps(work(size // 10)), steps(work(size // 10 * 4))
    assert large < 4.4 * small
    assert growth(work, size) < 8


def _memory(xml: bytes) -> int:
    tracemalloc.start()
    try:
        with contextlib.suppress(ReportError):
            parse_report(xml)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_elements_that_nobody_knows_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _memory(b"<feedback>" + b"<a/>" * 100_000 + b"</feedback>") < 1_000_000
    row = b"<record><row><source_ip>::1</source_ip><count>1</count></row>" + b"<x>y</x>" * 1000 + b"</record>"
    assert _memory(b"<feedback>" + row * 50 + b"</feedback>") < 2_000_000
    for xml in (b"<record>" + b"<a/>" * 11_000 + b"</record>", b"<x>" + b"<a/>" * 11_000 + b"</x>"):
        with pytest.raises(ReportError, match="too many elements"):
            parse_report(b"<feedback>" + xml + b"</feedback>")
    monkeypatch.setattr("mta.rfc.dmarc.report_parse.MAX_ELEMENTS", 1000)
    with pytest.raises(ReportError, match="too many elements"):
        parse_report(b"<feedback>" + b"<a/>" * 1000 + b"</feedback>")


def test_a_message_that_passes_is_a_pass_and_its_good_signature_goes_first() -> None:
    row = row_of(FACTS, "192.0.2.1", "reject")
    assert row.disposition == "pass"
    assert row.dkim == (("b.example", "s1", "pass"), ("l.example", "x", "fail"))


def test_signatures_stand_in_the_order_of_their_worth() -> None:
    """RFC 9990 §3.1.3: the author's own, a relative's, a stranger's, then those that fail; odd ones have no place."""
    found = [("b.example", AuthResult.FAIL), ("l.example", AuthResult.PASS), ("x.b.example", AuthResult.PASS)]
    found += [("b.example", AuthResult.PASS), ("", AuthResult.PERMERROR)]
    outcomes = tuple(DkimOutcome(result, domain, "s") for domain, result in found)
    row = row_of(replace(FACTS, dkim=outcomes), "192.0.2.1", "none")
    assert [domain for domain, _, result in row.dkim] == ["b.example", "x.b.example", "l.example", "b.example"]


def test_a_pass_under_a_policy_that_asks_for_nothing_is_none() -> None:
    assert FACTS.dmarc is not None
    row = row_of(replace(FACTS, dmarc=replace(FACTS.dmarc, policy="none")), "192.0.2.1", "reject")
    assert row.disposition == "none"


def test_a_report_without_namespace_is_read() -> None:
    xml = compose_report(AggregateReport(METADATA, POLICY, {row_of(FACTS, "192.0.2.1", "none"): 1}))
    old = xml.replace(b' xmlns="urn:ietf:params:xml:ns:dmarc-2.0"', b"")
    assert old != xml
    assert parse_report(old) == parse_report(xml)


BOMB = b'<!DOCTYPE f [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><feedback>&b;</feedback>'


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (BOMB, "document type"),
        (b'<!DOCTYPE f SYSTEM "file:///etc/passwd"><feedback/>', "document type"),
        (b"", "no XML"),
        (b"<feedback>", "no XML"),
        (b"<other/>", "not <feedback>"),
        (b"<feedback>" + b"<a>" * 30 + b"</a>" * 30 + b"</feedback>", "deeper"),
        (b"<feedback/>", "no number"),
        (b"<feedback>" + b" " * MAX_XML + b"</feedback>", "larger"),
        (b'<?xml version="1.0" encoding="nonsense"?><feedback/>', "no XML"),
        (b"<feedback><record><row><source_ip>x</source_ip></row></record></feedback>", "no address"),
    ],
)
def test_what_is_no_report(xml: bytes, why: str) -> None:
    with pytest.raises(ReportError, match=why):
        parse_report(xml)


def told(path: Path) -> dict[str, Any]:
    """The JSON of the corpus beside a report."""
    document: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    return document


def word(text: str | None) -> str:
    """`TrustedForwarder` as the standard writes it; what is not specified is empty."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", text or "").lower().replace("unspecified", "")


def test_the_reports_of_others_are_read_as_the_corpus_tells() -> None:
    """Bare files, and messages with zip and gzip."""
    sources = [*files("mail-auth/dmarc-feedback", ".xml"), *files("mail-auth/dmarc-feedback", ".eml")]
    assert len(sources) >= 10
    for path in sources:
        found = read_reports(path.read_bytes())
        [report] = found.reports
        assert isinstance(report, AggregateReport)
        assert found.problems == ()
        document = told(path)
        metadata, policy = document["report_metadata"], document["policy_published"]
        assert (report.metadata.organization, report.metadata.email) == (metadata["org_name"], metadata["email"])
        assert report.metadata.report_id == metadata["report_id"]
        span = {"begin": report.metadata.begin, "end": report.metadata.end}
        assert span == metadata["date_range"]
        assert (report.policy.domain, report.policy.p, report.policy.sp) == (
            policy["domain"],
            word(policy["p"]),
            word(policy["sp"]),
        )
        assert len(report.rows) == len(document["record"])
        for (row, count), record in zip(report.rows.items(), document["record"], strict=True):
            assert_row(row, count, record)


def assert_row(row: ReportRow, count: int, record: dict[str, Any]) -> None:
    """One row and what the corpus says of it."""
    wanted, who, found = record["row"], record["identifiers"], record["auth_results"]
    evaluated = wanted["policy_evaluated"]
    assert (row.source, count, row.disposition) == (
        wanted["source_ip"],
        wanted["count"],
        word(evaluated["disposition"]),
    )
    assert row.dkim_aligned == (evaluated["dkim"] == "Pass")
    assert row.spf_aligned == (evaluated["spf"] == "Pass")
    assert (row.header_from, row.envelope_from) == (who["header_from"], who["envelope_from"])
    assert row.dkim == tuple((one["domain"], one["selector"], word(one["result"])) for one in found["dkim"])
    assert row.spf == (found["spf"][0]["domain"], word(found["spf"][0]["result"]))
    reasons = [(word(one["type_"]), one["comment"] or "") for one in evaluated["reason"]]
    kind, comment = row.override  # kept as it was written, also where RFC 9990 does not know it any more
    assert ("other" if kind == "sampled_out" else kind, comment) == (reasons[0] if reasons else ("", ""))


@given(texts=st.lists(st.text(max_size=30), min_size=7, max_size=7))
def test_no_text_breaks_out_of_its_element(texts: list[str]) -> None:
    a, b, c, d, e, f, g = texts
    row = ReportRow("192.0.2.1", "none", True, False, a, b, c, ((d, e, "pass"),), (f, "fail"), ("other", g))
    parsed = parse_report(compose_report(AggregateReport(METADATA, POLICY, {row: 7})))
    assert list(parsed.rows.values()) == [7]
    assert [len(one.dkim) for one in parsed.rows] == [1]


@given(data=st.binary(max_size=200) | st.binary(max_size=60).map(lambda noise: b"<feedback>" + noise + b"</feedback>"))
def test_noise_is_a_declared_error(data: bytes) -> None:
    with pytest.raises(ReportError):
        parse_report(data)
