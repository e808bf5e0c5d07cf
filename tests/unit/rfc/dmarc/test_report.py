"""Aggregate reports: what is written is read again, and nothing in one can hurt."""

from __future__ import annotations

import gzip
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.rfc.dmarc.parse import parse_record
from mta.rfc.dmarc.report import (
    PublishedPolicy,
    Report,
    ReportMetadata,
    ReportRow,
    compose_report,
    file_name,
    row_of,
    subject,
)
from mta.rfc.dmarc.report_parse import MAX_XML, ReportError, parse_report, unpack

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
    report = Report(METADATA, POLICY, rows)
    assert parse_report(compose_report(report)) == Report(
        METADATA, PublishedPolicy("b.example", "reject", "quarantine", "", "s", "r", "1", True), dict(rows)
    )


def test_a_message_that_passes_is_a_pass_and_its_good_signature_goes_first() -> None:
    row = row_of(FACTS, "192.0.2.1", "reject")
    assert row.disposition == "pass"
    assert row.dkim == (("b.example", "s1", "pass"), ("l.example", "x", "fail"))


def test_the_names_of_a_report() -> None:
    report = Report(METADATA, POLICY, {})
    assert file_name("us.example", report) == "us.example!b.example!1795392000!1795478399.xml.gz"
    assert subject("us.example", report) == (
        "Report Domain: b.example Submitter: us.example Report-ID: <2026-11-23.1@us.example>"
    )


def test_a_report_without_namespace_is_read() -> None:
    xml = compose_report(Report(METADATA, POLICY, {row_of(FACTS, "192.0.2.1", "none"): 1}))
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


def test_a_packed_report_is_unpacked_within_bounds() -> None:
    xml = compose_report(Report(METADATA, POLICY, {}))
    assert unpack(gzip.compress(xml)) == xml == unpack(xml)
    with pytest.raises(ReportError, match="larger"):
        unpack(gzip.compress(b" " * (MAX_XML + 1)))
    with pytest.raises(ReportError, match="cut off"):
        unpack(gzip.compress(xml)[:-9])
    with pytest.raises(ReportError, match="unpacked"):
        unpack(b"\x1f\x8bnonsense")


@given(texts=st.lists(st.text(max_size=30), min_size=7, max_size=7))
def test_no_text_breaks_out_of_its_element(texts: list[str]) -> None:
    a, b, c, d, e, f, g = texts
    row = ReportRow("192.0.2.1", "none", True, False, a, b, c, ((d, e, "pass"),), (f, "fail"), ("other", g))
    parsed = parse_report(compose_report(Report(METADATA, POLICY, {row: 7})))
    assert list(parsed.rows.values()) == [7]
    assert [len(one.dkim) for one in parsed.rows] == [1]


@given(data=st.binary(max_size=200) | st.binary(max_size=60).map(lambda noise: b"<feedback>" + noise + b"</feedback>"))
def test_noise_is_a_declared_error(data: bytes) -> None:
    with pytest.raises(ReportError):
        parse_report(unpack(data))
