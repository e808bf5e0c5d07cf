"""TLS reports: what is written is read again, others' are read, and nothing in one can hurt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.detach import leaves
from mta.rfc.mime.unpack import unpack
from mta.rfc.tlsrpt.report import FailureDetail, PolicyReport, TlsReport, compose_report
from mta.rfc.tlsrpt.report_parse import MAX_JSON, ReportError, parse_report
from tests.support.corpora import files

DETAIL = FailureDetail("certificate-expired", 2, "192.0.2.1", "mx.b.example", "mx", "192.0.2.2", "x", "X509")
REPORT = TlsReport(
    "Contoso & Söhne",
    "reports@contoso.example",
    "2026-11-24_tls_b.example@contoso.example",
    1795478400,
    1795564799,
    (
        PolicyReport("sts", "b.example", ("version: STSv1", "mode: enforce"), ("*.b.example",), 5, 2, (DETAIL,)),
        PolicyReport("no-policy-found", "b.example", successes=1),
    ),
)


def test_a_report_that_is_written_is_read_again() -> None:
    assert parse_report(compose_report(REPORT)) == REPORT


def test_the_names_of_the_document_are_those_of_the_standard() -> None:
    document = json.loads(compose_report(REPORT))
    assert document["date-range"] == {"start-datetime": "2026-11-24T00:00:00Z", "end-datetime": "2026-11-24T23:59:59Z"}
    assert document["policies"][0] == {
        "policy": {
            "policy-type": "sts",
            "policy-string": ["version: STSv1", "mode: enforce"],
            "policy-domain": "b.example",
            "mx-host": ["*.b.example"],
        },
        "summary": {"total-successful-session-count": 5, "total-failure-session-count": 2},
        "failure-details": [
            {
                "result-type": "certificate-expired",
                "sending-mta-ip": "192.0.2.1",
                "receiving-mx-hostname": "mx.b.example",
                "receiving-mx-helo": "mx",
                "receiving-ip": "192.0.2.2",
                "additional-information": "x",
                "failure-reason-code": "X509",
                "failed-session-count": 2,
            }
        ],
    }


def changed(**members: Any) -> bytes:
    return json.dumps({**json.loads(compose_report(REPORT)), **members}).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no object"),
        (b'{"x": ' + b"1" * 5000 + b"}", "no JSON|no object"),
        (changed(policies=[]), "no policies"),
        (changed(policies={}), "no list"),
        (changed(policies=[1]), "no object"),
        (changed(policies=[{}]), "no object"),
        (changed(**{"report-id": 1}), "no string"),
        (changed(**{"report-id": "x" * 5000}), "no string"),
        (changed(**{"date-range": {"start-datetime": "yesterday", "end-datetime": "today"}}), "no date"),
        (
            changed(policies=[{"policy": {"policy-type": "sts"}, "summary": {"total-failure-session-count": -1}}]),
            "count",
        ),
        (
            changed(policies=[{"policy": {"policy-type": "sts"}, "summary": {"total-failure-session-count": True}}]),
            "count",
        ),
        (b" " * (MAX_JSON + 1), "larger"),
    ],
)
def test_what_is_no_report(data: bytes, why: str) -> None:
    with pytest.raises(ReportError, match=why):
        parse_report(data)


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2026-11-24T00:00:00Z", 1795478400),
        ("2026-11-24t00:00:00z", 1795478400),
        ("2026-11-24T00:00:00", 1795478400),
        ("2026-11-24T01:00:00.25+01:00", 1795478400),
        ("2016-12-31T23:59:60Z", 1483228800),  # RFC 3339 §5.7
        ("2016-12-31t15:59:60.5-08:00", 1483228800),
        ("1990-12-31T15:59:60-08:00", 662688000),  # RFC 3339 §5.8
    ],
)
def test_times_are_those_of_rfc_3339(text: str, epoch: int) -> None:
    report = parse_report(changed(**{"date-range": {"start-datetime": text, "end-datetime": text}}))
    assert (report.begin, report.end) == (epoch, epoch)


def test_values_are_counted_before_they_are_read() -> None:
    with pytest.raises(ReportError, match="values"):
        parse_report(b"[" + b"[]," * 1_000_000 + b"[]]")


def test_the_reports_of_others_are_read() -> None:
    """Each message of the corpus holds what the JSON beside it tells."""
    told = {path.stem: parse_report(path.read_bytes()) for path in files("mail-auth/tlsrpt", ".json")}
    assert len(told) >= 3
    for path in files("mail-auth/tlsrpt", ".eml"):
        [part] = [part for part in leaves(path.read_bytes()) if "tlsrpt" in part.media_type]
        assert parse_report(unpack(part.data)) == told[path.stem]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(sorted(json.loads(compose_report(REPORT)))), json_values)
def test_a_member_of_another_type_is_a_declared_error(name: str, value: Any) -> None:
    try:
        parse_report(changed(**{name: value}))
    except ReportError:
        pass
    else:
        assert isinstance(value, str | type(None))  # only texts may be anything


@given(st.text(max_size=2000), st.text(max_size=50))
def test_any_text_can_be_told(reason: str, helo: str) -> None:
    detail = FailureDetail("validation-failure", 1, reason=reason, receiving_helo=helo)
    report = TlsReport("o", "c", "i", 0, 1, (PolicyReport("sts", "b.example", failures=1, details=(detail,)),))
    assert parse_report(compose_report(report)).policies[0].failures == 1
