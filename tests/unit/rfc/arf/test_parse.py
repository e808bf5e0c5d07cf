"""Feedback reports of others are read, and nothing in one can hurt."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.policy.report_document import document
from mta.policy.report_read import read_reports
from mta.rfc.arf.parse import MAX_VALUES, FeedbackReport, ReportError, parse_report
from tests.support.corpora import files

# the words of the corpus -> ours
FIELDS = {
    "user_agent": "user_agent",
    "incidents": "incidents",
    "source_ip": "source_ip",
    "original_envelope_id": "envelope_id",
    "dkim_identity": "dkim_identity",
    "dkim_selector": "dkim_selector",
}


def test_the_reports_of_the_corpus() -> None:
    """Each message holds what the JSON beside it tells."""
    messages = files("mail-auth/arf", ".eml")
    assert len(messages) >= 5
    for path in messages:
        told: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        [report] = read_reports(path.read_bytes()).reports
        assert isinstance(report, FeedbackReport)
        for theirs, ours in FIELDS.items():
            seen = getattr(report, ours)
            assert str(seen).partition(" ")[0] == str(told[theirs] or "").partition(" ")[0], (path.name, theirs)
        assert list(report.domains) == told["reported_domain"]
        assert list(report.uris) == told["reported_uri"]
        assert report.type.replace("-", "") == told["feedback_type"].lower()
        if told["arrival_date"]:
            assert report.arrival == told["arrival_date"]
        if told["auth_failure"] != "Unspecified":
            assert report.auth_failure == told["auth_failure"].lower()
        assert document(report)["kind"] == "arf"


def test_every_field() -> None:
    part = (
        b"Feedback-Type: Auth-Failure\r\nVersion: 1\r\nUser-Agent: x/1\r\nIncidents: 3\r\n"
        b"Arrival-Date: Thu, 8 Mar 2005 14:00:00 +0000\r\nOriginal-Mail-From: <a@b.example>\r\n"
        b"Original-Rcpt-To: <c@d.example>\r\nOriginal-Rcpt-To: e@d.example\r\nReporting-MTA: dns; mx.d.example\r\n"
        b"Authentication-Results: mx.d.example;\r\n dkim=fail\r\nIdentity-Alignment: dkim, spf\r\nSPF-DNS: txt : x\r\n"
        b"Delivery-Result: Reject\r\n\r\n"
    )
    report = parse_report(part)
    assert (report.type, report.incidents, report.arrival) == ("auth-failure", 3, 1110290400)
    assert (report.mail_from, report.recipients) == ("a@b.example", ("c@d.example", "e@d.example"))
    assert (report.reporting_mta, report.delivery_result) == ("mx.d.example", "reject")
    assert report.authentication_results == ("mx.d.example; dkim=fail",)
    assert report.spf_dns == ("txt : x",)


def test_a_report_with_empty_lines_is_read_to_its_end() -> None:
    report = parse_report(
        b"\r\n \r\nFeedback-Type: abuse\r\n\r\n\t\r\nSource-IP: 192.0.2.7\r\n\r\nReported-Domain: b.example\r\n"
    )
    assert (report.type, report.source_ip, report.domains) == ("abuse", "192.0.2.7", ("b.example",))


MESSAGE = b"""From: r@reporter.example\r
Content-Type: multipart/report; report-type=feedback-report; boundary=B\r
\r
--B\r
\r
A report.\r
--B\r
Content-Type: message/feedback-report\r
%b\r
\r
%b\r
--B\r
Content-Type: text/rfc822-headers\r
\r
From: a@contoso.example\r
--B--\r
"""
FACTS = b"""Feedback-Type: auth-failure\r
Auth-Failure: dmarc\r
\r
Reported-Domain: contoso.example\r
Source-IP: 192.0.2.7\r
"""


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"X: y", FACTS),
        (b"Content-Transfer-Encoding: base64", base64.encodebytes(FACTS)),
        (b"Content-Transfer-Encoding: Base64 (c)", base64.b64encode(FACTS).rstrip(b"=")),
        (b"content-transfer-encoding: quoted-printable", FACTS.replace(b"-", b"=2D").replace(b"dmarc", b"dm=\r\narc")),
    ],
)
def test_a_report_is_read_in_any_encoding(header: bytes, body: bytes) -> None:
    [report] = read_reports(MESSAGE % (header, body)).reports
    assert isinstance(report, FeedbackReport)
    assert (report.type, report.auth_failure, report.source_ip) == ("auth-failure", "dmarc", "192.0.2.7")
    assert report.domains == ("contoso.example",)


@pytest.mark.parametrize(
    "part",
    [b"", b"Version: 1\r\n", b"Feedback-Type:\r\n", b"Feedback-Type: a b\r\n", b"X: " + b"y" * 300_000],
)
def test_what_is_no_report(part: bytes) -> None:
    with pytest.raises(ReportError):
        parse_report(part)


@given(st.binary(max_size=300))
def test_noise_is_a_report_or_a_declared_error(noise: bytes) -> None:
    report = parse_report(b"Feedback-Type: abuse\r\n" + b"Reported-URI: x\r\n" * 200 + noise.replace(b"\n", b""))
    assert len(report.uris) <= MAX_VALUES
    try:
        parse_report(noise)
    except ReportError:
        return
