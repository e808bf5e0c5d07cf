"""Reports in JSON types: as they are kept beside ours and others', and as `mta reports` prints them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from mta.policy.report_day import DMARC, TLS
from mta.rfc.arf.parse import FeedbackReport
from mta.rfc.dmarc.report import AggregateReport, ReportRow
from mta.rfc.tlsrpt.report import TlsReport

ARF = "arf"


def document(report: AggregateReport | TlsReport | FeedbackReport) -> dict[str, Any]:
    """The report: who tells about whom and when, the sums, and all of it."""
    if isinstance(report, FeedbackReport):
        return feedback_document(report)
    return dmarc_document(report) if isinstance(report, AggregateReport) else tls_document(report)


def dmarc_document(report: AggregateReport) -> dict[str, object]:
    """An aggregate report."""
    total = sum(report.rows.values())
    passed = sum(count for row, count in report.rows.items() if row.dkim_aligned or row.spf_aligned)
    return {
        "kind": DMARC,
        "organization": report.metadata.organization,
        "contact": report.metadata.email,
        "id": report.metadata.report_id,
        "domain": report.policy.domain,
        "begin": moment(report.metadata.begin),
        "end": moment(report.metadata.end),
        "sums": {"messages": total, "passed": passed, "failed": total - passed},
        "report": {
            "contact_info": report.metadata.contact,
            "errors": list(report.metadata.errors),
            "policy": asdict(report.policy),
            "rows": [_row(row, count) for row, count in report.rows.items()],
        },
    }


def _row(row: ReportRow, count: int) -> dict[str, object]:
    reasons = [{"type": kind, "comment": comment} for kind, comment in (row.override, *row.further_overrides) if kind]
    return {
        "source_ip": row.source,
        "count": count,
        "disposition": row.disposition,
        "dkim": "pass" if row.dkim_aligned else "fail",
        "spf": "pass" if row.spf_aligned else "fail",
        **({"override": reasons[0], "overrides": reasons} if reasons else {}),
        "header_from": row.header_from,
        "envelope_from": row.envelope_from,
        "envelope_to": row.envelope_to,
        "dkim_results": [
            {"domain": domain, "selector": selector, "result": result} for domain, selector, result in row.dkim
        ],
        "spf_result": {"domain": row.spf[0], "result": row.spf[1]},
    }


def tls_document(report: TlsReport) -> dict[str, object]:
    """A TLS report."""
    return {
        "kind": TLS,
        "organization": report.organization,
        "contact": report.contact,
        "id": report.id,
        "domain": next((policy.domain for policy in report.policies if policy.domain), ""),
        "begin": moment(report.begin),
        "end": moment(report.end),
        "sums": {
            "successes": sum(policy.successes for policy in report.policies),
            "failures": sum(policy.failures for policy in report.policies),
        },
        "report": {"policies": [asdict(policy) for policy in report.policies]},
    }


def feedback_document(report: FeedbackReport) -> dict[str, object]:
    """A feedback report. It has no id of its own: one is made of what it says."""
    content = asdict(report)
    digest = sha256(json.dumps(content).encode("utf-8", "replace")).hexdigest()[:24]
    when = moment(report.arrival) if report.arrival else ""
    return {
        "kind": ARF,
        "organization": report.reporting_mta or report.user_agent,
        "contact": "",
        "id": digest,
        "domain": next(iter(report.domains), ""),
        "begin": when,
        "end": when,
        "sums": {"incidents": report.incidents},
        "report": content,
    }


def moment(epoch: int) -> str:
    """RFC 3339, in UTC; empty for what is beyond the calendar."""
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""
